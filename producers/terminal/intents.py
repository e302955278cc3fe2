"""Which erasures have begun, and how far did each get?

`intended`: the rename may have happened. `overwriting`: verified in quarantine, what lies there is ours to destroy.
`stranded`: not ours to destroy, but its name is taken. `done`: with the evidence, to be told again when asked.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from pipeline.envelope import Envelope
from producers.terminal.ledger import from_micros, to_micros


class Phase(StrEnum):
    INTENDED = "intended"
    OVERWRITING = "overwriting"
    STRANDED = "stranded"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Intent:
    """`cause`, `correlation` and `traceparent` continue the order's."""

    copy_id: str
    quarantine: str
    phase: Phase
    cause: str
    correlation: str
    traceparent: str
    intended_at: datetime
    evidence: bytes | None = None


def begin(db: sqlite3.Connection, orders: Iterable[tuple[str, str, Envelope]], now: datetime) -> None:
    """Write the intent of each (copy id, quarantine name, order)."""
    db.executemany(
        "INSERT INTO erasures (copy_id, quarantine, phase, cause, correlation, traceparent, intended_at)"
        " VALUES (?,?,?,?,?,?,?)",
        [
            (copy_id, name, Phase.INTENDED, order.id, order.correlation, order.traceparent, to_micros(now))
            for copy_id, name, order in orders
        ],
    )


def advance(db: sqlite3.Connection, copy_ids: Iterable[str], phase: Phase) -> None:
    db.executemany("UPDATE erasures SET phase = ? WHERE copy_id = ?", [(phase, copy_id) for copy_id in copy_ids])


def finish(db: sqlite3.Connection, evidence: Iterable[tuple[str, bytes]]) -> None:
    db.executemany(
        "UPDATE erasures SET phase = 'done', evidence = ? WHERE copy_id = ?",
        [(written, copy_id) for copy_id, written in evidence],
    )


def drop(db: sqlite3.Connection, copy_ids: Iterable[str]) -> None:
    db.executemany("DELETE FROM erasures WHERE copy_id = ?", [(copy_id,) for copy_id in copy_ids])


def find(db: sqlite3.Connection, copy_ids: Sequence[str]) -> dict[str, Intent]:
    rows = db.execute(
        "SELECT copy_id, quarantine, phase, cause, correlation, traceparent, intended_at, evidence FROM erasures"
        " WHERE copy_id IN (SELECT value FROM json_each(?))",
        (json.dumps(list(copy_ids)),),
    )
    return {intent.copy_id: intent for intent in map(_intent, rows)}


def unfinished(db: sqlite3.Connection) -> list[Intent]:
    rows = db.execute(
        "SELECT copy_id, quarantine, phase, cause, correlation, traceparent, intended_at, evidence FROM erasures"
        " WHERE phase != 'done'"
    )
    return [_intent(row) for row in rows]


def _intent(row: tuple[str, str, str, str, str, str, int, bytes | None]) -> Intent:
    copy_id, quarantine, phase, cause, correlation, trace, intended, evidence = row
    return Intent(copy_id, quarantine, Phase(phase), cause, correlation, trace, from_micros(intended), evidence)
