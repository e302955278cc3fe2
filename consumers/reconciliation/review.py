"""What does a person decide about a result?

Called by the command line in one transaction; the event returned belongs into the outbox of the same transaction. A
decision is kept with who and why, and no re-match overrides it.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from consumers.reconciliation.chart import Patient, patients_of
from consumers.reconciliation.decision import Decided, Foreign, conclude, decide_file
from consumers.reconciliation.facts import FileFacts, Gatherer
from consumers.reconciliation.index import patient_key
from consumers.reconciliation.ledger import FOREIGN_ANSWER, Confirmed, Finish, Ledger, WriteResults
from consumers.reconciliation.matching import Finding, undecided
from consumers.reconciliation.patient_list import open_row
from consumers.reconciliation.siblings import beside_siblings
from pipeline.contents import decision_context, result_context
from pipeline.custody import FileOutcome
from pipeline.errors import OnshiError, PermanentError
from pipeline.events import RecordReconciled, derive_id
from pipeline.keyring import Keyring
from pipeline.results import ResultDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import decisions, files, patient_hashes, patients
from pipeline.verdicts import read_codes

CONFIRM, REOPEN = "confirm", "reopen"


class ReviewError(OnshiError):
    """A decision that cannot be taken. `reason` is one stable word.

    unknown_file, unknown_result, which_result (several, and none was named), not_reconciled (no patient list yet),
    patient_needed (nobody was matched and nobody was named), not_on_list, rejected, foreign_answer, unreadable.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class Decision:
    """Who decides, why, and when. `reason` may name a patient: it is kept sealed."""

    staff: str
    reason: str
    at: datetime

    def __repr__(self) -> str:
        return f"<Decision by {self.staff}>"


def confirm(
    connection: Connection, keyring: Keyring, target: str, decision: Decision, patient_id: str | None = None
) -> RecordReconciled:
    """Confirm whose result it is: the patient named, or the one it was matched to.

    `target`: FILE_ID, or FILE_ID#RESULT where a file has several. The event is for `outbox.add` with the role
    `reconciliation`.

    Raises:
        ReviewError: nothing was written.
    """
    review = _Review(connection, keyring)
    file, row = review.find(target)
    held = review.detail(file, row)
    chosen = patient_id or held.patient_id
    if chosen is None:
        raise ReviewError("patient_needed")
    patient = review.patient(file, chosen)
    if patient is None and (patient_id is not None and patient_id != held.patient_id):
        raise ReviewError("not_on_list")
    decided = review.concluded(file, row, held, patient)
    return review.write(file, row, decided, decision, Confirmed(decision.staff, decision.at))


def reopen(connection: Connection, keyring: Keyring, target: str, decision: Decision) -> RecordReconciled:
    """Take a decision back.

    What a person confirmed is decided by the machine again. What the machine itself matched, or what was taken back
    before, becomes undecided, with that patient as a candidate, until a person confirms.

    Raises:
        ReviewError: nothing was written.
    """
    review = _Review(connection, keyring)
    file, row = review.find(target)
    if file.case is None:
        raise ReviewError("unreadable")
    again = decide_file(file.case)
    if isinstance(again, Foreign) or row.result >= len(again):
        raise ReviewError("unreadable")
    decided = again[row.result]
    if row.confirmed_at is None or review.was_reopened(file, row):
        decided = review.doubted(file, row, decided)
    decided = review.beside_siblings(file, row, decided)
    return review.write(file, row, decided, decision, None)


