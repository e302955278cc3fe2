"""How is what was decided about a file written?

A result row says whose it is and what differs; it is written once for each person of a file and replaced only by a
later decision about the same file. No row is shared between files, and each keeps the service's own time, so that an
older result never takes the place of a newer one of the same patient (I16).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, delete, update

from consumers.reconciliation.clinical import forget_answers, note_answers
from consumers.reconciliation.decision import Decided
from pipeline.contents import result_context
from pipeline.custody import FileOutcome, Receipt
from pipeline.keyring import Keyring
from pipeline.persons import patient_hash, person_hash
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.engine import insert_new, upsert
from pipeline.storage.schema import files, receipts, results
from pipeline.topology import Role
from pipeline.verdicts import write_codes

WAITING, OPEN, CLOSED = "waiting", "open", "closed"
"""`waiting`: no patient list yet. `open`: a person must look. `closed`: nobody need look, or somebody has."""

FOREIGN_ANSWER: Final = "foreign_answer"

_COLUMNS: Final = (
    "revision",
    "state",
    "verdicts",
    "needs_review",
    "sealed_result",
    "person_hash",
    "patient_hash",
    "list_id",
    "processed_at",
    "decided_at",
    "confirmed_by",
    "confirmed_at",
    "reference_due",
)


@dataclass(frozen=True, slots=True)
class Confirmed:
    """Who decided a row, and when."""

    staff: str
    at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class WriteResults:
    """Write: rows of one file, by their number; `is_waiting` without a list."""

    file_id: str
    clinic: str
    revision: int
    rows: tuple[tuple[int, Decided], ...]
    processed_at: datetime | None
    list_id: str | None
    confirmed: Confirmed | None = None

    @property
    def is_waiting(self) -> bool:
        return self.list_id is None


@dataclass(frozen=True, slots=True)
class Finish:
    """Write: reconciliation has done its part for this file."""

    file_id: str
    revision: int
    is_foreign: bool = False


@dataclass(frozen=True, slots=True)
class RemoveResults:
    """Write: these rows of a file are of persons whom a later reading of it does not name."""

    file_id: str
    numbers: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """Write: a later reading says that this file is no clinical answer of the patient it was given to."""

    file_id: str


@dataclass(frozen=True, slots=True)
class SeenBy:
    """Write: these rows of a file were looked at with this list and stay as they are."""

    file_id: str
    numbers: tuple[int, ...]
    list_id: str


@dataclass(frozen=True, slots=True, repr=False)
class Ledger:
    """Writes results, sealed with the keys of the centre."""

    keyring: Keyring
    sealer: Sealer

    def write(self, connection: Connection, writes: Sequence[object], now: datetime) -> None:
        """Write everything decided for a batch, in few statements."""
        rows = [row for write in writes if isinstance(write, WriteResults) for row in self._rows(write, now)]
        upsert(connection, results, rows, _COLUMNS)
        note_answers(connection, sorted({row["file_id"] for row in rows}))
        finished = [write for write in writes if isinstance(write, Finish)]
        insert_new(connection, receipts, [_receipt(write.file_id, now) for write in finished])
        for finish in finished:
            _finish_file(connection, finish, now)
        forget_answers(connection, [finish.file_id for finish in finished if finish.is_foreign])
        forget_answers(connection, [write.file_id for write in writes if isinstance(write, NoAnswer)])
        for over in [write for write in writes if isinstance(write, RemoveResults) and write.numbers]:
            connection.execute(
                delete(results).where(results.c.file_id == over.file_id, results.c.result.in_(over.numbers))
            )
        for seen in [write for write in writes if isinstance(write, SeenBy)]:
            own = (results.c.file_id == seen.file_id) & results.c.result.in_(seen.numbers)
            connection.execute(update(results).where(own).values(list_id=seen.list_id))

    def _rows(self, write: WriteResults, now: datetime) -> list[dict[str, Any]]:
        identity = self.keyring.identity(write.clinic)
        public = self.keyring.epoch_key(write.clinic, KeyClass.CONFIRMATION, now)
        made = []
        for number, decided in write.rows:
            subject, detail = decided.subject, decided.detail
            content = detail.model_dump_json().encode()
            context = result_context(write.file_id, number)
            made.append(
                {
                    "file_id": write.file_id,
                    "result": number,
                    "clinic": write.clinic,
                    "revision": write.revision,
                    "state": _state(write, decided),
                    "verdicts": "" if write.is_waiting else write_codes(decided.verdicts),
                    "needs_review": _is_open(write, decided),
                    "sealed_result": self.sealer.seal(public, write.clinic, context, content),
                    "person_hash": person_hash(
                        identity,
                        subject.insurer_number,
                        subject.symbol,
                        subject.number,
                        subject.branch_number,
                        subject.birthdate,
                        subject.kanas[0] if subject.kanas else None,
                    ),
                    "patient_hash": patient_hash(identity, detail.patient_id) if detail.patient_id else None,
                    "list_id": write.list_id,
                    "processed_at": write.processed_at,
                    "decided_at": now,
                    "confirmed_by": write.confirmed.staff if write.confirmed else None,
                    "confirmed_at": write.confirmed.at if write.confirmed else None,
                    # Only of a patient who is certain is a reference number (照会番号) judged; consent does that.
                    "reference_due": detail.patient_id is not None and _state(write, decided) == CLOSED,
                }
            )
        return made


def _state(write: WriteResults, decided: Decided) -> str:
    if write.is_waiting:
        return WAITING
    return OPEN if _is_open(write, decided) else CLOSED


def _is_open(write: WriteResults, decided: Decided) -> bool:
    return decided.needs_review and not write.is_waiting and write.confirmed is None


def _receipt(file_id: str, now: datetime) -> dict[str, Any]:
    return {"file_id": file_id, "consumer": Role.RECONCILIATION.value, "result": Receipt.DONE.value, "at": now}


def _finish_file(connection: Connection, write: Finish, now: datetime) -> None:
    own = files.c.file_id == write.file_id
    if write.is_foreign:
        is_open = files.c.outcome == FileOutcome.PENDING.value
        rejected = {"outcome": FileOutcome.REJECTED.value, "reason": FOREIGN_ANSWER, "outcome_at": now}
        connection.execute(update(files).where(own & is_open).values(**rejected))
    elif write.revision > 1:
        connection.execute(
            update(files).where(own & (files.c.revision < write.revision)).values(revision=write.revision)
        )
