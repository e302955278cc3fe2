"""What becomes of a stored file that is read again by today's parser?

What reads as before changes nothing. What reads better is stored as the next revision and announced, and the others
follow as they do for any record. What people or reconciliation decided stays; what was readable and no longer is, is
parked: that is the parser's fault, never the file's.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, bindparam, select, update

from consumers.parsing.reading import Reading
from pipeline.contents import record_context
from pipeline.custody import FileOutcome, Receipt
from pipeline.errors import PermanentError
from pipeline.events import FileRejected, FileReparse, RecordParsed
from pipeline.outcome import Outcome
from pipeline.sealing import Opener, UnsealError
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import files, receipts
from pipeline.topology import Role

DECIDED: Final = frozenset({"discarded", "foreign_answer"})
"""Reasons of a rejection that no parser gave."""
NO_LONGER_READ: Final = "no_longer_read"


@dataclass(frozen=True, slots=True)
class Reread:
    """A stored original, opened and read again."""

    event: FileReparse
    reading: Reading
    sealed_record: bytes | None = field(repr=False)
    correlation_hash: str | None


@dataclass(frozen=True, slots=True)
class Held:
    """The file as the store has it. `record` is none where there is none, or where it cannot be opened."""

    clinic: str
    terminal: str
    outcome: FileOutcome
    reason: str | None
    revision: int
    outcome_at: datetime | None
    settled_at: datetime | None
    has_receipt: bool
    record: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class StoreAgain:
    """Write: what the file says now."""

    reread: Reread
    held: Held
    outcome: FileOutcome
    revision: int
    at: datetime


def gather(connection: Connection, batch: Sequence[Reread], opener: Opener) -> dict[str, Held]:
    """Read these files, locked in the order of their ids, and open their records."""
    ids = sorted({one.event.file_id for one in batch})
    if not ids:
        return {}
    query = select(files).where(files.c.file_id.in_(ids)).order_by(files.c.file_id).with_for_update()
    rows = connection.execute(query).all()
    own = (receipts.c.consumer == Role.PARSING.value) & receipts.c.file_id.in_(ids)
    done = set(connection.scalars(select(receipts.c.file_id).where(own)))
    return {
        row.file_id: Held(
            clinic=row.clinic,
            terminal=row.terminal,
            outcome=FileOutcome(row.outcome),
            reason=row.reason,
            revision=row.revision,
            outcome_at=row.outcome_at,
            settled_at=row.settled_at,
            has_receipt=row.file_id in done,
            record=_open(opener, row.clinic, row.file_id, row.sealed_record),
        )
        for row in rows
    }


def _open(opener: Opener, clinic: str, file_id: str, sealed: bytes | None) -> bytes | None:
    if sealed is None:
        return None
    try:
        return opener.open(clinic, record_context(file_id), sealed)
    except UnsealError:
        # A damaged record is made anew from the original.
        return None


def decide(reread: Reread, found: Mapping[str, Held], now: datetime) -> Outcome:
    """Say what reading it again changes. Touches nothing."""
    event, reading = reread.event, reread.reading
    held = found.get(event.file_id)
    if held is None or held.clinic != event.clinic:
        raise PermanentError("unknown_file")
    if reading.bug:
        return Outcome("bug", park=reading.bug)
    if held.outcome is FileOutcome.REJECTED and held.reason in DECIDED:
        return Outcome("closed")
    if reading.outcome is FileOutcome.REJECTED:
        return _rejected(reread, held, now)
    # What the chart has, it keeps: a delivered file stays delivered, under its next revision.
    outcome = FileOutcome.DELIVERED if held.outcome is FileOutcome.DELIVERED else reading.outcome
    if held.has_receipt and outcome is held.outcome and _is_same(held.record, reading.record):
        return Outcome("unchanged")
    # Without a receipt the first revision was never announced.
    revision = held.revision + 1 if held.has_receipt else held.revision
    parsed = RecordParsed(
        clinic=held.clinic, file_id=event.file_id, revision=revision, kind=reading.kind, terminal=held.terminal
    )
    return Outcome("reread", (parsed,), (StoreAgain(reread, held, outcome, revision, now),))


def _rejected(reread: Reread, held: Held, now: datetime) -> Outcome:
    reason = reread.reading.reason or "unknown"
    if held.outcome is FileOutcome.REJECTED and held.reason == reason:
        return Outcome("unchanged")
    if held.has_receipt and held.outcome is not FileOutcome.REJECTED:
        return Outcome(NO_LONGER_READ, park=NO_LONGER_READ)
    rejected = FileRejected(clinic=held.clinic, file_id=reread.event.file_id, reason=reason)
    return Outcome("rejected", (rejected,), (StoreAgain(reread, held, FileOutcome.REJECTED, held.revision, now),))


def _is_same(held: bytes | None, read: bytes | None) -> bool:
    return held is not None and read is not None and bool(json.loads(held) == json.loads(read))


_COLUMNS: Final = (
    "kind",
    "suffix",
    "outcome",
    "reason",
    "revision",
    "correlation_hash",
    "sealed_record",
    "processed_at",
    "outcome_at",
    "settled_at",
)


def apply(connection: Connection, writes: Sequence[StoreAgain]) -> None:
    """Write what changed; a file that is open again is no longer settled."""
    if not writes:
        return
    statement = update(files).where(files.c.file_id == bindparam("of"))
    values = {name: bindparam(f"new_{name}", type_=files.c[name].type) for name in _COLUMNS}
    connection.execute(statement.values(values), [_row(write) for write in writes])
    done = [
        {
            "file_id": write.reread.event.file_id,
            "consumer": Role.PARSING.value,
            "result": Receipt.DONE.value,
            "at": write.at,
        }
        for write in writes
    ]
    insert_new(connection, receipts, done)


def _row(write: StoreAgain) -> dict[str, object]:
    held, reading = write.held, write.reread.reading
    is_open = write.outcome is FileOutcome.PENDING
    is_kept = write.outcome is held.outcome
    return {
        "of": write.reread.event.file_id,
        "new_kind": reading.kind,
        "new_suffix": reading.suffix,
        "new_outcome": write.outcome.value,
        "new_reason": reading.reason,
        "new_revision": write.revision,
        "new_correlation_hash": write.reread.correlation_hash,
        "new_sealed_record": write.reread.sealed_record,
        "new_processed_at": reading.processed_at,
        "new_outcome_at": None if is_open else held.outcome_at if is_kept else write.at,
        "new_settled_at": None if is_open else held.settled_at,
    }
