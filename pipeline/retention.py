"""How long does content stay readable, and how does it end for ever?

Content ends with the key of its month (crypto-erasure): the key's slot is overwritten, and with it everything sealed
to it becomes unreadable, also what is left in freed pages, in a write-ahead log and in backups. Only then are the
rows emptied; custody, outcome, verdict codes and times stay. What is held is wrapped to the current month first.
Sources: design sections 6 and 7, security-and-reliability 3.5 and 6.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    LargeBinary,
    Row,
    Select,
    Table,
    and_,
    delete,
    exists,
    func,
    literal,
    or_,
    select,
    tuple_,
    union,
    update,
)

from pipeline import access, keyring
from pipeline.contents import decision_context, file_context, name_context, record_context, result_context
from pipeline.errors import PermanentError
from pipeline.events import EdgeReported
from pipeline.holds import ACTIVE
from pipeline.keyring import EpochKey, Keyring
from pipeline.sealing import KeyClass, Opener, Sealer, recipient_of
from pipeline.settings import RetentionSettings
from pipeline.storage.engine import Store
from pipeline.storage.schema import clinical_answers, copies, decisions, edges, files, holds, parked, results
from pipeline.topology import Edge, Role

CHUNK: Final = 500
MARGIN: Final = timedelta(days=1)
"""How long after its end a month may still be written to: clocks of edges, captures about midnight."""


class RetentionError(PermanentError):
    """The key may not be destroyed now.

    `reason`: no_such_key, epoch_open, not_final (files of it are still under way), parked (messages of the clinic
    are set aside that may need it), edge_behind (a terminal may still have files of it).
    """


@dataclass(frozen=True, slots=True)
class Destroyed:
    """What became of one epoch. `kept` and `emptied` count rows."""

    key: EpochKey
    kept: int
    emptied: int


@dataclass(frozen=True, slots=True)
class Actor:
    """Who destroys: a member of staff, or (`-`) the policy."""

    staff: str
    os_user: str


@dataclass(frozen=True, slots=True)
class _Place:
    """A sealed column of a table that has `file_id` and `clinic`."""

    table: Table
    column: str
    context: Callable[[Row[Any]], str]
    empty: dict[str, object]
    """What the row holds when its content has ended."""

    @property
    def sealed(self) -> ColumnElement[bytes]:
        return self.table.c[self.column]

    def belongs_to(self, key: EpochKey) -> ColumnElement[bool]:
        identifier = func.substr(self.sealed, 3, 8, type_=LargeBinary)  # where `sealing` writes it
        return and_(
            self.table.c.clinic == key.clinic, identifier == literal(bytes.fromhex(key.identifier), LargeBinary)
        )


# An empty original is not a missing one: it was here, was delivered, and has ended with its key.
_PLACES: Final = (
    _Place(files, "sealed_original", lambda row: file_context(row.file_id), {"sealed_original": b""}),
    _Place(files, "sealed_record", lambda row: record_context(row.file_id), {"sealed_record": None}),
    _Place(copies, "sealed_name", lambda row: name_context(row.copy_id), {"sealed_name": b""}),
    _Place(
        results,
        "sealed_result",
        lambda row: result_context(row.file_id, row.result),
        {"sealed_result": b"", "person_hash": None, "patient_hash": None, "state": "closed"},
    ),
    _Place(decisions, "sealed_reason", lambda row: decision_context(row.decision_id), {"sealed_reason": b""}),
)


def ends_at(epoch: str) -> datetime:
    """Return the first instant after a month `YYYY-MM`."""
    return _later(epoch, 1)


def due_at(key: EpochKey, settings: RetentionSettings) -> datetime | None:
    """Say from when the policy destroys a key; never for the standing class."""
    months = {
        KeyClass.ORIGINAL: settings.originals_months,
        KeyClass.CLINICAL: settings.clinical_months,
        KeyClass.CONFIRMATION: settings.confirmation_months,
    }.get(key.key_class)
    return None if months is None else _later(key.epoch, 1 + months)


def _later(epoch: str, months: int) -> datetime:
    count = int(epoch[:4]) * 12 + int(epoch[5:]) - 1 + months
    return datetime(count // 12, count % 12 + 1, 1, tzinfo=UTC)


def destroy(
    store: Store, keys: Keyring, wanted: EpochKey, actor: Actor, now: datetime, *, configured: Collection[Edge]
) -> Destroyed:
    """End one month of one class of one clinic. Repeatable: what a crash left undone is done.

    What was begun is in the access log; a refusal before that is the caller's to log. `configured`: the machines that
    may still say something.

    Raises:
        RetentionError: nothing was destroyed; what is held may have been wrapped to the current month.
    """
    subject = f"{wanted.clinic} {wanted.key_class} {wanted.epoch}"
    _refuse_open(wanted, now)
    kept = 0
    if wanted.is_usable:
        with store.reading() as connection:
            for blocker in _blockers(connection, wanted, configured, are_held_kept=False):
                raise blocker
    _log(store, actor, subject, "begun", now)
    try:
        if wanted.is_usable:
            kept = _Keeper(store, keys, wanted, now).keep()
        key = _end(store, keys, wanted, configured, now)
    except RetentionError:
        _log(store, actor, subject, "given_up", now)
        raise
    emptied = _empty(store, key)
    _log(store, actor, subject, "done", now)
    return Destroyed(key, kept, emptied)


def _refuse_open(key: EpochKey, now: datetime) -> None:
    if key.key_class is KeyClass.STANDING:
        raise RetentionError("no_such_key", "the standing key belongs to no month")
    if now < ends_at(key.epoch) + MARGIN:
        raise RetentionError("epoch_open", f"{key.epoch} is not over")


def _log(store: Store, actor: Actor, subject: str, result: str, now: datetime) -> None:
    with store.transaction() as connection:
        access.record(connection, actor.staff, actor.os_user, "keys.destroy", subject, result, now)


# What is held


def _held(table: Table) -> ColumnElement[bool]:
    return exists().where(holds.c.file_id == table.c.file_id, holds.c.state.in_(ACTIVE))


class _Keeper:
    """Wraps what is held to the month of `now`; the content stays as it is."""

    def __init__(self, store: Store, keys: Keyring, key: EpochKey, now: datetime) -> None:
        self._store = store
        self._key = key
        self._opener, self._sealer = Opener(keys), Sealer()
        self._keys, self._now = keys, now

    def keep(self) -> int:
        kept = 0
        for place in _PLACES:
            while count := self._keep_some(place):
                kept += count
        return kept

    def _keep_some(self, place: _Place) -> int:
        with self._store.transaction() as connection:
            query = select(place.table).where(place.belongs_to(self._key), _held(place.table)).limit(CHUNK)
            rows = connection.execute(query.with_for_update()).all()
            for row in rows:
                values = self._rewrapped(place, row)
                connection.execute(update(place.table).where(_is_row(place.table, [row])).values(**values))
        return len(rows)

    def _rewrapped(self, place: _Place, row: Row[Any]) -> dict[str, object]:
        old: bytes = getattr(row, place.column)
        # Asked only where something is held: of a clinic that left there may be no key of this month any more.
        public = self._keys.epoch_key(self._key.clinic, self._key.key_class, self._now)
        sealed = self._opener.rewrap(self._sealer, public, self._key.clinic, place.context(row), old)
        is_original = place.column == "sealed_original"
        return {place.column: sealed, **({"original_key": recipient_of(sealed)} if is_original else {})}


def _is_row(table: Table, rows: Sequence[Row[Any]]) -> ColumnElement[bool]:
    columns = list(table.primary_key.columns)
    return tuple_(*columns).in_([tuple(getattr(row, column.name) for column in columns) for row in rows])


# The end


def _end(store: Store, keys: Keyring, wanted: EpochKey, configured: Collection[Edge], now: datetime) -> EpochKey:
    """Ask once more with the files' rows in hand, so that no hold can come between the question and the end."""
    with store.transaction() as connection:
        if wanted.is_usable:
            of_key = union(*(select(p.table.c.file_id).where(p.belongs_to(wanted)) for p in _PLACES)).subquery()
            connection.execute(
                select(files.c.file_id).where(files.c.file_id.in_(select(of_key.c.file_id))).with_for_update()
            ).all()
            for blocker in _blockers(connection, wanted, configured, are_held_kept=True):
                raise blocker
        made = keyring.destroy(keys.directory, wanted.clinic, wanted.key_class, wanted.epoch, now, wanted.identifier)
    keys.reload()
    return made


