"""What is wanted of this chart, and what has it been given?

A delivery is kept sealed, as it came, until its effect has a receipt. Which original and which revision a chart has
is remembered for ever, so that a repeated order has no second effect.
"""

import sqlite3
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pipeline.budget import fitting
from pipeline.edge_words import Refusal
from pipeline.envelope import Envelope, enclose
from pipeline.events import DeliveryDone, DeliveryRefused, DeliveryWanted
from pipeline.sealing import recipient_of
from pipeline.topology import CHART_EDGE
from producers.chart import outgoing
from producers.chart.ledger import Ledger
from producers.chart.port import Receipt, delivery_key

BATCH_BYTES = 16 << 20
"""How much one worker takes into memory at once; a single delivery may be larger."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One delivery to carry out."""

    number: int
    file_id: str
    revision: int
    sealed: bytes = field(repr=False)
    cause: str
    traceparent: str
    wanted_at: datetime

    @property
    def key(self) -> str:
        return delivery_key(self.file_id, self.revision)


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the chart has of a file."""

    revision: int
    receipt: Receipt
    has_original: bool


@dataclass(frozen=True, slots=True)
class Done:
    """A delivery that is over; `has_effect` is false for a revision older than what the chart has."""

    wanted: Wanted
    receipt: Receipt
    has_original: bool
    has_effect: bool = True


@dataclass(frozen=True, slots=True)
class Refused:
    wanted: Wanted
    reason: str


@dataclass(frozen=True, slots=True)
class Backlog:
    """Counts for the report. `oldest_at`: when the oldest wanted delivery came."""

    wanted: int
    done: int
    refused: int
    oldest_at: datetime | None


class Deliveries:
    """The deliveries of one clinic. Thread-safe."""

    def __init__(self, ledger: Ledger, clinic: str) -> None:
        self._ledger = ledger
        self._clinic = clinic

    def keep(self, envelopes: Sequence[Envelope], now: datetime) -> None:
        """Write what is wanted; what is done already is answered again, what was refused is tried again."""
        with self._ledger.transaction() as transaction:
            for envelope in envelopes:
                assert isinstance(envelope.event, DeliveryWanted)
                self._keep(transaction, envelope, envelope.event, now)

    def _keep(self, transaction: sqlite3.Connection, envelope: Envelope, event: DeliveryWanted, now: datetime) -> None:
        name = (event.file_id, event.revision)
        row = transaction.execute(
            "SELECT receipt, done_at FROM deliveries WHERE file_id = ? AND revision = ? AND state = 'done'", name
        ).fetchone()
        if row:
            done = self._done_event(event.file_id, event.revision, row[0], datetime.fromisoformat(row[1]))
            outgoing.add(transaction, [enclose(done, now, envelope)])
            return
        transaction.execute(
            "INSERT INTO deliveries (file_id, revision, state, sealed, cause, traceparent, wanted_at)"
            " VALUES (?, ?, 'wanted', ?, ?, ?, ?)"
            # The order of age is that of the first arrival; a repetition may be sealed to a newer key of this edge.
            " ON CONFLICT (file_id, revision) DO UPDATE SET state = 'wanted', reason = NULL, sealed = excluded.sealed",
            (*name, event.sealed, envelope.id, envelope.traceparent, now.isoformat()),
        )

    def oldest(self, most: int, busy: Collection[str]) -> list[Wanted]:
        """Return the oldest wanted deliveries, at most one of each file, none of the `busy` files."""
        query = (
            "SELECT number, file_id, revision, sealed, cause, traceparent, wanted_at FROM deliveries AS d"
            " WHERE state = 'wanted' AND file_id NOT IN (SELECT value FROM json_each(?))"
            " AND NOT EXISTS (SELECT 1 FROM deliveries AS e"
            "   WHERE e.file_id = d.file_id AND e.state = 'wanted' AND e.revision < d.revision)"
            " ORDER BY number LIMIT ?"
        )
        with self._ledger.transaction() as transaction:
            rows = transaction.execute(query, (_array(busy), most))
            return [_wanted(row) for row in fitting(((row, len(row[3])) for row in rows), BATCH_BYTES)]

    def delivered(self, file_ids: Sequence[str]) -> dict[str, Delivered]:
        """Say what the chart has of these files."""
        query = (
            "SELECT file_id, revision, receipt, has_original FROM delivered"
            " WHERE file_id IN (SELECT value FROM json_each(?))"
        )
        with self._ledger.transaction() as transaction:
            rows = transaction.execute(query, (_array(file_ids),))
            return {row[0]: Delivered(row[1], row[2], bool(row[3])) for row in rows}

    def end(self, ended: Sequence[Done | Refused], now: datetime) -> None:
        """Write receipts and refusals, forget the stages, and add the answers: all or nothing."""
        with self._ledger.transaction() as transaction:
            for one in ended:
                if isinstance(one, Done):
                    self._end_done(transaction, one, now)
                else:
                    self._end_refused(transaction, one, now)
                transaction.execute("DELETE FROM stages WHERE key = ?", (one.wanted.key,))

    def _end_done(self, transaction: sqlite3.Connection, done: Done, now: datetime) -> None:
        wanted = done.wanted
        transaction.execute(
            "UPDATE deliveries SET state = 'done', sealed = NULL, receipt = ?, done_at = ? WHERE number = ?",
            (done.receipt, now.isoformat(), wanted.number),
        )
        if done.has_effect:
            transaction.execute(
                "INSERT INTO delivered (file_id, revision, receipt, has_original) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (file_id) DO UPDATE SET revision = excluded.revision, receipt = excluded.receipt,"
                " has_original = max(has_original, excluded.has_original)",
                (wanted.file_id, wanted.revision, done.receipt, int(done.has_original)),
            )
        event = self._done_event(wanted.file_id, wanted.revision, done.receipt, now)
        outgoing.add(transaction, [_answer(event, wanted, now)])

    def _end_refused(self, transaction: sqlite3.Connection, refused: Refused, now: datetime) -> None:
        wanted = refused.wanted
        transaction.execute(
            # The sealed content goes too: it comes again with the order, if a person has the obstacle removed.
            # What was sealed anew meanwhile is another order, and stays wanted.
            "UPDATE deliveries SET state = 'refused', sealed = NULL, reason = ? WHERE number = ? AND sealed = ?",
            (refused.reason, wanted.number, wanted.sealed),
        )
        event = DeliveryRefused(
            clinic=self._clinic,
            edge=CHART_EDGE,
            file_id=wanted.file_id,
            revision=wanted.revision,
            reason=refused.reason,
            sealed_to=recipient_of(wanted.sealed) if refused.reason == Refusal.KEY_MISSING else "",
        )
        outgoing.add(transaction, [_answer(event, wanted, now)])

    def _done_event(self, file_id: str, revision: int, receipt: Receipt, at: datetime) -> DeliveryDone:
        return DeliveryDone(
            clinic=self._clinic, edge=CHART_EDGE, file_id=file_id, revision=revision, receipt=receipt, done_at=at
        )

    def backlog(self) -> Backlog:
        with self._ledger.transaction() as transaction:
            counts = dict(transaction.execute("SELECT state, COUNT(*) FROM deliveries GROUP BY state").fetchall())
            (oldest,) = transaction.execute("SELECT MIN(wanted_at) FROM deliveries WHERE state = 'wanted'").fetchone()
        return Backlog(
            counts.get("wanted", 0),
            counts.get("done", 0),
            counts.get("refused", 0),
            datetime.fromisoformat(oldest) if oldest else None,
        )


def _wanted(row: tuple[int, str, int, bytes, str, str, str]) -> Wanted:
    number, file_id, revision, sealed, cause, trace, at = row
    return Wanted(number, file_id, revision, sealed, cause, trace, datetime.fromisoformat(at))


def _answer(event: DeliveryDone | DeliveryRefused, wanted: Wanted, now: datetime) -> Envelope:
    """Enclose an answer so that it continues the trace of the order, whose envelope is long gone."""
    own = enclose(event, now)
    trace = wanted.traceparent.split("-")[1]
    span = own.traceparent.split("-")[2]
    return Envelope(event, now, wanted.cause, wanted.file_id, f"00-{trace}-{span}-01")


def _array(values: Collection[str]) -> str:
    # Ids only, so nothing needs an escape.
    return "[" + ",".join(f'"{value}"' for value in values) + "]"
