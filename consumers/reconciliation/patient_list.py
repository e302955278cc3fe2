"""Which patient list is the current one?

Parts arrive in any order, more than once, and of several lists at once. Each part's rows are sealed and hashed before
the transaction and lie beside the current list, seen by nobody, until every part is there; then the list is judged as
a whole and swapped in by one change of state. The newest `taken_at` wins in any order of arrival. A list with more
than a fifth fewer patients than the current one is refused and the old one stays (design section 6). Rows of lists
that are over are removed a few at a time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, delete, func, select, update

from consumers.reconciliation.index import PATIENT_AFTER, PATIENT_FIRST, row_hashes
from pipeline.contents import patients_context
from pipeline.errors import PermanentError
from pipeline.events import PatientsChanged
from pipeline.keyring import Keyring
from pipeline.patient_index import current_lists as current_lists  # noqa: PLC0414 - told on to whoever reads lists
from pipeline.patient_index import open_row as open_row  # noqa: PLC0414
from pipeline.patient_index import row_context
from pipeline.patient_row import rows_from_bytes, rows_to_bytes
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import patient_hashes, patient_lists, patient_parts, patients

KEPT_SHARE: Final = 0.8
"""The least share of the current list's patients that a new list must have (design section 6)."""

ARRIVING, CURRENT, REPLACED, REFUSED = "arriving", "current", "replaced", "refused"
FALL = "fall"
"""Why a list is refused that may still be accepted by a person."""

_PART_STRIDE: Final = 1_000_000
_REMOVED_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True, repr=False)
class PreparedPart:
    """One part, opened, each row sealed by itself. `fault`: why the whole list is refused."""

    event: PatientsChanged
    rows: tuple[tuple[int, bytes, frozenset[str]], ...] = ()
    fault: str | None = None


def prepare_part(event: PatientsChanged, keyring: Keyring, opener: Opener, sealer: Sealer) -> PreparedPart:
    """Open a part and seal its rows for the store.

    Raises:
        PermanentError: the seal cannot be opened, or the part's number is impossible.
    """
    if not 1 <= event.part <= event.parts:
        raise PermanentError("patients_part")
    content = opener.open(event.clinic, patients_context(event.list_id, event.part), event.sealed)
    try:
        rows = rows_from_bytes(content)
    except PermanentError:
        return PreparedPart(event, fault="invalid")
    if any(not row.patient_id for row in rows):
        return PreparedPart(event, fault="invalid")
    public = keyring.epoch_key(event.clinic, KeyClass.STANDING, event.taken_at)
    identity = keyring.identity(event.clinic)
    first = event.part * _PART_STRIDE
    return PreparedPart(
        event,
        tuple(
            (first + at, sealer.seal(public, event.clinic, row_context(event.list_id, first + at), content), hashes)
            for at, (content, hashes) in enumerate((rows_to_bytes([row]), row_hashes(identity, row)) for row in rows)
        ),
    )


@dataclass(frozen=True, slots=True)
class Lists:
    """What is known of the lists of one clinic before a part is taken in."""

    current: tuple[datetime, str] | None = None
    """When the current list was taken, and its id."""
    current_patients: int = 0
    own: Row[Any] | None = None
    """The row of the list the part belongs to."""
    has_part: bool = False
    is_last: bool = False
    """Whether every other part is here."""
    rows_here: int = 0
    patients_here: frozenset[str] = frozenset()
    """Hashes of the chart numbers in the other parts; read only for the last part."""