def _blockers(
    connection: Connection, key: EpochKey, configured: Collection[Edge], *, are_held_kept: bool
) -> Iterator[RetentionError]:
    """Say what stands against it. Once what is held was kept, a held file that is still here was held a moment ago."""
    is_open = or_(files.c.settled_at.is_(None), _held(files))
    if not are_held_kept:
        is_open = and_(files.c.settled_at.is_(None), ~_held(files))
    queries = [query.where(is_open).limit(3) for query in _files_of(key)]
    open_ = sorted({file_id for query in queries for file_id in connection.scalars(query)})
    if open_:
        yield RetentionError("not_final", ", ".join(open_[:3]))
    if key.key_class is KeyClass.CONFIRMATION:
        return  # sealed at the centre only: no message and no terminal holds anything of it
    aside = and_(parked.c.consumer == Role.PARSING.value, parked.c.state.in_(["parked", "replaying"]))
    since = parked.c.parked_at >= _later(key.epoch, 0) - MARGIN
    mine = or_(parked.c.clinic == key.clinic, parked.c.clinic.is_(None))
    if connection.scalar(select(func.count()).select_from(parked).where(aside, since, mine)):
        yield RetentionError("parked", f"messages of {key.clinic} are parked at parsing: replay or discard them first")
    behind = sorted(_edges_behind(connection, key, configured))
    if behind:
        yield RetentionError("edge_behind", ", ".join(behind))


