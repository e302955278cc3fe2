"""How is a clinic's standing key replaced, which has no month and must not lose a row?

`rotate` draws another: from then on everything is sealed to it, at edges from when they hear `keys.published`. `rewrap`
wraps what is in the store to it, a few rows at a time; the content stays as it is. `finish` destroys the former key a
day later, once nothing in the store is sealed to it, no edge seals to it any more and nothing is set aside that may
be. Until then both open, so a crash anywhere leaves everything readable, and what is left undone is done next time.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Table,
    and_,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from pipeline import access, holds, keyring, parking
from pipeline.contents import booking_context, name_context, person_context, reference_context, request_context
from pipeline.events import BookingsChanged, EdgeReported, FileRefused, PatientsChanged
from pipeline.key_rotation import next_generation
from pipeline.keyring import EpochKey, Keyring, changing, new_epochs, read_ring, write_ring
from pipeline.patient_index import row_context
from pipeline.retention import Actor, RetentionError
from pipeline.sealing import STANDING_EPOCH, KeyClass, Opener, Sealer, UnsealError
from pipeline.storage.engine import Store
from pipeline.storage.schema import bookings, copies, edges, grants, parked, patients, reference_numbers, requests
from pipeline.storage.schema import holds as hold_rows
from pipeline.topology import Edge

CHUNK: Final = 500
OVERLAP: Final = timedelta(days=1)
"""How long the former key stands at least: for what edges sealed before they heard, and what is under way."""
_SEALED_BY_EDGES: Final = (PatientsChanged, BookingsChanged, FileRefused)


@dataclass(frozen=True, slots=True)
class _Place:
    """A column whose seals have no month, and what each of them is bound to."""

    table: Table
    column: str
    context: Callable[[Row[Any]], str]

    def is_sealed_to(self, key: EpochKey) -> ColumnElement[bool]:
        head = func.substr(self.table.c[self.column], 3, 8, type_=LargeBinary)  # where `sealing` writes the key's id
        return head == literal(bytes.fromhex(key.identifier), LargeBinary)


PLACES: Final = (
    _Place(patients, "sealed", lambda row: row_context(row.list_id, row.row)),
    _Place(grants, "sealed_person", lambda row: person_context(row.person_hash)),
    _Place(requests, "sealed_request", lambda row: request_context(row.request_id)),
    _Place(requests, "sealed_message", lambda row: request_context(row.request_id)),
    _Place(reference_numbers, "sealed", lambda row: reference_context(row.patient_hash, row.insurance_hash)),
    _Place(bookings, "sealed", lambda row: booking_context(row.clinic, row.day, row.patient_hash)),
    _Place(copies, "sealed_name", lambda row: name_context(row.copy_id)),
    _Place(hold_rows, "sealed_reason", lambda row: holds.reason_context(row.hold_id)),
    _Place(hold_rows, "sealed_release_reason", lambda row: holds.reason_context(row.hold_id)),
    _Place(parked, "sealed_reason", lambda row: parking.reason_context(row.parked_id)),
)


def rotate(directory: Path, clinics: Collection[str], now: datetime) -> tuple[EpochKey, ...]:
    """Draw another standing key for these clinics; returns the new ones."""
    with changing(directory):
        ring = read_ring(directory)[0]
        standing = [key for key in ring.epochs if key.clinic in clinics and key.key_class is KeyClass.STANDING]
        newest = {key.clinic: key.generation for key in sorted(standing, key=lambda key: key.generation)}
        names = [(clinic, KeyClass.STANDING, STANDING_EPOCH) for clinic in newest]
        drawn = new_epochs(directory, names, 1 + max((key.slot for key in ring.epochs), default=-1))
        made = tuple(key.model_copy(update={"generation": next_generation(newest[key.clinic], now)}) for key in drawn)
        replaced = {key.identifier for key in standing if key.replaced_at is None}
        former = (
            key.model_copy(update={"replaced_at": now}) if key.identifier in replaced else key for key in ring.epochs
        )
        write_ring(directory, ring.model_copy(update={"epochs": (*former, *made)}))
        return made


def replaced(keys: Keyring) -> list[EpochKey]:
    """Name the standing keys that were replaced and are not destroyed yet."""
    keys.version()
    return [key for key in keys.ring.epochs if key.replaced_at is not None and key.destroyed_at is None]


def rewrap(store: Store, keys: Keyring, former: EpochKey, now: datetime) -> int:
    """Wrap every row that is sealed to a former key to the standing one; returns how many. Repeatable."""
    return sum(_Rewrapper(store, keys, former, now).rewrap(place) for place in PLACES)


class _Rewrapper:
    def __init__(self, store: Store, keys: Keyring, former: EpochKey, now: datetime) -> None:
        self._store = store
        self._former = former
        self._opener, self._sealer = Opener(keys), Sealer()
        self._public = keys.epoch_key(former.clinic, KeyClass.STANDING, now)

    def rewrap(self, place: _Place) -> int:
        count, last = 0, None
        while True:
            with self._store.transaction() as connection:
                rows = self._next(connection, place, last)
                count += sum(self._rewrap(connection, place, row) for row in rows)
            if not rows:
                return count
            last = _name(place.table, rows[-1])

    def _next(self, connection: Connection, place: _Place, last: tuple[Any, ...] | None) -> list[Row[Any]]:
        columns = list(place.table.primary_key.columns)
        query = select(place.table).where(place.is_sealed_to(self._former)).order_by(*columns).limit(CHUNK)
        if last is not None:
            # Onwards, and not from the start: a row that cannot be opened stays where it is.
            after = [literal(value, column.type) for value, column in zip(last, columns, strict=True)]
            query = query.where(tuple_(*columns) > tuple_(*after))
        return list(connection.execute(query.with_for_update()))

    def _rewrap(self, connection: Connection, place: _Place, row: Row[Any]) -> int:
        old: bytes = getattr(row, place.column)
        try:
            sealed = self._opener.rewrap(self._sealer, self._public, self._former.clinic, place.context(row), old)
        except UnsealError:
            return 0
        pairs = zip(place.table.primary_key.columns, _name(place.table, row), strict=True)
        same = and_(*(column == value for column, value in pairs))
        connection.execute(update(place.table).where(same).values({place.column: sealed}))
        return 1


def _name(table: Table, row: Row[Any]) -> tuple[Any, ...]:
    return tuple(getattr(row, column.name) for column in table.primary_key.columns)


# The end of the former key


def finish(
    store: Store, keys: Keyring, former: EpochKey, actor: Actor, now: datetime, *, configured: Collection[Edge]
) -> int:
    """Rewrap what is left and destroy a former standing key; returns how many rows were rewrapped. Repeatable.

    Raises:
        RetentionError: not now: epoch_open (replaced less than a day ago), unopened (rows cannot be opened and stay),
            edge_behind (it has not said that it seals to the new key), parked (set aside, and may be sealed to it).
    """
    rewrapped = 0
    if former.is_usable:
        assert former.replaced_at is not None
        # First: what a replacement left undone must be in a backup made before the former key ends.
        rewrapped = rewrap(store, keys, former, now)
        if now < former.replaced_at + OVERLAP:
            raise RetentionError("epoch_open", "the standing key was replaced less than a day ago")
        newest = keys.standing_id(former.clinic)
        with store.transaction() as connection:
            for blocker in _blockers(connection, former, newest, configured):
                raise blocker
            _log(connection, actor, former, "begun", now)
    keyring.destroy(keys.directory, former.clinic, KeyClass.STANDING, STANDING_EPOCH, now, former.identifier)
    keys.reload()
    with store.transaction() as connection:
        _log(connection, actor, former, "done", now)
    return rewrapped


def _log(connection: Connection, actor: Actor, key: EpochKey, result: str, now: datetime) -> None:
    subject = f"{key.clinic} {key.key_class} {key.identifier}"
    access.record(connection, actor.staff, actor.os_user, "keys.destroy", subject, result, now)


def _blockers(
    connection: Connection, key: EpochKey, newest: str, configured: Collection[Edge]
) -> Iterator[RetentionError]:
    left = [f"{place.table.name}.{place.column}" for place in PLACES if _has_left(connection, place, key)]
    if left:
        yield RetentionError("unopened", ", ".join(left))
    types = [event.type_name() for event in _SEALED_BY_EDGES]
    aside = and_(parked.c.type.in_(types), parked.c.state.in_(["parked", "replaying"]))
    if connection.scalar(
        select(func.count()).where(aside, or_(parked.c.clinic == key.clinic, parked.c.clinic.is_(None)))
    ):
        yield RetentionError("parked", f"lists of {key.clinic} are parked: replay or discard them first")
    behind = sorted(_edges_behind(connection, key, newest, configured))
    if behind:
        yield RetentionError("edge_behind", ", ".join(behind))


def _has_left(connection: Connection, place: _Place, key: EpochKey) -> bool:
    return bool(connection.scalar(select(func.count()).select_from(place.table).where(place.is_sealed_to(key))))


def _edges_behind(connection: Connection, key: EpochKey, newest: str, configured: Collection[Edge]) -> Iterator[str]:
    assert key.replaced_at is not None
    end = key.replaced_at + OVERLAP
    rows = connection.execute(select(edges).where(edges.c.clinic == key.clinic)).all()
    # A machine that never spoke may have got the former key only, and seals to it until it hears.
    yield from {edge.edge for edge in configured if edge.clinic == key.clinic} - {row.edge for row in rows}
    for row in rows:
        report = EdgeReported.model_validate_json(row.report)
        oldest = report.reported_at - timedelta(seconds=report.oldest_seconds)
        is_behind = report.standing_key != newest or row.last_seen < end or (report.backlog and oldest < end)
        # A machine that was taken out of the configuration says nothing more.
        if is_behind and Edge(row.clinic, row.edge) in configured:
            yield row.edge
