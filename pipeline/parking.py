"""What was set aside, and how does it come back? The table `parked` is the truth; parked queues are only transit."""

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, func, select, update

from pipeline import budget
from pipeline.broker.port import Delivery, OutMessage
from pipeline.custody import FileOutcome, Receipt
from pipeline.envelope import ATTEMPT_HEADER, ROUTING_KEY_HEADER, UnreadableMessageError, attempt_of, read
from pipeline.events import BY_TYPE, FileEvent, derive_id
from pipeline.storage.engine import insert_new, upsert
from pipeline.storage.schema import files, parked, receipts
from pipeline.topology import Exchange, Role

REASON_HEADER = "x-reason"
KILLED = "delivery_limit"
"""Why the broker itself parked it: it kept coming back, mostly because the process died with it or beside it."""
REPLAYED_AT_ONCE = 100


def keep(connection: Connection, role: Role, deliveries: Sequence[Delivery], now: datetime) -> None:
    """Write parked messages into the table, byte for byte; one that was there is parked anew."""
    rows = {row["parked_id"]: row for row in (_row(role, delivery, now) for delivery in deliveries)}
    update_columns = ("reason", "state", "attempts", "headers", "body", "parked_at", "ended_at")
    upsert(connection, parked, list(rows.values()), update_columns)


def _row(role: Role, delivery: Delivery, now: datetime) -> dict[str, object]:
    event_id, clinic, correlation, type_name = _about(delivery)
    return {
        "parked_id": derive_id("parked", role, event_id),
        "consumer": role.value,
        "event_id": event_id,
        "clinic": clinic,
        "correlation": correlation,
        "type": type_name,
        "reason": _cut(delivery.headers.get(REASON_HEADER, KILLED), 40),
        "state": "parked",
        "attempts": attempt_of(delivery),
        "routing_key": _cut(delivery.headers.get(ROUTING_KEY_HEADER, delivery.routing_key), 120),
        "content_type": _cut(delivery.content_type, 60),
        "headers": json.dumps({k: v for k, v in delivery.headers.items() if isinstance(v, str | int)}),
        "body": delivery.body,
        "parked_at": now,
        "ended_at": None,
    }


def _cut(value: object, most: int) -> str:
    # A stranger's message has a place in the table too, whatever it says of itself.
    return str(value).replace("\x00", "")[:most]


def _about(delivery: Delivery) -> tuple[str, str | None, str | None, str]:
    try:
        envelopes = read(delivery)
        envelope = envelopes[0]
    except (UnreadableMessageError, IndexError):
        # A stranger's message may have no id: two of them are not one.
        name = delivery.message_id or uuid4().hex
        return derive_id("unreadable", name), None, None, "unreadable"
    # A batch that the broker set aside is not its first event, whose own row would take its place.
    name = envelope.id if len(envelopes) == 1 else derive_id("batch", *(each.id for each in envelopes))
    return name, envelope.event.clinic, envelope.correlation, envelope.event.type_name()


def replays(connection: Connection, role: Role) -> dict[str, OutMessage]:
    """Find what somebody wants replayed, by parked id; the messages go to this consumer's own queue only."""
    wanted = (parked.c.consumer == role.value) & (parked.c.state == "replaying")
    query = select(parked.c.parked_id, func.length(parked.c.body)).where(wanted).order_by(parked.c.parked_at)
    found = connection.execute(query.limit(REPLAYED_AT_ONCE)).all()
    fitting = list(budget.fitting((name, size) for name, size in found))
    rows = connection.execute(select(parked).where(parked.c.parked_id.in_(fitting)).order_by(parked.c.parked_at))
    return {row.parked_id: _replay(role, row) for row in rows}


def _replay(role: Role, row: Row[Any]) -> OutMessage:
    headers = {**json.loads(row.headers), ATTEMPT_HEADER: 1}
    return OutMessage(Exchange.RETURN, role.value, row.event_id, row.body, headers, row.content_type)


def mark_replayed(connection: Connection, parked_ids: Sequence[str], now: datetime) -> None:
    """Note that these were published again; one that was parked anew meanwhile stays parked."""
    wanted = parked.c.parked_id.in_(parked_ids) & (parked.c.state == "replaying")
    connection.execute(update(parked).where(wanted).values(state="replayed", ended_at=now))


def counts(connection: Connection) -> dict[str, int]:
    """Count what is parked, by consumer."""
    query = (
        select(parked.c.consumer, func.count().label("parked"))
        .where(parked.c.state == "parked")
        .group_by(parked.c.consumer)
    )
    return {row.consumer: row.parked for row in connection.execute(query)}


def ask_replay(connection: Connection, parked_ids: Sequence[str]) -> int:
    """Mark parked messages to be replayed by their running consumer; returns how many."""
    wanted = parked.c.parked_id.in_(parked_ids) & (parked.c.state == "parked")
    return connection.execute(update(parked).where(wanted).values(state="replaying")).rowcount


def reason_context(parked_id: str) -> str:
    """Bind the sealed reason of a discard to its message."""
    return f"parked:{parked_id}"


def discard(
    connection: Connection, parked_ids: Sequence[str], staff: str, seal: Callable[[Row[Any]], bytes], now: datetime
) -> int:
    """Give messages up for good: their consumer's receipt is `discarded`, their file `rejected`; erasure goes on.

    `seal` gives the sealed reason of one parked row, for a reason may name a patient.
    """
    wanted = parked.c.parked_id.in_(parked_ids) & (parked.c.state == "parked")
    rows = connection.execute(select(parked).where(wanted).with_for_update()).all()
    for row in rows:
        values = {"state": "discarded", "ended_at": now, "staff": staff, "sealed_reason": seal(row)}
        connection.execute(update(parked).where(parked.c.parked_id == row.parked_id).values(**values))
    # Deletion only looks after copies: giving up one of its messages says nothing of the file.
    about = [row for row in rows if row.correlation and _is_about_file(row.type) and row.consumer != Role.DELETION]
    known = connection.execute(
        select(files.c.file_id, files.c.clinic).where(files.c.file_id.in_([row.correlation for row in about]))
    )
    owners = {row.file_id: row.clinic for row in known}
    # What one clinic said of another's file ends nothing there.
    about = [row for row in about if owners.get(row.correlation, row.clinic) == row.clinic]
    insert_new(
        connection,
        receipts,
        [
            {"file_id": r.correlation, "consumer": r.consumer, "result": Receipt.DISCARDED.value, "at": now}
            for r in about
        ],
    )
    pending = files.c.file_id.in_([r.correlation for r in about]) & (files.c.outcome == FileOutcome.PENDING.value)
    connection.execute(
        update(files).where(pending).values(outcome=FileOutcome.REJECTED.value, reason="discarded", outcome_at=now)
    )
    return len(rows)


def _is_about_file(type_name: str) -> bool:
    return type_name in BY_TYPE and issubclass(BY_TYPE[type_name], FileEvent)