class _Review:
    """One decision in one transaction."""

    def __init__(self, connection: Connection, keyring: Keyring) -> None:
        self._connection = connection
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()

    def find(self, target: str) -> tuple[FileFacts, Row[Any]]:
        file_id, _, number = target.partition("#")
        file = Gatherer(self._keyring, self._opener).files(self._connection, [file_id]).get(file_id)
        if file is None:
            raise ReviewError("unknown_file")
        if file.outcome == FileOutcome.REJECTED.value:
            raise ReviewError(FOREIGN_ANSWER if self._is_foreign(file_id) else "rejected")
        if not file.held:
            raise ReviewError("unknown_result")
        if not number and len(file.held) > 1:
            raise ReviewError("which_result")
        row = next((row for row in file.held if str(row.result) == (number or "0")), None)
        if row is None:
            raise ReviewError("unknown_result")
        if file.list_id is None or not file.was_decided:
            raise ReviewError("not_reconciled")
        return file, row

    def _is_foreign(self, file_id: str) -> bool:
        reason = self._connection.execute(select(files.c.reason).where(files.c.file_id == file_id)).scalar_one()
        return bool(reason == FOREIGN_ANSWER)

    def detail(self, file: FileFacts, row: Row[Any]) -> ResultDetail:
        try:
            raw = self._opener.open(file.clinic, result_context(file.file_id, row.result), row.sealed_result)
        except PermanentError:
            raise ReviewError("unreadable") from None
        return ResultDetail.model_validate_json(raw)

    def patient(self, file: FileFacts, patient_id: str) -> Patient | None:
        """Find a patient on the current list by its exact chart number."""
        assert file.list_id is not None
        key = patient_key(self._keyring.identity(file.clinic), patient_id)
        query = (
            select(patients.c.row, patients.c.sealed)
            .join(
                patient_hashes,
                (patient_hashes.c.list_id == patients.c.list_id) & (patient_hashes.c.row == patients.c.row),
            )
            .where(patient_hashes.c.list_id == file.list_id, patient_hashes.c.hash == key)
        )
        rows = [
            open_row(self._opener, file.clinic, file.list_id, found.row, found.sealed)
            for found in self._connection.execute(query)
        ]
        return next(iter(patients_of(rows)), None)

    def concluded(self, file: FileFacts, row: Row[Any], held: ResultDetail, patient: Patient | None) -> Decided:
        """Compare with the confirmed patient; one who has left the list since keeps what was found before."""
        if file.case is None or row.result >= len(file.case.entries):
            raise ReviewError("unreadable")
        entry = file.case.entries[row.result]
        if patient is not None:
            return conclude(entry, Finding(patient))
        return Decided(entry.subject, held, read_codes(row.verdicts), needs_review=False)

    def was_reopened(self, file: FileFacts, row: Row[Any]) -> bool:
        own = (decisions.c.file_id == file.file_id) & (decisions.c.result == row.result)
        query = select(decisions.c.decision_id).where(own, decisions.c.action == REOPEN)
        return self._connection.execute(query).first() is not None

    def doubted(self, file: FileFacts, row: Row[Any], decided: Decided) -> Decided:
        assert file.case is not None
        if decided.detail.patient_id is None:
            return decided
        patient = self.patient(file, decided.detail.patient_id)
        found = conclude(file.case.entries[row.result], undecided([] if patient is None else [patient]))
        return Decided(found.subject, found.detail, found.verdicts, needs_review=True)

    def beside_siblings(self, file: FileFacts, row: Row[Any], decided: Decided) -> Decided:
        try:
            return beside_siblings(file, row.result, decided, self._opener)
        except (PermanentError, ValueError):
            raise ReviewError("unreadable") from None

    def write(
        self, file: FileFacts, row: Row[Any], decided: Decided, decision: Decision, confirmed: Confirmed | None
    ) -> RecordReconciled:
        revision = file.revision + 1
        self._keep(file, row, decision, CONFIRM if confirmed else REOPEN, revision)
        rows = ((row.result, decided),)
        write = WriteResults(
            file.file_id, file.clinic, revision, rows, file.processed_at or row.processed_at, file.list_id, confirmed
        )
        Ledger(self._keyring, self._sealer).write(
            self._connection, [write, Finish(file.file_id, revision)], decision.at
        )
        others = any(held.needs_review for held in file.held if held.result != row.result)
        return RecordReconciled(
            clinic=file.clinic,
            file_id=file.file_id,
            revision=revision,
            needs_review=others or (confirmed is None and decided.needs_review),
        )

    def _keep(self, file: FileFacts, row: Row[Any], decision: Decision, action: str, revision: int) -> None:
        decision_id = derive_id("decision", file.file_id, str(row.result), str(revision))
        public = self._keyring.epoch_key(file.clinic, KeyClass.CONFIRMATION, decision.at)
        sealed = self._sealer.seal(public, file.clinic, decision_context(decision_id), decision.reason.encode())
        values = {
            "decision_id": decision_id,
            "file_id": file.file_id,
            "result": row.result,
            "clinic": file.clinic,
            "action": action,
            "staff": decision.staff,
            "sealed_reason": sealed,
            "at": decision.at,
        }
        self._connection.execute(insert(decisions).values(**values))
