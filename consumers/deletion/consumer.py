"""Which copies may go, which are gone, and where is the proof?

Queue    deletion
Listens  file.refused, file.erased, file.vanished, erasure.failed, hold.kept, hold.missed, edge.reported
Emits    erasure.order, hold.set, hold.released, file.settled
Parks    foreign_copy: evidence from an edge the copy never lay at; evidence_differs, evidence_incomplete,
         unknown_level: no certificate is made of them
Repeats  safe: custody only moves forward, a copy has one certificate, the newest report of an edge wins
"""

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import PurePath
from typing import Any, ClassVar, Final

from sqlalchemy import Connection, Row, Update, and_, bindparam, select, update

from consumers.deletion import orders
from pipeline import access, certificates, edge_reports
from pipeline.consumer import Consumer
from pipeline.contents import name_context
from pipeline.custody import Custody, FileOutcome
from pipeline.envelope import Envelope
from pipeline.errors import PermanentError, TransientError
from pipeline.events import (
    CopyEvent,
    EdgeReported,
    ErasureFailed,
    Event,
    FileErased,
    FileRefused,
    FileVanished,
    HoldKept,
    HoldMissed,
)
from pipeline.holds import GONE, Answer
from pipeline.keyring import Keyring
from pipeline.oqs.names import parse_name
from pipeline.outcome import Outcome
from pipeline.sealing import Opener, UnsealError
from pipeline.settings import Settings
from pipeline.storage.engine import insert_into, insert_new
from pipeline.storage.schema import copies, files, hold_answers, receipts
from pipeline.topology import Role

BACK_OFF: Final = (timedelta(seconds=10), timedelta(minutes=1), timedelta(minutes=10), timedelta(hours=1))
"""How long a copy whose erasure failed is left alone, by the number of orders it has had."""
HEADS_LOOKED_AT_EVERY: Final = timedelta(minutes=1)
UNKNOWN_KIND: Final = "unknown"


