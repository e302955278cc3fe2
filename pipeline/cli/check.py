"""`onshi check`: everything that is wrong with configuration, folders, rights, broker, store, clock and keys."""

import os
import shutil
import tempfile
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.ballast import is_spent
from pipeline.broker.open import open_broker
from pipeline.broker.port import Broker
from pipeline.broker.tls import files_of
from pipeline.cli import check_vendors
from pipeline.cli.desk import Desk, ahead_or_behind, as_text
from pipeline.cli.fitness import unfit_files
from pipeline.clinic_settings import Chart, Clinic, Terminal
from pipeline.clock import DRIFT_LIMIT
from pipeline.errors import OnshiError, PermanentError
from pipeline.expiry import UNREADABLE, ends_at
from pipeline.keyring import Keyring
from pipeline.provisioning.rendering import within_reach
from pipeline.sealing import KeyClass
from pipeline.settings import BALLAST_NAME, Settings
from pipeline.storage import open_store
from pipeline.topology import CHART_EDGE, build
from producers.chart.bookings_csv import read_bookings
from producers.chart.patients_csv import PatientsInvalidError, read_patients
from producers.terminal import ballast_path, spool_holdings

LEAST_FREE_BYTES = 256 << 20
ENDING = timedelta(days=30)
"""So long before its end a certificate is named; a clinic's machine is watched by nobody else."""
UNASKED = (
    "broker.url: RabbitMQ does not say whether our queues are there (4.2.6 and 4.3.0 tell nobody who may not configure;"
    " by any other version our user lacks its rights: `onshi provision audit`)"
)
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""A clock before this release was made is wrong."""


def check(settings: Settings, arguments: Namespace) -> int:
    desk = Desk(settings, arguments)
    vendors = check_vendors.vendors(settings, desk.now)
    unfit = unfit_files(settings)
    unknown: list[str] = []
    faults = [
        # Where a group is provisioned, the folders are those of other machines.
        *(() if settings.group else _folders(settings)),
        *unfit,
        *_keys(settings),
        *(_store(settings) if settings.has_centre else ()),
        *_broker(settings, unknown),
        *_certificates(settings),
        *_clock(),
        *_disk(settings),
        *_ballasts(settings),
        *(_staff(desk) if settings.has_centre else ()),
        *(fault for vendor in vendors for fault in vendor.pop("faults")),
    ]
    spools = [] if unfit else list(_spools(settings))
    desk.say(
        {"faults": faults, "unknown": unknown, "spools": spools, "vendors": vendors},
        [
            *(f"✗ {fault}" for fault in faults),
            *(f"? {name}" for name in unknown),
            *(_spool_line(spool) for spool in spools),
            *(check_vendors.line(vendor) for vendor in vendors),
            "all is well" if not faults else f"{len(faults)} found",
        ],
    )
    return 1 if faults else 0


def _folders(settings: Settings) -> Iterator[str]:
    for clinic in settings.clinics:
        for terminal in clinic.terminals:
            yield from _terminal(f"clinics.{clinic.id}.terminals.{terminal.id}", terminal)
        if clinic.chart:
            yield from _chart(f"clinics.{clinic.id}.chart", clinic.chart)
        elif settings.has_centre:
            yield f"clinics.{clinic.id}: has no chart, so nothing can be delivered"
        if clinic.bookings:
            yield from _list(f"clinics.{clinic.id}.bookings", clinic.bookings.path, read_bookings)


def _terminal(where: str, terminal: Terminal) -> Iterator[str]:
    for name, folder in (("face", terminal.face), ("res", terminal.res), ("req", terminal.req)):
        yield from _writable(f"{where}.{name}", folder)
    for folder in terminal.rescue:
        if not os.access(folder, os.R_OK | os.X_OK):
            yield f"{where}.rescue: {folder}: cannot be read"
    if terminal.archive_password_file and not os.access(terminal.archive_password_file, os.R_OK):
        yield f"{where}.archive_password_file: {terminal.archive_password_file}: cannot be read"


def _chart(where: str, chart: Chart) -> Iterator[str]:
    yield from _writable(f"{where}.inbox", chart.inbox)
    if not chart.patients.exists():
        yield f"{where}.patients: {chart.patients}: there is no such file, so every result will wait"
        return
    yield from _list(f"{where}.patients", chart.patients, read_patients)


def _list(where: str, path: Path, read: Callable[[bytes], object]) -> Iterator[str]:
    try:
        read(path.read_bytes())
    except PatientsInvalidError as error:
        yield from (f"{where}: {fault}" for fault in error.faults)
    except OSError as error:
        yield f"{where}: {path}: {error.strerror}"


def _writable(where: str, folder: Path) -> Iterator[str]:
    if not folder.is_dir():
        yield f"{where}: {folder}: there is no such folder"
        return
    try:
        with tempfile.TemporaryFile(dir=folder, prefix=".onshi-check-") as made:
            written_at = os.fstat(made.fileno()).st_mtime
    except OSError as error:
        yield f"{where}: {folder}: cannot be written ({error.strerror})"
    else:
        yield from _drift(folder, written_at, time.time())


def _drift(folder: Path, written_at: float, now: float) -> Iterator[str]:
    # On a share the time of a change is that of the machine it lies on; a folder of this one shows nothing.
    if abs(now - written_at) > DRIFT_LIMIT.total_seconds():
        yield f"clock: {ahead_or_behind(now - written_at)}, as the machine that holds {folder} has it"


def _keys(settings: Settings) -> Iterator[str]:
    # A group is begun without a clinic, and the first brings the first keys.
    if settings.clinics:
        yield from _missing_keys(settings)
    for path in settings.keys.dir.glob("*.key"):
        if path.stat().st_mode & 0o077:
            yield f"keys.dir: {path.name}: may be read by others (chmod 600)"


def _missing_keys(settings: Settings) -> Iterator[str]:
    now = datetime.now(UTC)
    try:
        keyring = Keyring(settings.keys.dir)
        for clinic in settings.clinics:
            keyring.identity(clinic.id)
            for key_class in KeyClass:
                keyring.epoch_key(clinic.id, key_class, now)
        for edge in settings.edges:
            keyring.edge_key(edge.clinic, edge.edge)
    except PermanentError as error:
        mend = (
            "`onshi run` makes missing keys at the centre"
            if settings.has_centre
            else "is the clock right? If so: `onshi terminals enrol --again` at the centre"
        )
        yield f"keys.dir: {settings.keys.dir}: {error} ({mend})"


def _store(settings: Settings) -> Iterator[str]:
    try:
        store = open_store(settings.store.url)
        try:
            store.make_schema()
            if not store.takes_writes():
                yield "store.url: takes no writes: a standby, or a primary that was demoted; name the primary"
        finally:
            store.close()
    except OnshiError as error:
        yield f"store.url: cannot be used ({error})"


def _broker(settings: Settings, unknown: list[str]) -> Iterator[str]:
    if unfit_files(settings):
        return  # said already
    try:
        broker = open_broker(settings.broker.url, settings.state, settings.broker.certificates)
    except PermanentError as error:
        # A running `onshi run` holds the embedded broker, which is as it should be.
        if error.reason != "busy":
            yield f"broker.url: {error}"
        return
    try:
        if settings.broker.declare:
            broker.declare(build(settings.edges))
        else:
            unknown.extend(_ask(broker, settings))
    except OnshiError as error:
        yield f"broker.url: {error}"
    finally:
        broker.close()


def _ask(broker: Broker, settings: Settings) -> list[str]:
    """Ask for what must be there; returns what the broker does not say, which alone is no fault."""
    # First what we have rights to: from RabbitMQ 4.2.6 on the first question without one is refused and the last.
    if not broker.check(within_reach(settings)):
        return [UNASKED]
    broker.check(build(settings.edges))
    return []


def _certificates(settings: Settings) -> Iterator[str]:
    now = datetime.now(UTC)
    for path in files_of(settings.broker.certificates).values():
        end = ends_at(path)
        if end == UNREADABLE:
            yield f"broker: {path}: is no certificate that can be read"
        elif end < (now + ENDING).timestamp():
            until = as_text(datetime.fromtimestamp(end, UTC))
            yield f"broker: {path}: ends on {until} JST (`onshi ca renew` at the centre)"


def _clock() -> Iterator[str]:
    if datetime.now(UTC) < EARLIEST:
        yield "clock: stands before this software was made"


def _disk(settings: Settings) -> Iterator[str]:
    state = next(path for path in (settings.edge.state, *settings.edge.state.parents) if path.exists())
    # The state folder may be a disk of its own; on the same one it would only be said twice.
    for place in {path.stat().st_dev: path for path in (state, settings.root)}.values():
        free = shutil.disk_usage(place).free
        if free < LEAST_FREE_BYTES:
            yield f"disk: {free >> 20} MiB free at {place}, at least {LEAST_FREE_BYTES >> 20} are wanted"


def _ballasts(settings: Settings) -> Iterator[str]:
    places = {settings.state / BALLAST_NAME: "the centre"}
    for clinic, terminal in _terminals(settings):
        places[ballast_path(settings.edge.state, clinic.id, terminal.id)] = f"{clinic.id}/{terminal.id}"
    for clinic in settings.clinics:
        places[settings.edge.state / f"{clinic.id}.chart.ballast"] = f"{clinic.id}/{CHART_EDGE}"
    for path, whose in places.items():
        if is_spent(path):
            yield f"disk: was full at {path.parent}, and the reserve of {whose} is spent; make room"


def _spools(settings: Settings) -> Iterator[dict[str, Any]]:
    """Tell what could be sent again to a store that was restored."""
    for clinic, terminal in _terminals(settings):
        held = spool_holdings(settings.edge.state, clinic.id, terminal.id, settings.edge.spool_days)
        if held is not None:
            yield {
                "clinic": clinic.id,
                "terminal": terminal.id,
                "segments": held.segments,
                "files": held.files,
                "bytes": held.size,
                "oldest_at": held.oldest_at,
                "until": held.until,
            }


def _spool_line(spool: dict[str, Any]) -> str:
    since = f", since {as_text(spool['oldest_at'])} JST" if spool["oldest_at"] else ""
    until = f", kept at least until {as_text(spool['until'])} JST" if spool["until"] else ""
    where = f"{spool['clinic']}/{spool['terminal']}"
    return f"  spool {where}: {spool['files']} files in {spool['segments']} segments{since}{until}"


def _terminals(settings: Settings) -> Iterator[tuple[Clinic, Terminal]]:
    for clinic in settings.clinics:
        yield from ((clinic, terminal) for terminal in clinic.terminals)


def _staff(desk: Desk) -> Iterator[str]:
    if not desk.settings.staff:
        yield "staff: nobody is listed, so nobody can look at results"
