"""How does what was decided reach the broker, even when we die in between?

Rows are written in the transaction of their cause; a runner publishes them afterwards and the relay sends what was
left. Rows of a file that is not final are published again at intervals, so that any loss downstream heals.
"""

import itertools
import time
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, exists, func, or_, select, update

from pipeline import budget
from pipeline.clock import DRIFT_LIMIT
from pipeline.custody import FileOutcome
from pipeline.envelope import Envelope, WireEvent, enclose, write
from pipeline.events import DeliveryWanted, Event, RecordParsed, RecordReconciled
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import deliveries, files, outbox, parked, receipts
from pipeline.topology import Exchange, Role
from pipeline.vendor_events import vendor_of

HEALED: frozenset[str] = frozenset(event.type_name() for event in (RecordParsed, RecordReconciled, DeliveryWanted))
"""Facts that are published again while somebody may still be waiting for them."""
LATER = 4
"""How many times longer the next repetitions wait than the first (15 minutes, then hourly)."""
KEPT = timedelta(days=14)
"""How long what was sent is kept: longer than a terminal's spool, from which a cause may come again."""
LEFT_AFTER = timedelta(seconds=5)
"""How long a row may wait for its own runner before any runner sends it. A clock that was set back must not add to
it, here and in `to_repeat`: what is due too far in the future is due now."""
CLAIMED_AT_ONCE, REPEATED_AT_ONCE, PURGED_AT_ONCE = 500, 200, 2000
"""How many rows one transaction takes at most."""

_IS_HEARD = exists().where(receipts.c.file_id == files.c.file_id, receipts.c.consumer == Role.CONSENT.value)
_IS_PARKED = exists().where(
    parked.c.correlation == files.c.file_id, parked.c.consumer == Role.CONSENT.value, parked.c.state == "parked"
)
_IS_BEHIND = exists().where(deliveries.c.file_id == files.c.file_id, deliveries.c.done_revision < files.c.revision)
# The chart may have a file that consent never heard of, or an older revision of it than a person has decided.
_IS_OPEN = or_(
    files.c.outcome == FileOutcome.PENDING.value,
    files.c.outcome.in_((FileOutcome.DELIVERED.value, FileOutcome.NOT_DUE.value)) & ~_IS_HEARD & ~_IS_PARKED,
    (files.c.outcome == FileOutcome.DELIVERED.value) & _IS_BEHIND,
)

_counter = itertools.count(time.time_ns())


def add(
    connection: Connection,
    role: Role,
    events: Iterable[tuple[Event, Envelope | None]],
    now: datetime,
    repeat_after: timedelta,
) -> list[WireEvent]:
    """Write events into the outbox and return them as they will be sent. One that is there already stays as it is."""
    written = [write(enclose(event, now, cause)) for event, cause in events]
    insert_new(
        connection,
        outbox,
        [
            {
                "event_id": event.id,
                "number": next(_counter),
                "consumer": role.value,
                "cause": event.cause,
                "correlation": event.correlation,
                "type": event.type,
                "exchange": event.exchange,
                "routing_key": event.routing_key,
                "batched": event.batched,
                "body": event.body,
                "traceparent": event.traceparent,
                "at": now,
                "left_at": now,
                "again_at": now + repeat_after if event.type in HEALED else None,
            }
            for event in written
        ],
    )
    return written


def of_causes(
    connection: Connection, role: Role, causes: Sequence[str], *, is_alone: bool, only_unsent: bool = False
) -> list[WireEvent]:
    """Find what these events led to, to publish it again before they are acknowledged.

    Raises:
        TooHeavyError: it is too much at once, and they do not come from a batch of one.
    """
    if not causes:
        return []
    wanted = (outbox.c.consumer == role.value) & outbox.c.cause.in_(causes)
    if only_unsent:
        wanted &= outbox.c.sent_at.is_(None)
    if not is_alone:
        budget.check(list(connection.scalars(select(func.length(outbox.c.body)).where(wanted))))
    rows = connection.execute(select(outbox).where(wanted).order_by(outbox.c.number)).all()
    # What is left out here, the relay sends in its turn.
    late = _overtaking(connection, rows) if only_unsent else set[str]()
    return [_wire(row) for row in rows if row.event_id not in late]


def claim_unsent(connection: Connection, now: datetime) -> list[WireEvent]:
    """Claim rows that nobody has sent; who claims them and dies leaves them to be claimed again.

    Those that were tried longest ago first: what cannot be sent (a vendor's stream that is away) may be thousands.
    They are claimed in parts, and no part tells a vendor what was written after something that it leaves unsent.
    """
    query = (
        select(outbox.c.event_id, func.length(outbox.c.body), outbox.c.exchange, outbox.c.routing_key, outbox.c.number)
        .where(
            outbox.c.sent_at.is_(None), or_(outbox.c.left_at < now - LEFT_AFTER, outbox.c.left_at > now + DRIFT_LIMIT)
        )
        .order_by(outbox.c.left_at, outbox.c.number)
        .limit(CLAIMED_AT_ONCE)
        .with_for_update(skip_locked=True)
    )
    rows = list(budget.fitting((row, row[1]) for row in connection.execute(query).all()))
    if not rows:
        return []
    claimed = [row.event_id for row in rows]
    connection.execute(update(outbox).where(outbox.c.event_id.in_(claimed)).values(left_at=now))
    return _read(connection, set(claimed) - _overtaking(connection, rows))