class NotStoredYetError(TransientError):
    """The copy is not in the store: its capture is still on the way, or the store was restored."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """An event; of a refused file also what its name says."""

    event: Event
    kind: str = UNKNOWN_KIND
    suffix: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    copies: dict[str, Row[Any]] = field(repr=False)
    receipts: dict[str, tuple[tuple[str, str, datetime], ...]]


@dataclass(frozen=True, slots=True)
class Gone:
    copy_id: str
    custody: Custody
    at: datetime


@dataclass(frozen=True, slots=True)
class Failed:
    copy_id: str
    reason: str
    until: datetime


class Deletion(Consumer[Prepared, Facts]):
    role: ClassVar[Role] = Role.DELETION
    needs_clock: ClassVar[bool] = True
    listens: ClassVar[tuple[type[Event], ...]] = (
        FileRefused,
        FileErased,
        FileVanished,
        ErasureFailed,
        HoldKept,
        HoldMissed,
        EdgeReported,
    )

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._looked_at_heads: datetime | None = None

    def prepare(self, envelope: Envelope) -> Prepared:
        event = envelope.event
        if not isinstance(event, FileRefused):
            return Prepared(event)
        try:
            name = self._opener.open(event.clinic, name_context(event.copy_id), event.sealed_name).decode()
        except (UnsealError, UnicodeDecodeError):
            return Prepared(event)
        parsed = parse_name(name)
        return Prepared(event, parsed.kind.value if parsed else UNKNOWN_KIND, PurePath(name).suffix.lower()[:8])

    def key(self, prepared: Prepared) -> Hashable:
        event = prepared.event
        return event.copy_id if isinstance(event, CopyEvent) else (event.clinic, event.edge)

    def gather(self, connection: Connection, batch: Sequence[Prepared]) -> Facts:
        events = [prepared.event for prepared in batch if isinstance(prepared.event, CopyEvent)]
        ids = sorted({event.copy_id for event in events})
        if not ids:
            return Facts({}, {})
        query = (
            select(copies, files.c.outcome, files.c.reason.label("file_reason"))
            .join(files, files.c.file_id == copies.c.file_id)
            .where(copies.c.copy_id.in_(ids))
            .order_by(copies.c.copy_id)
            .with_for_update(of=copies)
        )
        found = {row.copy_id: row for row in connection.execute(query)}
        return Facts(found, _receipts(connection, sorted({row.file_id for row in found.values()})))

    def decide(self, prepared: Prepared, facts: Facts, now: datetime) -> Outcome:
        match prepared.event:
            case EdgeReported() as report:
                return Outcome("reported", writes=(report,))
            case FileRefused():
                return Outcome("refused", writes=(prepared,))
            case CopyEvent() as event:
                return _decide_copy(event, facts, now)
            case _:
                raise PermanentError("unexpected_event")

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        drafts: list[certificates.Draft] = []
        writes = [write for outcome in outcomes for write in outcome.writes]
        # Together, in few statements: these come in hundreds, and each is about a row of its own.
        _write_gone(connection, [write for write in writes if isinstance(write, Gone)])
        orders.mark(connection, writes, now)
        for write in writes:
            match write:
                case Prepared():
                    _write_refused(connection, write, now)
                case Failed():
                    _write_failed(connection, write)
                case Answer():
                    _write_answer(connection, write)
                case EdgeReported():
                    edge_reports.write(connection, write, now)
                case certificates.Draft():
                    drafts.append(write)
                case _:
                    pass
        certificates.append(connection, drafts, now)

    def due(self, connection: Connection, now: datetime) -> Sequence[Outcome]:
        self._sign_heads(connection, now)
        return [
            *orders.hold_orders(connection, self._settings, now),
            *orders.erasures(connection, self._settings, now),
            *orders.settled(connection),
        ]

    def _sign_heads(self, connection: Connection, now: datetime) -> None:
        looked = self._looked_at_heads
        if looked is not None and timedelta(0) <= now - looked < HEADS_LOOKED_AT_EVERY:
            return
        self._looked_at_heads = now
        # Of a clinic that left as well: nothing else covers what was certified in its last hour.
        clinics = {clinic.id for clinic in self._settings.clinics} | edge_reports.clinics(connection)
        certificates.sign_heads(connection, self._keyring, sorted(clinics), now)
        access.sign(connection, self._keyring, now)


def _decide_copy(event: CopyEvent, facts: Facts, now: datetime) -> Outcome:
    copy = facts.copies.get(event.copy_id)
    if copy is None:
        # Queues overtake one another: the copy may be stored a moment later, and this event never comes again.
        raise NotStoredYetError("copy not stored")
    if (copy.clinic, copy.terminal, copy.file_id) != (event.clinic, event.edge, event.file_id):
        raise PermanentError("foreign_copy")
    match event:
        case FileErased():
            return _decide_erased(event, copy, facts)
        case FileVanished():
            return Outcome("vanished", writes=(Gone(event.copy_id, Custody.VANISHED, event.noticed_at),))
        case ErasureFailed():
            pause = BACK_OFF[min(max(copy.orders, 1), len(BACK_OFF)) - 1]
            return Outcome("erasure_failed", writes=(Failed(event.copy_id, event.reason, now + pause),))
        case HoldKept():
            kept = not isinstance(event, HoldMissed)
            return Outcome("kept" if kept else "missed", writes=(Answer(event.hold_id, event.copy_id, kept, now),))
        case _:
            raise PermanentError("unexpected_event")


def _decide_erased(event: FileErased, copy: Row[Any], facts: Facts) -> Outcome:
    if event.level not in certificates.STATEMENTS:
        raise PermanentError("unknown_level")
    if not event.verified_absent:
        raise PermanentError("evidence_incomplete")
    if (copy.mac, copy.size) != (event.mac, event.size):
        raise PermanentError("evidence_differs")
    draft = certificates.Draft(
        evidence=event,
        kind=copy.kind,
        outcome=copy.outcome,
        reason=copy.file_reason,
        stored_at=copy.stored_at,
        receipts=facts.receipts.get(copy.file_id, ()),
        preconditions=orders.CENTRE_PRECONDITIONS if copy.orders else (),
    )
    return Outcome("erased", writes=(Gone(event.copy_id, Custody.ERASED, event.erased_at), draft))


def _receipts(connection: Connection, file_ids: Sequence[str]) -> dict[str, tuple[tuple[str, str, datetime], ...]]:
    query = select(receipts).where(receipts.c.file_id.in_(file_ids)).order_by(receipts.c.file_id, receipts.c.consumer)
    found: dict[str, tuple[tuple[str, str, datetime], ...]] = {}
    for row in connection.execute(query):
        found[row.file_id] = (*found.get(row.file_id, ()), (row.consumer, row.result, row.at))
    return found


def _gone(custody: Custody, final: Sequence[str]) -> Update:
    # Not NOT IN: its list is expanded for each statement anew, which many rows at once do not allow.
    is_open = and_(*(copies.c.custody != word for word in final))
    return (
        update(copies)
        .where(copies.c.copy_id == bindparam("which"), is_open)
        .values(custody=custody.value, gone_at=bindparam("then"), ordered_until=None, erasure_fault=None)
    )


# Erased is what we did and may correct `vanished`, which is only what somebody saw.
_GONE: Final = {
    Custody.ERASED: _gone(Custody.ERASED, (Custody.ERASED.value,)),
    Custody.VANISHED: _gone(Custody.VANISHED, GONE),
}


def _write_gone(connection: Connection, gone: Sequence[Gone]) -> None:
    for custody, statement in _GONE.items():
        rows = [{"which": one.copy_id, "then": one.at} for one in gone if one.custody is custody]
        if rows:
            connection.execute(statement, rows)


def _write_failed(connection: Connection, failed: Failed) -> None:
    where = (copies.c.copy_id == failed.copy_id) & (copies.c.custody == Custody.STORED.value)
    values = {"ordered_until": failed.until, "erasure_fault": failed.reason}
    connection.execute(update(copies).where(where).values(**values))


def _write_answer(connection: Connection, answer: Answer) -> None:
    """Keep an answer; once missed, a copy stays missed, for the terminal's two answers may overtake one another."""
    statement = insert_into(connection, hold_answers).values(
        hold_id=answer.hold_id, copy_id=answer.copy_id, kept=answer.kept, at=answer.at
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["hold_id", "copy_id"],
            set_={"kept": statement.excluded.kept, "at": statement.excluded.at},
            where=statement.excluded.kept.is_(False),
        )
    )


def _write_refused(connection: Connection, prepared: Prepared, now: datetime) -> None:
    event = prepared.event
    assert isinstance(event, FileRefused)
    common = {"file_id": event.file_id, "clinic": event.clinic, "terminal": event.edge, "kind": prepared.kind}
    file_row = {
        **common,
        "outcome": FileOutcome.REJECTED.value,
        "reason": event.reason,
        "revision": 1,
        "suffix": prepared.suffix,
        "captured_at": event.seen_at,
        "stored_at": now,
        "outcome_at": now,
    }
    copy_row = {
        **common,
        "copy_id": event.copy_id,
        "custody": Custody.HELD.value,
        "reason": event.reason,
        "sealed_name": event.sealed_name,
        "size": event.size,
        "seen_at": event.seen_at,
        "orders": 0,
    }
    insert_new(connection, files, [file_row])
    # A copy of another clinic's file would keep that file from ever being settled.
    if connection.scalar(select(files.c.clinic).where(files.c.file_id == event.file_id)) == event.clinic:
        insert_new(connection, copies, [copy_row])
