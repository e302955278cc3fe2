"""What was configured? Typed, frozen, read once, passed down; every fault named at once.

The file is TOML (design section 12), or a directory of such files. Relative paths are relative to it.
`ONSHI_<TABLE>_<KEY>` in the environment overrides a value of the tables `broker`, `store`, `keys`, `http`, `edge` and
`centre`; `<key>_file` reads a secret from a file.
"""

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from pipeline.broker_settings import BrokerSettings
from pipeline.clinic_settings import Clinic
from pipeline.group import GROUP_PATHS, GroupSettings
from pipeline.setting_files import Written, folder_of, read
from pipeline.setting_values import Name, Table
from pipeline.topology import CHART_EDGE, Edge
from pipeline.vendors import Vendor

OVERRIDABLE = ("broker", "store", "keys", "http", "edge", "centre")
BALLAST_NAME = "ballast"
_PATHS = (
    "face",
    "res",
    "req",
    "inbox",
    "patients",
    "archive_password_file",
    "public_key_file",
    "cert_file",
    "key_file",
    *GROUP_PATHS,
)


class SettingsError(Exception):
    """The configuration is wrong. `faults` names every one of them."""

    def __init__(self, faults: Sequence[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(self.faults))


class StoreSettings(Table):
    """Where the centre keeps what it knows. An edge has none."""

    url: str = Field(
        default="sqlite:///state/onshi.db",
        pattern=r"^(sqlite:///|postgresql(\+psycopg)?://)\S+",
        repr=False,
    )
    """SQLite for one machine, `postgresql+psycopg://…` for a group."""

    @field_validator("url")
    @classmethod
    def _can_be_read(cls, url: str) -> str:
        if url.startswith("sqlite:"):
            return url  # whatever follows is a path
        from sqlalchemy.engine import make_url  # noqa: PLC0415 - slow to import, and edges have no store
        from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

        try:
            make_url(url)
        except (ArgumentError, ValueError):
            raise ValueError("store.url: is not a URL") from None
        return url


class KeysSettings(Table):
    """Where the keys lie."""

    dir: Path = Path("state/keys")
    """The folder of the key ring: the centre's opens everything, an edge's seals."""


class HttpSettings(Table):
    """Where a process says how it is."""

    host: str = "127.0.0.1"
    """The address that /metrics, /livez and /readyz are served on."""
    port: int = Field(default=9810, ge=0, le=65535)
    """Where /metrics, /livez and /readyz are served. A port in use moves on to a free one; 0 takes any free one."""


class EdgeSettings(Table):
    """How the clinic's side behaves. Seconds unless named otherwise."""

    state: Path = Path("state/edge")
    """The folder of the ledgers, spools and quarantines of this machine's terminals and chart."""
    scan_seconds: float = Field(default=1.0, gt=0)
    """How often the terminal's folders are looked through, whatever their changes tell."""
    settle_seconds: float = Field(default=1.0, ge=0)
    """How long a file must stay the same between two readings; set 5 for a share that is polled."""
    unfinished_seconds: float = Field(default=30.0, gt=0)
    """An incomplete file unchanged this long is taken as it is, and rejected with its reason."""
    size_limit_bytes: int = Field(default=8 << 20, gt=0)
    """A larger file is not read: it is held where it lies, and reported."""
    spool_days: float = Field(default=7.0, ge=0)
    """How long a terminal keeps its sealed copy of a file that the centre has, for `onshi resend`."""
    report_seconds: float = Field(default=60.0, gt=0)
    """How often an edge says how it is."""
    ballast_bytes: int = Field(default=16 << 20, ge=0)
    """Room kept in the state folder of each terminal, for finishing what is in hand when the disk is full."""
    poll: bool = False
    """True for folders of another machine, whose changes send no events to this one."""


class CentreSettings(Table):
    """How the centre behaves."""

    lease_seconds: float = Field(default=120.0, gt=0)
    """How long an order to an edge counts; unanswered, it is given again after that."""
    expiring_minutes: float = Field(default=60.0, gt=0)
    """How long before its limit a consent is announced as expiring."""
    minimum_age_seconds: float = Field(default=0.0, ge=0)
    """The least age of a copy before it may be erased (precondition C8)."""
    request_timeout_seconds: float = Field(default=180.0, gt=0)
    """How long a request (照会) may lie unanswered before its terminal takes it back."""
    download_first_seconds: float = Field(default=10.0, gt=0)
    """After how long the result of a bulk request is first asked for; each further time after twice as long."""
    download_most_seconds: float = Field(default=300.0, gt=0)
    """The longest such wait."""
    download_hours: float = Field(default=24.0, gt=0)
    """How long the service may say of a bulk request that it is still at work (処理中)."""
    republish_seconds: float = Field(default=900.0, gt=0)
    """After how long what somebody may still wait for is said again, and then four times as long."""
    batch: int = Field(default=100, ge=1, le=1000)
    """How many events one transaction takes at most."""
    ballast_bytes: int = Field(default=16 << 20, ge=0)
    """The same beside an embedded broker or an SQLite store."""


class RetentionSettings(Table):
    """How many whole months content stays readable at the centre after the month it belongs to."""

    automatic: bool = True
    """False: nothing is destroyed but by `onshi keys destroy`."""
    originals_months: int = Field(default=12, ge=1)
    """Eligibility files as they came, and what was read from them."""
    clinical_months: int = Field(default=12, ge=1)
    """Medication and checkup files."""
    confirmation_months: int = Field(default=12, ge=1)
    """The result list: what was compared, and what people decided. Six to twelve months are customary."""


class Staff(Table):
    """Whoever may look and decide here."""

    id: Name
    """The name under which deeds and looks are logged."""
    os_user: str = Field(min_length=1)
    """The account on this machine by which the person is known."""
    role: Literal["reception", "clinician", "manager", "maintenance"]
    """A manager may also replace, end and bring back keys, and say who is affected by an incident."""
    view_medication: bool = False
    """May see what patients were prescribed (薬剤情報), and ask for it."""
    view_checkup: bool = False
    """May see checkup results (特定健診情報), and ask for them."""


class Settings(Table):
    root: Path = Field(exclude=True)
    """The folder of the configuration file."""
    file: Path | None = Field(default=None, exclude=True)
    """The configuration file itself, to look whether it was changed."""
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    keys: KeysSettings = KeysSettings()
    http: HttpSettings = HttpSettings()
    edge: EdgeSettings = EdgeSettings()
    centre: CentreSettings = CentreSettings()
    retention: RetentionSettings = RetentionSettings()
    clinics: tuple[Clinic, ...] = ()
    """At least one, but in a group: its authority and its broker are made before its first clinic comes."""
    staff: tuple[Staff, ...] = ()
    vendors: tuple[Vendor, ...] = ()
    group: GroupSettings | None = None
    names_centre: bool = Field(default=True, exclude=True)
    """Whether the file says where a store is, or has a group."""

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        faults = list(_conflicts(self))
        if faults:
            raise ValueError("\n".join(faults))
        return self

    @property
    def has_centre(self) -> bool:
        """Say whether the centre may be here: False on a clinic's machine that was enrolled in a group."""
        return self.names_centre or self.broker.declare

    @property
    def state(self) -> Path:
        """Where the embedded broker and this process keep their files."""
        return self.root / "state"

    @property
    def edges(self) -> tuple[Edge, ...]:
        return tuple(
            Edge(clinic.id, name)
            for clinic in self.clinics
            for name in (*(t.id for t in clinic.terminals), *((CHART_EDGE,) if clinic.chart else ()))
        )

    def clinic(self, clinic_id: str) -> Clinic | None:
        return next((clinic for clinic in self.clinics if clinic.id == clinic_id), None)

    def staff_of(self, os_user: str) -> Staff | None:
        return next((person for person in self.staff if person.os_user == os_user), None)

    @property
    def lease(self) -> timedelta:
        return timedelta(seconds=self.centre.lease_seconds)


def _conflicts(settings: Settings) -> Iterator[str]:
    yield from (f"clinics: id {name!r} is given twice" for name in _repeated([c.id for c in settings.clinics]))
    yield from (f"staff: id {name!r} is given twice" for name in _repeated([s.id for s in settings.staff]))
    yield from (f"staff: os_user {name!r} is given twice" for name in _repeated([s.os_user for s in settings.staff]))
    yield from (
        f"clinics.{c.id}: bookings needs [clinics.chart]" for c in settings.clinics if c.bookings and not c.chart
    )
    codes = [code for clinic in settings.clinics for code in clinic.institution_codes]
    yield from (f"clinics: institution code {code} belongs to two clinics" for code in _repeated(codes))
    yield from _vendor_conflicts(settings)
    folders: list[str] = []
    for clinic in settings.clinics:
        yield from (
            f"clinics.{clinic.id}: terminal {n!r} is given twice" for n in _repeated([t.id for t in clinic.terminals])
        )
        for terminal in clinic.terminals:
            if terminal.id == CHART_EDGE:
                yield f"clinics.{clinic.id}: a terminal may not be called {CHART_EDGE!r}, which is the chart's name"
            folders.extend(os.path.normpath(path) for path in (terminal.face, terminal.res, terminal.req))
        if clinic.chart:
            folders.append(os.path.normpath(clinic.chart.inbox))
    yield from (f"folders: {folder} is given twice" for folder in _repeated(folders))


def _vendor_conflicts(settings: Settings) -> Iterator[str]:
    vendors = settings.vendors
    yield from (f"vendors: id {name!r} is given twice" for name in _repeated([vendor.id for vendor in vendors]))
    if vendors and settings.broker.url.startswith("embedded:"):
        yield "vendors: need RabbitMQ; broker.url is embedded:, which has no streams"
    known = {clinic.id for clinic in settings.clinics}
    for vendor in vendors:
        strange = set() if vendor.clinics == "*" else set(vendor.clinics) - known
        yield from (f"vendors.{vendor.id}: there is no clinic {name!r}" for name in sorted(strange))
        if vendor.records and vendor.public_key_file is None:
            yield f"vendors.{vendor.id}: records are granted, but no public_key_file is named"


def _repeated(values: Sequence[str]) -> list[str]:
    return sorted({value for value in values if values.count(value) > 1})


def load(path: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read a configuration file.

    Raises:
        SettingsError: with every fault of the file and of the environment.
    """
    written = read(path)
    faults = list(written.faults)
    if faults and not written.tables:
        raise SettingsError(faults)
    raw, root = written.tables, folder_of(path)
    _override(raw, os.environ if environment is None else environment, faults)
    _read_secrets(raw, root, faults)
    names_centre = "store" in raw or "group" in raw
    _resolve(raw, root)
    if not raw.get("clinics") and "group" not in raw:
        faults.append("clinics: none is configured; at least one [[clinics]] is needed")
    try:
        settings = Settings.model_validate({**raw, "root": root, "file": path.resolve(), "names_centre": names_centre})
    except ValidationError as error:
        raise SettingsError([*faults, *_describe(error, written)]) from None
    if faults:
        raise SettingsError(faults)
    return settings


def _override(raw: dict[str, Any], environment: Mapping[str, str], faults: list[str]) -> None:
    for key, value in sorted(environment.items()):
        match = re.fullmatch(r"ONSHI_([A-Z]+)_([A-Z_]+)", key)
        if not match or match[1].lower() not in OVERRIDABLE:
            continue
        table = raw.setdefault(match[1].lower(), {})
        if isinstance(table, dict):
            table[match[2].lower()] = value
        else:
            faults.append(f"{match[1].lower()}: must be a table")


def _read_secrets(raw: dict[str, Any], root: Path, faults: list[str]) -> None:
    for table in _tables([raw.get("broker"), raw.get("store")]):
        if "url_file" not in table:
            continue
        source = root / str(table.pop("url_file"))
        try:
            table["url"] = source.read_text(encoding="utf-8").strip()
        except OSError as error:
            faults.append(f"url_file: {source}: {error.strerror}")
        except ValueError:
            faults.append(f"url_file: {source}: is not text")


def _resolve(raw: dict[str, Any], root: Path) -> None:
    """Make every path absolute, against the configuration file's folder."""
    for table, key, default in (("keys", "dir", "state/keys"), ("edge", "state", "state/edge")):
        section = raw.setdefault(table, {})
        if isinstance(section, dict):
            value = section.get(key, default)
            section[key] = root / value if isinstance(value, str) else value
    store = raw.setdefault("store", {})
    if isinstance(store, dict):
        url = str(store.get("url", "sqlite:///state/onshi.db"))
        match = re.fullmatch(r"sqlite:///(?!/)(.+)", url)
        store["url"] = f"sqlite:///{root / match[1]}" if match else url
    if isinstance(raw.get("group"), dict):
        raw["group"].setdefault("ca_dir", "ca")
    _resolve_in(_tables([raw.get("broker"), raw.get("group")]), root)
    _resolve_in(_tables(raw.get("vendors")), root)
    for clinic in _tables(raw.get("clinics")):
        bookings = clinic.get("bookings")
        if isinstance(bookings, dict) and isinstance(bookings.get("path"), str):
            bookings["path"] = root / bookings["path"]
        parts = (*_tables(clinic.get("terminals")), *_tables([clinic.get("chart")]))
        _resolve_in(parts, root)
        for part in parts:
            if isinstance(part.get("rescue"), list):
                part["rescue"] = [root / path if isinstance(path, str) else path for path in part["rescue"]]


def _resolve_in(tables: Iterable[dict[str, Any]], root: Path) -> None:
    for table in tables:
        table.update({key: root / table[key] for key in _PATHS if isinstance(table.get(key), str)})


def _tables(value: object) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _describe(error: ValidationError, written: Written) -> Iterator[str]:
    for fault in error.errors(include_input=False, include_url=False):
        where = written.origin(fault["loc"]) + (".".join(str(part) for part in fault["loc"]) or "configuration")
        if fault["type"] == "value_error":
            said = str(fault["ctx"]["error"]).splitlines()
            yield from (f"{where}: {line}" if fault["loc"] else line for line in said)
        elif fault["type"] == "extra_forbidden":
            yield f"{where}: there is no such setting"
        else:
            yield f"{where}: {fault['msg']}"