def _overtaking(connection: Connection, rows: Sequence[Any]) -> set[str]:
    """Find, of claimed rows, the notices that one for the same vendor goes before which is unsent and not claimed."""
    notices = [row for row in rows if row.exchange == Exchange.PUBLIC]
    if not notices:
        return set()
    others = (outbox.c.exchange == Exchange.PUBLIC.value) & outbox.c.event_id.not_in([row.event_id for row in notices])
    query = select(outbox.c.routing_key, func.min(outbox.c.number)).where(outbox.c.sent_at.is_(None), others)
    first: dict[str, int] = {}
    for key, number in connection.execute(query.group_by(outbox.c.routing_key)):
        first[vendor_of(key)] = min(number, first.get(vendor_of(key), number))
    return {row.event_id for row in notices if row.number > first.get(vendor_of(row.routing_key), row.number)}


def unsent_keys(connection: Connection, role: Role) -> set[str]:
    """Find the routing keys of what this role wrote and nobody has sent."""
    # Asked for all roles: by the index of what is unsent, never by the role's, through all it ever wrote.
    query = select(outbox.c.routing_key, outbox.c.consumer).where(outbox.c.sent_at.is_(None)).distinct()
    return {key for key, consumer in connection.execute(query) if consumer == role.value}


def drop_unsent(connection: Connection, role: Role, routing_keys: Collection[str]) -> None:
    """Delete what this role wrote under these keys and nobody has sent: nobody shall hear it any more."""
    if routing_keys:
        same = (outbox.c.consumer == role.value) & outbox.c.routing_key.in_(sorted(routing_keys))
        connection.execute(delete(outbox).where(outbox.c.sent_at.is_(None), same))


def _read(connection: Connection, event_ids: Collection[str]) -> list[WireEvent]:
    if not event_ids:
        return []
    query = select(outbox).where(outbox.c.event_id.in_(event_ids)).order_by(outbox.c.number)
    return [_wire(row) for row in connection.execute(query)]


def to_repeat(connection: Connection, role: Role, now: datetime, repeat_after: timedelta) -> list[WireEvent]:
    """Claim this role's rows whose file is still open and whose repetition is due, and set the next one."""
    is_due = or_(outbox.c.again_at <= now, outbox.c.again_at > now + (LATER + 1) * repeat_after)
    due = (outbox.c.consumer == role.value) & is_due & outbox.c.sent_at.is_not(None)
    query = select(outbox.c.event_id, outbox.c.correlation, func.length(outbox.c.body)).where(due)
    found = connection.execute(query.limit(REPEATED_AT_ONCE).with_for_update(skip_locked=True)).all()
    rows = list(budget.fitting((row, row[2]) for row in found))
    if not rows:
        return []
    about = files.c.file_id.in_({row.correlation for row in rows})
    still_open = set(connection.scalars(select(files.c.file_id).where(about, _IS_OPEN)))
    again = [row.event_id for row in rows if row.correlation in still_open]
    over = [row.event_id for row in rows if row.correlation not in still_open]
    connection.execute(update(outbox).where(outbox.c.event_id.in_(over)).values(again_at=None))
    connection.execute(update(outbox).where(outbox.c.event_id.in_(again)).values(again_at=now + LATER * repeat_after))
    return _read(connection, again)


def send_again(connection: Connection, event_id: str, sent_before: datetime, now: datetime) -> None:
    """Have an event sent once more that was sent before then."""
    same = (outbox.c.event_id == event_id) & (outbox.c.sent_at < sent_before)
    connection.execute(update(outbox).where(same).values(sent_at=None, left_at=now))


def mark_sent(connection: Connection, event_ids: Sequence[str], now: datetime) -> None:
    for start in range(0, len(event_ids), 500):
        part = event_ids[start : start + 500]
        connection.execute(update(outbox).where(outbox.c.event_id.in_(part)).values(sent_at=now))


def _wire(row: Row[tuple[object, ...]]) -> WireEvent:
    return WireEvent(
        id=row.event_id,
        type=row.type,
        exchange=row.exchange,
        routing_key=row.routing_key,
        batched=row.batched,
        body=row.body,
        at=row.at,
        cause=row.cause,
        correlation=row.correlation,
        traceparent=row.traceparent,
    )


def purge(connection: Connection, role: Role, now: datetime) -> int:
    """Delete this role's rows that were sent long ago and speak of nothing open; returns how many.

    A cause may come again within `KEPT`, and then what it led to is sent again, so rows are kept that long.
    """
    is_open = exists().where(files.c.file_id == outbox.c.correlation, files.c.settled_at.is_(None))
    old = (outbox.c.consumer == role.value) & (outbox.c.sent_at < now - KEPT) & ~is_open
    ids = list(connection.scalars(select(outbox.c.event_id).where(old).limit(PURGED_AT_ONCE)))
    for start in range(0, len(ids), 500):
        connection.execute(delete(outbox).where(outbox.c.event_id.in_(ids[start : start + 500])))
    return len(ids)
