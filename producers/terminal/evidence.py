"""What happened here that the centre must hear of, and has not answered that it has?

Written in the transaction of what happened; the publisher sends it in order, and again after a while, until the
centre answers with `evidence.stored`: a broker may lose what it has confirmed.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from pipeline.custody import Custody
from pipeline.envelope import Envelope, WireEvent, enclose, write
from pipeline.events import Event, FileRefused, FileVanished
from pipeline.sealing import recipient_of
from producers.terminal import copies
from producers.terminal.copies import Copy
from producers.terminal.ledger import from_micros, to_micros

KEPT = timedelta(days=14)
"""How long evidence is said again at most: no centre that keeps its inbox is silent for longer."""
_FIELDS = "event_id, type, exchange, routing_key, batched, body, at, cause, correlation, traceparent"


def add(db: sqlite3.Connection, events: Iterable[tuple[Event, Envelope | None]], now: datetime) -> None:
    """Write events; one that waits already, or for its answer, is due now."""
    add_written(db, [write(enclose(event, now, cause)) for event, cause in events])


def add_written(db: sqlite3.Connection, events: Iterable[WireEvent]) -> None:
    db.executemany(
        f"INSERT INTO outbox ({_FIELDS}) VALUES (?,?,?,?,?,?,?,?,?,?)"  # noqa: S608 - fixed columns
        " ON CONFLICT (event_id) DO UPDATE SET next_at = NULL",
        [
            (
                *(e.id, e.type, e.exchange, e.routing_key, e.batched, e.body),
                *(to_micros(e.at), e.cause, e.correlation, e.traceparent),
            )
            for e in events
        ],
    )


def waiting(db: sqlite3.Connection, now: datetime, longest: timedelta, most: int) -> list[WireEvent]:
    """Find what is to be said now, in the order it happened. No repetition is ever set farther ahead than `longest`."""
    rows = db.execute(
        f"SELECT {_FIELDS} FROM outbox WHERE next_at IS NULL OR next_at <= ? OR next_at > ?"  # noqa: S608 - fixed columns
        " ORDER BY number LIMIT ?",
        (to_micros(now), to_micros(now + longest), most),
    )
    return [
        WireEvent(event_id, kind, exchange, key, bool(batched), body, from_micros(at), cause, correlation, trace)
        for event_id, kind, exchange, key, batched, body, at, cause, correlation, trace in rows
    ]


def sealed_to(db: sqlite3.Connection) -> set[str]:
    """Name the keys that the names in unanswered refusals are sealed to."""
    rows = db.execute("SELECT body FROM outbox WHERE type = ?", (FileRefused.type_name(),))
    return {recipient_of(FileRefused.model_validate_json(body).sealed_name) for (body,) in rows}


def mark_said(db: sqlite3.Connection, event_ids: Sequence[str], now: datetime, after: timedelta, later: int) -> None:
    """Note the broker's confirmation, with the time of the next repetition should nobody answer."""
    first, next_ = to_micros(now + after), to_micros(now + later * after)
    db.execute(
        "UPDATE outbox SET said = said + 1, next_at = CASE said WHEN 0 THEN ? ELSE ? END"
        " WHERE event_id IN (SELECT value FROM json_each(?))",
        (first, next_, json.dumps(event_ids)),
    )
    db.execute("DELETE FROM outbox WHERE said > 0 AND at < ?", (to_micros(now - KEPT),))


def remove(db: sqlite3.Connection, event_ids: Sequence[str]) -> None:
    """Forget what the centre has."""
    db.execute("DELETE FROM outbox WHERE event_id IN (SELECT value FROM json_each(?))", (json.dumps(event_ids),))


def vanish(db: sqlite3.Connection, gone: Sequence[Copy], clinic: str, edge: str, now: datetime) -> None:
    """Note that another program removed these copies.

    The centre is told of a copy that it has; of one that it has not, when it answers that it has (`tell_vanished`).
    """
    copies.mark_gone(db, [copy.copy_id for copy in gone], Custody.VANISHED, now)
    known = [copy for copy in gone if copy.stored_at or copy.state is Custody.HELD]
    add(db, [(_vanished(copy, clinic, edge, now), None) for copy in known], now)


def tell_vanished(db: sqlite3.Connection, found: Iterable[Copy], clinic: str, edge: str, now: datetime) -> None:
    """Tell, or tell again, of copies that have vanished before."""
    events = [_vanished(copy, clinic, edge, copy.gone_at) for copy in found if copy.gone_at]
    add(db, [(event, None) for event in events], now)


def _vanished(copy: Copy, clinic: str, edge: str, at: datetime) -> FileVanished:
    return FileVanished(clinic=clinic, edge=edge, file_id=copy.file_id, copy_id=copy.copy_id, noticed_at=at)