def gather_lists(connection: Connection, event: PatientsChanged) -> Lists:
    """Lock the clinic's lists and read what the decision about one part needs."""
    if connection.dialect.name == "postgresql":
        # Two last parts taken in side by side would each wait for the other's.
        connection.execute(select(func.pg_advisory_xact_lock(func.hashtext(f"patients:{event.clinic}"))))
    query = select(patient_lists).where(patient_lists.c.clinic == event.clinic, patient_lists.c.state == CURRENT)
    current = connection.execute(query).first()
    own = connection.execute(select(patient_lists).where(patient_lists.c.list_id == event.list_id)).first()
    parts = set(connection.scalars(select(patient_parts.c.part).where(patient_parts.c.list_id == event.list_id)))
    is_last = len(parts | {event.part}) == event.parts
    rows = select(func.count()).select_from(patients).where(patients.c.list_id == event.list_id)
    return Lists(
        current=(current.taken_at, current.list_id) if current else None,
        current_patients=len(_patients_of(connection, current.list_id)) if current and is_last else 0,
        own=own,
        has_part=event.part in parts,
        is_last=is_last,
        rows_here=connection.execute(rows).scalar_one() if is_last else 0,
        patients_here=_patients_of(connection, event.list_id) if is_last else frozenset(),
    )


def _patients_of(connection: Connection, list_id: str) -> frozenset[str]:
    """Read the hashes of a list's chart numbers: one for each patient, however many insurances it has."""
    name = patient_hashes.c.hash
    query = select(name).where(patient_hashes.c.list_id == list_id, name >= PATIENT_FIRST, name < PATIENT_AFTER)
    return frozenset(connection.scalars(query.distinct()))


@dataclass(frozen=True, slots=True, repr=False)
class TakePart:
    """Write: keep a part's rows, and say where its list stands then."""

    part: PreparedPart
    state: str
    reason: str | None = None

    @property
    def word(self) -> str:
        """What the log and the metric say; `patients_refused_fall` is an alarm."""
        return f"patients_{self.state}" + (f"_{self.reason}" if self.reason else "")


def decide_part(part: PreparedPart, lists: Lists) -> TakePart | None:
    """Say what a part changes; nothing when its list is over or it is here already."""
    event, own = part.event, lists.own
    if own is not None and (own.state != ARRIVING or lists.has_part):
        return None
    if own is not None and (own.parts, own.rows, own.clinic, own.taken_at) != _shape(event):
        return TakePart(part, REFUSED, "inconsistent")
    if part.fault:
        return TakePart(part, REFUSED, part.fault)
    return TakePart(part, *_judge(part, lists)) if lists.is_last else TakePart(part, ARRIVING)


def _shape(event: PatientsChanged) -> tuple[int, int, str, datetime]:
    return event.parts, event.rows, event.clinic, event.taken_at


def _judge(part: PreparedPart, lists: Lists) -> tuple[str, str | None]:
    event = part.event
    rows = lists.rows_here + len(part.rows)
    if rows != event.rows:
        return REFUSED, "incomplete"
    if rows == 0:
        return REFUSED, "empty"
    if lists.current is not None and (event.taken_at, event.list_id) < lists.current:
        return REPLACED, None
    names = {name for _, _, hashes in part.rows for name in hashes if name.startswith(PATIENT_FIRST)}
    if len(names | lists.patients_here) < lists.current_patients * KEPT_SHARE:
        return REFUSED, FALL
    return CURRENT, None


def apply_part(connection: Connection, write: TakePart, now: datetime) -> None:
    event = write.part.event
    insert_new(connection, patient_lists, [_list_row(event)])
    # A fallen list keeps its rows: a person may accept it (`accept`).
    if write.state in (ARRIVING, CURRENT) or write.reason == FALL:
        insert_new(connection, patient_parts, [{"list_id": event.list_id, "part": event.part, "sealed": b""}])
        _insert_rows(connection, event, write.part.rows)
    changed: dict[str, Any] = {"state": write.state, "reason": write.reason, "current_at": None}
    if write.state == CURRENT:
        # A list dated ahead of us would stay the newest until then, against every true one.
        taken_at = min(event.taken_at, now)
        changed |= {"current_at": now, "taken_at": taken_at}
        _swap(connection, event.clinic, event.list_id, taken_at)
    if write.reason == FALL:
        _outdate_falls(connection, event.clinic, event.taken_at)
    own = update(patient_lists).where(patient_lists.c.list_id == event.list_id)
    connection.execute(own.values(**changed))