def _files_of(key: EpochKey) -> Iterator[Select[Any]]:
    for place in _PLACES:
        query = select(files.c.file_id).where(place.belongs_to(key))
        if place.table is not files:
            query = query.join(place.table, place.table.c.file_id == files.c.file_id)
        yield query


def is_sealed_to(key: EpochKey) -> ColumnElement[bool]:
    """Say of a file's row whether anything of that file is sealed to a key."""
    return files.c.file_id.in_(union(*_files_of(key)))


def _edges_behind(connection: Connection, key: EpochKey, configured: Collection[Edge]) -> Iterator[str]:
    end = ends_at(key.epoch) + MARGIN
    for row in connection.execute(select(edges).where(edges.c.clinic == key.clinic)):
        report = EdgeReported.model_validate_json(row.report)
        oldest = report.reported_at - timedelta(seconds=report.oldest_seconds)
        is_behind = row.last_seen < end or (report.backlog and oldest < end)
        # A machine that was taken out of the configuration says nothing more, and would keep its months for ever.
        if is_behind and Edge(row.clinic, row.edge) in configured:
            yield row.edge


# Afterwards


def _empty(store: Store, key: EpochKey) -> int:
    """Empty the rows of a destroyed key, a few at a time. Their content is gone already."""
    emptied = 0
    for place in _PLACES:
        columns = list(place.table.primary_key.columns)
        while True:
            with store.transaction() as connection:
                rows = connection.execute(select(*columns).where(place.belongs_to(key)).limit(CHUNK)).all()
                if not rows:
                    break
                connection.execute(update(place.table).where(_is_row(place.table, rows)).values(**place.empty))
                if place.column == "sealed_record":
                    # Without its record a result can never be matched again.
                    of_file = results.c.file_id.in_([row.file_id for row in rows])
                    connection.execute(update(results).where(of_file).values(state="closed"))
                    gone = clinical_answers.c.file_id.in_([row.file_id for row in rows])
                    connection.execute(delete(clinical_answers).where(gone))
            emptied += len(rows)
    return emptied


# The policy


def due(keys: Keyring, settings: RetentionSettings, now: datetime) -> list[EpochKey]:
    """Find what the policy ends now, and what was begun and not ended."""
    keys.version()
    if not settings.automatic:
        return []
    return [key for key in keys.ring.epochs if _is_due(key, settings, now)]


def _is_due(key: EpochKey, settings: RetentionSettings, now: datetime) -> bool:
    at = due_at(key, settings)
    return key.destroyed_at is None and at is not None and now >= max(at, ends_at(key.epoch) + MARGIN)
