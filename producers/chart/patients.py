"""When has the chart's patient list changed, and how does it go to the centre whole?

A list is read when its file looks different, and used when two readings `settle_seconds` apart are identical and
every row is well formed; otherwise the last one stands. Its parts wait in the local file until the broker has
confirmed them. A list is said again from time to time under its own id: the centre, which knows it, does nothing; one
that lost it (a broker wiped, a store restored) would else let every result wait until the chart writes another.
"""

import contextlib
import logging
import os
import sqlite3
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pipeline.clock import Clock
from pipeline.contents import patients_context
from pipeline.edge_words import EdgeFault
from pipeline.envelope import enclose
from pipeline.errors import OnshiError
from pipeline.events import BookingsChanged, PatientsChanged, derive_id
from pipeline.patient_row import PatientRow, rows_to_bytes
from pipeline.sealing import IdentityKey, Sealer
from pipeline.topology import CHART_EDGE
from producers.chart import outgoing
from producers.chart.faults import Faults
from producers.chart.ledger import FORMAT, Ledger, LedgerAwayError, ledger_path
from producers.chart.patients_csv import PatientsInvalidError, RowFault, read_patients

LOG = logging.getLogger("onshi.chart")
PART_BYTES = 700 << 10
"""Rows of one part as JSON, before sealing: with the seal and base64 the message stays below 1 MiB."""
MOST_BYTES = 256 << 20
FAULTS_LOGGED = 20


Parts = Callable[[str, datetime], Sequence[PatientsChanged | BookingsChanged]]
"""From the keyed hash of a list and when it was taken to the events that carry it."""


@dataclass(frozen=True, slots=True)
class _Look:
    """How a file looks from outside; reading is only worth it when this changes."""

    mtime_ns: int
    size: int
    inode: int


@dataclass(frozen=True, slots=True)
class _Reading:
    look: _Look
    content: bytes = field(repr=False)
    read_at: float


class LastList:
    """The list that was last put on its way, of patients or of another kind."""

    def __init__(
        self, ledger: Ledger, table: str = "patient_list", event_type: str = PatientsChanged.type_name()
    ) -> None:
        self._ledger = ledger
        self._table = table
        self._event_type = event_type

    def mac(self) -> str | None:
        with self._ledger.transaction() as transaction:
            row = transaction.execute(f"SELECT mac FROM {self._table}").fetchone()  # noqa: S608 - constant
            return str(row[0]) if row else None

    def taken_at(self) -> datetime | None:
        with self._ledger.transaction() as transaction:
            row = transaction.execute(f"SELECT taken_at FROM {self._table}").fetchone()  # noqa: S608 - constant
            return datetime.fromisoformat(row[0]) if row else None

    def replace(self, mac: str, parts: Sequence[PatientsChanged | BookingsChanged], now: datetime) -> None:
        """Put a list on its way; parts of an older one that still wait are taken back."""
        with self._ledger.transaction() as transaction:
            outgoing.drop(transaction, self._event_type)
            outgoing.add(transaction, [enclose(part, now) for part in parts])
            transaction.execute(
                f"INSERT INTO {self._table} (only, mac, list_id, taken_at)"  # noqa: S608 - constant
                " VALUES (1, ?, ?, ?) ON CONFLICT (only)"
                " DO UPDATE SET mac = excluded.mac, list_id = excluded.list_id, taken_at = excluded.taken_at",
                (mac, parts[0].list_id, now.isoformat()),
            )