def _list_row(event: PatientsChanged) -> dict[str, Any]:
    return {
        "list_id": event.list_id,
        "clinic": event.clinic,
        "taken_at": event.taken_at,
        "parts": event.parts,
        "rows": event.rows,
        "state": ARRIVING,
    }


def _insert_rows(
    connection: Connection, event: PatientsChanged, rows: Sequence[tuple[int, bytes, frozenset[str]]]
) -> None:
    list_id, clinic = event.list_id, event.clinic
    sealed = [{"list_id": list_id, "row": at, "clinic": clinic, "sealed": seal} for at, seal, _ in rows]
    insert_new(connection, patients, sealed)
    found = [{"list_id": list_id, "hash": name, "row": at} for at, _, names in rows for name in sorted(names)]
    insert_new(connection, patient_hashes, found)


def _swap(connection: Connection, clinic: str, list_id: str, taken_at: datetime) -> None:
    older = (patient_lists.c.clinic == clinic) & (patient_lists.c.list_id != list_id)
    over = (patient_lists.c.state == CURRENT) | (
        (patient_lists.c.state == ARRIVING) & (patient_lists.c.taken_at < taken_at)
    )
    connection.execute(update(patient_lists).where(older & over).values(state=REPLACED))
    _outdate_falls(connection, clinic, taken_at)
    connection.execute(delete(patient_parts).where(patient_parts.c.list_id == list_id))


def _outdate_falls(connection: Connection, clinic: str, taken_at: datetime) -> None:
    """A fallen list that a newer one has overtaken can no longer be accepted, so its rows may go."""
    older = (patient_lists.c.clinic == clinic) & (patient_lists.c.taken_at < taken_at)
    fallen = (patient_lists.c.state == REFUSED) & (patient_lists.c.reason == FALL)
    connection.execute(update(patient_lists).where(older & fallen).values(state=REPLACED))


def accept(connection: Connection, clinic: str, now: datetime) -> str | None:
    """Make the newest fallen list of a clinic the current one after all; None when there is none.

    Called for a person who knows why a fifth of the patients is gone. Open results are matched again by the schedule.
    """
    fallen = (patient_lists.c.state == REFUSED) & (patient_lists.c.reason == FALL)
    query = select(patient_lists).where(patient_lists.c.clinic == clinic, fallen)
    row = connection.execute(query.order_by(patient_lists.c.taken_at.desc()).with_for_update()).first()
    if row is None:
        return None
    _swap(connection, clinic, row.list_id, row.taken_at)
    own = update(patient_lists).where(patient_lists.c.list_id == row.list_id)
    connection.execute(own.values(state=CURRENT, reason="accepted", current_at=now))
    return str(row.list_id)


def remove_old_rows(connection: Connection) -> int:
    """Remove some rows of lists that were replaced or refused; returns how many."""
    refused = (patient_lists.c.state == REFUSED) & (patient_lists.c.reason != FALL)
    over = select(patient_lists.c.list_id).where((patient_lists.c.state == REPLACED) | refused)
    query = select(patients.c.list_id, patients.c.row).where(patients.c.list_id.in_(over)).limit(_REMOVED_AT_ONCE)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    for list_id in sorted({row.list_id for row in rows}):
        numbers = [row.row for row in rows if row.list_id == list_id]
        connection.execute(
            delete(patient_hashes).where(patient_hashes.c.list_id == list_id, patient_hashes.c.row.in_(numbers))
        )
        connection.execute(delete(patients).where(patients.c.list_id == list_id, patients.c.row.in_(numbers)))
        connection.execute(delete(patient_parts).where(patient_parts.c.list_id == list_id))
    return len(rows)
