"""Which copies may be erased now, and which terminals must be told of a hold?

Found by query, never by a message, so that nothing that was lost can keep a file on a terminal. An order is a lease:
it is issued again while the copy is there and due. The centre answers for C3 (stored), C5 (every receipt that the
file's outcome needs) and C6 (no hold); the terminal checks the rest. Sources: design sections 3 and 7,
security-and-reliability 3.3.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, exists, or_, select, tuple_, update

from pipeline import edge_reports, holds
from pipeline.clock import DRIFT_LIMIT
from pipeline.custody import REQUIRED, Custody, FileOutcome
from pipeline.events import ErasureOrder, Event, FileSettled, HoldReleased, HoldSet, derive_id
from pipeline.holds import ACTIVE, GONE, HoldState
from pipeline.outcome import Outcome
from pipeline.settings import Settings
from pipeline.storage.schema import copies, files, receipts
from pipeline.storage.schema import holds as holds_table
from pipeline.topology import CHART_EDGE, Role

MOST: Final = 500
FARTHEST: Final = timedelta(hours=1) + DRIFT_LIMIT
"""A pause after a failure that ends later than this was written before the clock was set back."""
CENTRE_PRECONDITIONS: Final = ("C3", "C5", "C6")


@dataclass(frozen=True, slots=True)
class Ordered:
    copy_id: str
    orders: int
    until: datetime


@dataclass(frozen=True, slots=True)
class HoldOrdered:
    """A hold whose orders leave with this transaction, or whose state has come out."""

    hold_id: str
    state: str
    until: datetime | None


@dataclass(frozen=True, slots=True)
class Settled:
    file_id: str


def erasures(connection: Connection, settings: Settings, now: datetime) -> list[Outcome]:
    """Claim the copies that may be erased, and order it."""
    rows = _due_copies(connection, settings, now)
    if not rows:
        return []
    released = _released(connection, {row.file_id for row in rows})
    until = now + settings.lease
    return [_order(row, released.get(row.file_id, ()), until) for row in rows]


def _due_copies(connection: Connection, settings: Settings, now: datetime) -> Sequence[Any]:
    terminals = [edge for edge in settings.edges if edge.edge != CHART_EDGE]
    reachable = edge_reports.taking_orders(terminals, edge_reports.read(connection), now)
    held = exists().where(holds_table.c.file_id == copies.c.file_id, holds_table.c.state.in_(ACTIVE))
    query = (
        select(copies.c.copy_id, copies.c.file_id, copies.c.clinic, copies.c.terminal, copies.c.orders)
        .join(files, files.c.file_id == copies.c.file_id)
        .where(
            copies.c.custody == Custody.STORED.value,
            *_old_enough(settings, now),
            or_(
                _is_over(copies.c.ordered_until, settings.lease, now) & copies.c.erasure_fault.is_(None),
                _is_over(copies.c.ordered_until, max(settings.lease, FARTHEST), now),
            ),
            tuple_(copies.c.clinic, copies.c.terminal).in_([(edge.clinic, edge.edge) for edge in reachable]),
            or_(*(_has_receipts(outcome, roles) for outcome, roles in REQUIRED.items())),
            files.c.sealed_original.is_not(None),
            ~held,
        )
        .order_by(copies.c.stored_at)
        .limit(MOST)
    )
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    if not rows:
        return []
    # Asked once more with the files' rows in hand: a hold that was being written meanwhile is seen now.
    held_now = set(connection.scalars(_held_among({row.file_id for row in rows})))
    return [row for row in rows if row.file_id not in held_now]


def _is_over(until: ColumnElement[Any], longest: timedelta, now: datetime) -> ColumnElement[bool]:
    """Say whether a stamp has passed. One farther ahead than it is ever set comes from a clock that was ahead."""
    return or_(until.is_(None), until <= now, until > now + longest + DRIFT_LIMIT)


def _old_enough(settings: Settings, now: datetime) -> tuple[ColumnElement[bool], ...]:
    """C8, by our own clock: the terminal's may have been wrong then. Without a least age no clock counts."""
    age = timedelta(seconds=settings.centre.minimum_age_seconds)
    # Seen by a clock that was ahead, it would seem too young for as long: then our own time counts.
    return (or_(copies.c.seen_at <= now - age, copies.c.stored_at <= now - age),) if age else ()


def _held_among(file_ids: set[str]) -> Any:
    query = select(holds_table.c.file_id).where(holds_table.c.file_id.in_(sorted(file_ids)))
    return query.where(holds_table.c.state.in_(ACTIVE))


def _has_receipts(outcome: FileOutcome, roles: Sequence[Role]) -> ColumnElement[bool]:
    got = (exists().where(receipts.c.file_id == copies.c.file_id, receipts.c.consumer == role.value) for role in roles)
    return and_(files.c.outcome == outcome.value, *got)