class Patients:
    """`Part`. Watches one file. Another kind of list (`bookings`) differs in what it holds, not in how it is read."""

    name = "patients"
    invalid, missing = EdgeFault.PATIENTS_INVALID, EdgeFault.PATIENTS_MISSING

    def __init__(
        self,
        *,
        clinic: str,
        path: Path,
        scan_seconds: float,
        settle_seconds: float,
        identity: IdentityKey,
        standing_key: Callable[[], bytes],
        last: LastList,
        clock: Clock,
        faults: Faults,
        again_seconds: float = 3600.0,
    ) -> None:
        self.row_faults: tuple[RowFault, ...] = ()
        """What is wrong with the file as it lies there."""
        self._clinic = clinic
        self._path = path
        self._scan_seconds = scan_seconds
        self._settle_seconds = settle_seconds
        self._identity = identity
        self._standing_key = standing_key
        self._last = last
        self._clock = clock
        self._faults = faults
        self._sealer = Sealer()
        self._before: _Reading | None = None
        self._settled: _Look | None = None
        self._again_seconds = again_seconds
        self._again_at = clock.monotonic() + again_seconds

    def step(self) -> float:
        try:
            return self._look()
        except LedgerAwayError:
            self._faults.set(EdgeFault.DISK_FULL, stands=True)
        except OnshiError as error:
            self._faults.set(EdgeFault.KEYS, stands=True)
            LOG.warning(self.name, extra={"clinic": self._clinic, "error": type(error).__name__})
        except OSError as error:
            if self._faults.set(self.missing, stands=True):
                LOG.warning(self.name, extra={"clinic": self._clinic, "reason": type(error).__name__})
            self._before = self._settled = None
        return self._scan_seconds

    def close(self) -> None:
        return

    def _look(self) -> float:
        look = _look_of(self._path.stat())
        if look == self._settled and self._last.mac() is not None and not self._is_due_again():
            return self._scan_seconds
        reading = self._read()
        before, self._before = self._before, reading
        if before is None or (before.look, before.content) != (reading.look, reading.content):
            return min(self._scan_seconds, self._settle_seconds)
        waited = reading.read_at - before.read_at
        if waited < self._settle_seconds:
            self._before = before
            return max(0.01, self._settle_seconds - waited)
        self._use(reading.content)
        self._before, self._settled = None, reading.look
        return self._scan_seconds

    def _is_due_again(self) -> bool:
        return self._clock.monotonic() >= self._again_at

    def _read(self) -> _Reading:
        with self._path.open("rb") as source:
            look = _look_of(os.fstat(source.fileno()))
            content = source.read(MOST_BYTES + 1)
        self._faults.set(self.missing, stands=False)
        return _Reading(look, content, self._clock.monotonic())

    def _use(self, content: bytes) -> None:
        try:
            parts = self._read_parts(content)
        except PatientsInvalidError as error:
            self._refuse(error)
            return
        self.row_faults = ()
        self._faults.set(self.invalid, stands=False)
        mac = self._identity.mac("content", content)
        is_new = mac != self._last.mac()
        if is_new or self._is_due_again():
            taken_at = (None if is_new else self._last.taken_at()) or self._clock.now()
            made = parts(mac, taken_at)
            self._last.replace(mac, made, taken_at)
            self._again_at = self._clock.monotonic() + self._again_seconds
            LOG.info(self.name, extra={"clinic": self._clinic, "count": made[0].rows})
        self._faults.set(EdgeFault.KEYS, stands=False)
        self._faults.set(EdgeFault.DISK_FULL, stands=False)

    def _refuse(self, error: PatientsInvalidError) -> None:
        self.row_faults = error.faults
        self._faults.set(self.invalid, stands=True)
        for fault in error.faults[:FAULTS_LOGGED]:
            LOG.warning(self.name, extra={"clinic": self._clinic, "reason": self.invalid.value, "where": str(fault)})

    def _read_parts(self, content: bytes) -> "Parts":
        """Read a list; what is returned makes its events.

        Raises:
            PatientsInvalidError: it must not be used.
        """
        rows = read_patients(content) if len(content) <= MOST_BYTES else _too_large()
        return lambda mac, taken_at: list(self._parts(mac, rows, taken_at))

    def _parts(self, mac: str, rows: Sequence[PatientRow], taken_at: datetime) -> Iterator[PatientsChanged]:
        list_id = derive_id("patients", self._clinic, mac, taken_at.isoformat())
        contents = split_rows(rows, PART_BYTES)
        key = self._standing_key()
        for part, content in enumerate(contents, start=1):
            yield PatientsChanged(
                clinic=self._clinic,
                edge=CHART_EDGE,
                list_id=list_id,
                taken_at=taken_at,
                part=part,
                parts=len(contents),
                rows=len(rows),
                sealed=self._sealer.seal(key, self._clinic, patients_context(list_id, part), content),
            )


def forget_list(state: Path, clinic: str) -> int:
    """Let the list that lies there be sent again, whether or not the role runs; return how many were forgotten."""
    path = ledger_path(state, clinic)
    if not path.exists():
        return 0
    FORMAT.require(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        return db.execute("DELETE FROM patient_list").rowcount


def split_rows(rows: Sequence[PatientRow], most_bytes: int) -> list[bytes]:
    """Write rows in order as parts of at most about so many bytes; at least one part, be it empty."""
    whole = rows_to_bytes(rows)
    count = -(-len(whole) // most_bytes)
    if count <= 1:
        return [whole]
    # Rows are of much the same length; a part that came out too long is halved until it fits.
    size = -(-len(rows) // count)
    return [part for at in range(0, len(rows), size) for part in _fitting(rows[at : at + size], most_bytes)]


def _fitting(rows: Sequence[PatientRow], most_bytes: int) -> list[bytes]:
    part = rows_to_bytes(rows)
    if len(part) <= most_bytes or len(rows) == 1:
        return [part]
    middle = len(rows) // 2
    return _fitting(rows[:middle], most_bytes) + _fitting(rows[middle:], most_bytes)


def _too_large() -> tuple[PatientRow, ...]:
    raise PatientsInvalidError([RowFault(1, "row", "too_large")])


def _look_of(status: os.stat_result) -> _Look:
    if not stat.S_ISREG(status.st_mode):
        raise FileNotFoundError
    return _Look(status.st_mtime_ns, status.st_size, status.st_ino)
