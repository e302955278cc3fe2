"""What is configured of one clinic: its codes, its terminals, its chart, and what is asked by itself?"""

from datetime import date, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.inquiry_settings import BookingSettings, CodeDays, ReferenceSettings, accepts, code_on
from pipeline.setting_values import Duration, Name, Table

InstitutionCode = Annotated[str, Field(pattern=r"^[0-9]{10}$")]


class Terminal(Table):
    """A terminal (資格確認端末) and its shared folders."""

    id: Name
    """Part of queue names and of the ledger: never changed."""
    face: Path
    """The terminal's folder of card reader results (顔認証)."""
    res: Path
    """The terminal's folder of answers."""
    req: Path
    """The terminal's folder of requests."""
    mode: Literal["own", "beside"] = "own"
    """`beside`: another program reads the same folders; it has its time, and its answers are left alone."""
    erase_after: Duration = timedelta(hours=24)
    """In mode `beside`: nothing is erased before a copy is this old."""
    rescue: tuple[Path, ...] = ()
    """Read-only folders to which other programs move files; read, never erased."""
    archive_password_file: Path | None = None
    """Holds the password of a terminal that encrypts its results."""


ClinicalForm = Literal["data", "pdf"]
_EVERY_FORM: tuple[ClinicalForm, ...] = ("data", "pdf")


class ClinicalSettings(Table):
    """In which forms a chart is given clinical information; an empty list, or false: not at all."""

    medication: tuple[ClinicalForm, ...] = _EVERY_FORM
    """Medication answers (薬剤情報)."""
    checkup: tuple[ClinicalForm, ...] = _EVERY_FORM
    """Checkup answers (特定健診情報)."""

    @field_validator("medication", "checkup", mode="before")
    @classmethod
    def _every_or_none(cls, value: object) -> object:
        return (_EVERY_FORM if value else ()) if isinstance(value, bool) else value

    def __bool__(self) -> bool:
        return bool(self.medication or self.checkup)


class Chart(Table):
    """The clinic's chart system (電子カルテ・レセコン)."""

    kind: Literal["folder"] = "folder"
    """How the chart takes files."""
    at: Literal["clinic", "centre"] = "clinic"
    """On whose machine its folders are, for whoever reads this; `onshi run chart` runs there."""
    inbox: Path
    """Where each original and its record (JSON) appear."""
    patients: Path
    """The chart's list of patients (patients.csv)."""
    scan_seconds: float = Field(default=2.0, gt=0)
    """How often that list is looked at."""
    settle_seconds: float = Field(default=1.0, ge=0)
    """How long the list must stay the same between two readings."""
    clinical: ClinicalSettings = ClinicalSettings()
    """Which medication and checkup answers this chart is given; true is everything, false nothing."""

    @field_validator("clinical", mode="before")
    @classmethod
    def _every_kind_or_none(cls, value: object) -> object:
        return {"medication": value, "checkup": value} if isinstance(value, bool) else value


class Fetch(Table):
    """What is asked by itself when a patient consents."""

    enabled: bool = True
    """False: nothing is asked by itself."""
    medication: tuple[Literal["xml", "pdf"], ...] = ("xml",)
    """XML: one request for each month. PDF: one for the whole range."""
    treatments: bool = True
    """Ask for treatments (診療情報) too, where the patient consented to it."""
    prescriptions: bool = False
    """Show what the electronic prescription service knows (処方・調剤情報閲覧区分); then this month is asked too."""
    checkup: tuple[Literal["xml", "pdf"], ...] = ("xml",)
    """In which forms checkups are asked for."""
    months: int = Field(default=12, ge=1, le=12)
    """How many months back from the last one."""
    medication_every: Duration = timedelta(hours=6)
    """How long what was answered counts as known; only then does a newer consent ask for it again."""
    checkup_every: Duration = timedelta(days=1)
    """The same for checkups."""
    only_valid: bool = True
    """Ask only for who is insured (資格有効性 1)."""
    sources: tuple[Literal["reader", "visit", "online"], ...] = ("reader",)
    """Whose consents lead to requests by themselves."""


class Clinic(Table):
    """A clinic, with its terminals and its chart."""

    id: Name
    """Ours, part of every key and row of the clinic: never changed."""
    institution_codes: tuple[InstitutionCode, ...] = Field(min_length=1)
    """Each `"code"`, valid for ever, or `{ code = "…", from = 2026-04-01, to = … }` where a clinic's code changed."""
    code_days: tuple[CodeDays, ...] = ()
    """Taken out of `institution_codes`; not written by anybody."""
    terminals: tuple[Terminal, ...] = ()
    chart: Chart | None = None
    fetch: Fetch = Fetch()
    references: ReferenceSettings = ReferenceSettings()
    bookings: BookingSettings | None = None

    @model_validator(mode="before")
    @classmethod
    def _take_days(cls, raw: Any) -> Any:
        codes = raw.get("institution_codes") if isinstance(raw, dict) else None
        if not isinstance(codes, list | tuple) or not any(isinstance(code, dict) for code in codes):
            return raw
        plain = [code.get("code") if isinstance(code, dict) else code for code in codes]
        return {**raw, "institution_codes": plain, "code_days": [code for code in codes if isinstance(code, dict)]}

    def code_on(self, day: date, known: str | None = None) -> str:
        """Choose the institution code to be written into a request on a day in Japan."""
        return code_on(self.institution_codes, self.code_days, day, known)

    def accepts_code(self, code: str, day: date | None) -> bool:
        """Say whether a result of that day, unknown if none, may carry this code."""
        return code in self.institution_codes and accepts(self.code_days, code, day)