def _order(row: Row[Any], released: Sequence[str], until: datetime) -> Outcome:
    place = {"clinic": row.clinic, "edge": row.terminal, "file_id": row.file_id, "copy_id": row.copy_id}
    number = row.orders + 1
    order = ErasureOrder(
        **place,
        order_id=derive_id("erasure", row.copy_id, str(number)),
        until=until,
        preconditions=CENTRE_PRECONDITIONS,
    )
    # Releases go first, on the same queue: a terminal that missed one would refuse the order for ever.
    freed = tuple(HoldReleased(**place, hold_id=hold_id, until=until) for hold_id in released)
    return Outcome("ordered", (*freed, order), (Ordered(row.copy_id, number, until),))


def _released(connection: Connection, file_ids: set[str]) -> dict[str, list[str]]:
    query = select(holds_table.c.file_id, holds_table.c.hold_id).where(
        holds_table.c.file_id.in_(sorted(file_ids)), holds_table.c.state == HoldState.RELEASED.value
    )
    found: dict[str, list[str]] = {}
    for row in connection.execute(query.order_by(holds_table.c.set_at)):
        found.setdefault(row.file_id, []).append(row.hold_id)
    return found


def hold_orders(connection: Connection, settings: Settings, now: datetime) -> list[Outcome]:
    """Order holds again while they are asked, write what came of them, and tell of releases once."""
    untold = and_(holds_table.c.state == HoldState.RELEASED.value, holds_table.c.ordered_until.is_(None))
    asked = holds_table.c.state == HoldState.ASKED.value
    query = select(holds_table).where(or_(asked, untold)).order_by(holds_table.c.set_at).limit(MOST)
    outcomes: list[Outcome] = []
    for row in connection.execute(query.with_for_update(skip_locked=True)).all():
        found = holds.progress(connection, row.hold_id)
        if row.state == HoldState.RELEASED:
            live = (*found.kept, *found.missed, *found.unanswered)
            outcomes.append(_tell(connection, row, live, HoldReleased, now + settings.lease))
        elif found.state is not HoldState.ASKED:
            outcomes.append(Outcome(found.state.value, writes=(HoldOrdered(row.hold_id, found.state.value, None),)))
        elif row.ordered_until is None or not now < row.ordered_until <= now + settings.lease + DRIFT_LIMIT:
            outcomes.append(_tell(connection, row, found.unanswered, HoldSet, now + settings.lease))
    return outcomes


def _tell(
    connection: Connection, row: Row[Any], copy_ids: Sequence[str], kind: type[HoldSet], until: datetime
) -> Outcome:
    query = select(copies.c.copy_id, copies.c.terminal).where(copies.c.copy_id.in_(copy_ids))
    events: tuple[Event, ...] = tuple(
        kind(
            clinic=row.clinic,
            edge=copy.terminal,
            file_id=row.file_id,
            copy_id=copy.copy_id,
            hold_id=row.hold_id,
            until=until,
        )
        for copy in connection.execute(query.order_by(copies.c.copy_id))
    )
    return Outcome("hold", events, (HoldOrdered(row.hold_id, row.state, until),))


def settled(connection: Connection) -> list[Outcome]:
    """Find files whose outcome is known and whose every copy is gone."""
    is_there = exists().where(copies.c.file_id == files.c.file_id, copies.c.custody.not_in(GONE))
    had_one = exists().where(copies.c.file_id == files.c.file_id)
    known = [outcome.value for outcome in REQUIRED]
    query = (
        select(files.c.file_id, files.c.clinic, files.c.terminal, files.c.outcome)
        .where(files.c.outcome.in_(known), files.c.settled_at.is_(None), had_one, ~is_there)
        .limit(MOST)
        .with_for_update(skip_locked=True)
    )
    return [
        Outcome(
            "settled",
            (FileSettled(clinic=row.clinic, edge=row.terminal, file_id=row.file_id, outcome=row.outcome),),
            (Settled(row.file_id),),
        )
        for row in connection.execute(query)
    ]


_ORDERED: Final = (
    update(copies)
    .where(copies.c.copy_id == bindparam("which"))
    .values(orders=bindparam("number"), ordered_until=bindparam("then"))
)


def mark(connection: Connection, writes: Sequence[object], now: datetime) -> None:
    """Write what the schedule decided; anything else is not its business."""
    ordered = [
        {"which": one.copy_id, "number": one.orders, "then": one.until} for one in writes if isinstance(one, Ordered)
    ]
    if ordered:
        connection.execute(_ORDERED, ordered)
    over = sorted(one.file_id for one in writes if isinstance(one, Settled))
    if over:
        open_files = files.c.file_id.in_(over) & files.c.settled_at.is_(None)
        connection.execute(update(files).where(open_files).values(settled_at=now))
    for one in writes:
        if isinstance(one, HoldOrdered):
            _mark_hold(connection, one)


def _mark_hold(connection: Connection, one: HoldOrdered) -> None:
    values: dict[str, Any] = {"state": one.state} if one.until is None else {"ordered_until": one.until}
    same = holds_table.c.hold_id == one.hold_id
    same &= holds_table.c.state == (HoldState.ASKED.value if one.until is None else one.state)
    connection.execute(update(holds_table).where(same).values(**values))
