"""What has this edge to say that the broker has not confirmed yet? Kept in the transaction of its cause."""

import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime

from pipeline.budget import fitting
from pipeline.envelope import Envelope, WireEvent, write
from producers.chart.ledger import Ledger

_COLUMNS = "event_id, type, exchange, routing_key, batched, body, at, cause, correlation, traceparent"


def add(transaction: sqlite3.Connection, envelopes: Iterable[Envelope]) -> None:
    """Add events to be sent; one that still waits is left as it is."""
    transaction.executemany(
        f"INSERT OR IGNORE INTO outgoing ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - constant
        [_row(write(envelope)) for envelope in envelopes],
    )


def drop(transaction: sqlite3.Connection, event_type: str) -> None:
    """Take back what was not sent yet of a type, because something newer replaces it."""
    transaction.execute("DELETE FROM outgoing WHERE type = ?", (event_type,))


class Outgoing:
    """The waiting events, as the sender sees them."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger

    def routing_keys(self) -> list[str]:
        with self._ledger.transaction() as transaction:
            rows = transaction.execute("SELECT routing_key FROM outgoing GROUP BY routing_key ORDER BY MIN(number)")
            return [key for (key,) in rows]

    def waiting(self, routing_key: str, most: int) -> list[WireEvent]:
        """Return the oldest of one routing key, as many as fit into memory."""
        with self._ledger.transaction() as transaction:
            rows = transaction.execute(
                f"SELECT {_COLUMNS} FROM outgoing WHERE routing_key = ? ORDER BY number LIMIT ?",  # noqa: S608 - constant
                (routing_key, most),
            )
            return [_event(row) for row in fitting((row, len(row[6])) for row in rows)]

    def confirmed(self, events: Sequence[WireEvent]) -> None:
        with self._ledger.transaction() as transaction:
            transaction.executemany("DELETE FROM outgoing WHERE event_id = ?", [(event.id,) for event in events])


def _row(event: WireEvent) -> tuple[object, ...]:
    return (
        event.id,
        event.type,
        event.exchange,
        event.routing_key,
        int(event.batched),
        event.body,
        event.at.isoformat(),
        event.cause,
        event.correlation,
        event.traceparent,
    )


def _event(row: Sequence[str | bytes | int]) -> WireEvent:
    event_id, event_type, exchange, key, batched, body, at, cause, correlation, traceparent = row
    assert isinstance(body, bytes)
    return WireEvent(
        id=str(event_id),
        type=str(event_type),
        exchange=str(exchange),
        routing_key=str(key),
        batched=bool(batched),
        body=body,
        at=datetime.fromisoformat(str(at)),
        cause=str(cause),
        correlation=str(correlation),
        traceparent=str(traceparent),
    )
