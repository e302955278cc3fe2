"""What does a new patient list change of what was waiting or undecided?

The same code decides as at first. What a person has decided, and what was matched, stays. A file whose results change
gets the next revision; a file that was only waiting keeps its first. A few files at a time, so that a transaction
stays short.
"""

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, and_, or_, select

from consumers.reconciliation.decision import Decided, Foreign, decide_file
from consumers.reconciliation.facts import FileFacts
from consumers.reconciliation.ledger import FOREIGN_ANSWER, OPEN, WAITING, Finish, SeenBy, WriteResults
from consumers.reconciliation.siblings import beside_siblings
from pipeline.contents import result_context
from pipeline.errors import PermanentError
from pipeline.events import FileRejected, RecordReconciled
from pipeline.outcome import Outcome
from pipeline.results import ResultDetail
from pipeline.sealing import Opener
from pipeline.storage.schema import decisions, files, patient_lists, results
from pipeline.verdicts import write_codes

FILES_AT_ONCE: Final = 100


def files_to_rematch(connection: Connection, clinics: Sequence[str]) -> dict[str, frozenset[int]]:
    """Claim results that are waiting, or undecided under an older list than the current one, by file.

    What a person has ever decided about is left to people.
    """
    is_undecided = (results.c.state == OPEN) & results.c.patient_hash.is_(None) & results.c.confirmed_at.is_(None)
    is_behind = or_(results.c.list_id.is_(None), results.c.list_id != patient_lists.c.list_id)
    is_due = and_(
        results.c.clinic.in_(list(clinics)),
        or_(results.c.state == WAITING, is_undecided),
        is_behind,
        ~_was_reviewed(),
    )
    current = and_(patient_lists.c.clinic == results.c.clinic, patient_lists.c.state == "current")
    due = select(results.c.file_id).join(patient_lists, current).where(is_due)
    # Whole files: one decided in part would be delivered with results that say nothing yet.
    chosen = due.distinct().order_by(results.c.file_id).limit(FILES_AT_ONCE)
    query = (
        select(results.c.file_id, results.c.result)
        .join(files, files.c.file_id == results.c.file_id)
        .join(patient_lists, current)
        .where(is_due, results.c.file_id.in_(chosen))
        .order_by(results.c.file_id, results.c.result)
        .with_for_update(of=files, skip_locked=True)
    )
    found: dict[str, set[int]] = {}
    for row in connection.execute(query):
        found.setdefault(row.file_id, set()).add(row.result)
    return {file_id: frozenset(numbers) for file_id, numbers in found.items()}


def _was_reviewed() -> ColumnElement[bool]:
    same = (decisions.c.file_id == results.c.file_id) & (decisions.c.result == results.c.result)
    return select(decisions.c.decision_id).where(same).exists()


def rematch(file: FileFacts, numbers: frozenset[int], opener: Opener) -> Sequence[Outcome]:
    """Decide these results of a file again."""
    rows = [row for row in file.held if row.state == WAITING or (row.result in numbers and _is_undecided(row))]
    rows = [row for row in rows if row.list_id != file.list_id]
    if file.list_id is None or not rows:
        return ()
    seen = SeenBy(file.file_id, tuple(row.result for row in rows), file.list_id)
    if file.case is None or file.fault is not None:
        # Rejected meanwhile, its keys destroyed, or its record damaged: it stays as it is, for a person.
        return (Outcome("rematch_unreadable", writes=(seen,)),)
    decided = decide_file(file.case)
    if isinstance(decided, Foreign):
        return _reject(file, seen)
    own = [row.result for row in rows if row.result < len(decided)]
    try:
        joined = [(number, beside_siblings(file, number, decided[number], opener)) for number in own]
    except (PermanentError, ValueError):
        return (Outcome("rematch_unreadable", writes=(seen,)),)
    return _replace(file, joined, opener)


def _is_undecided(row: Row[Any]) -> bool:
    """Ask again, now that the file is locked: a person may have been faster."""
    return bool(row.state == OPEN and row.patient_hash is None and row.confirmed_at is None)


def _reject(file: FileFacts, seen: SeenBy) -> Sequence[Outcome]:
    if file.was_decided:
        return (Outcome("unchanged", writes=(seen,)),)
    event = FileRejected(clinic=file.clinic, file_id=file.file_id, reason=FOREIGN_ANSWER)
    return (Outcome(FOREIGN_ANSWER, (event,), (Finish(file.file_id, file.revision, is_foreign=True), seen)),)


def _replace(file: FileFacts, decided: Sequence[tuple[int, Decided]], opener: Opener) -> Sequence[Outcome]:
    assert file.list_id is not None
    changed = [(number, row) for number, row in decided if not is_same(file, number, row, opener)]
    same = tuple(number for number, row in decided if (number, row) not in changed)
    seen = (SeenBy(file.file_id, same, file.list_id),) if same else ()
    if not changed:
        return (Outcome("unchanged", writes=seen),)
    revision = file.revision + 1 if file.was_decided else file.revision
    rows = WriteResults(file.file_id, file.clinic, revision, tuple(changed), file.processed_at, file.list_id)
    numbers = {number for number, _ in changed}
    others = any(row.needs_review for row in file.held if row.result not in numbers)
    event = RecordReconciled(
        clinic=file.clinic,
        file_id=file.file_id,
        revision=revision,
        needs_review=others or any(row.needs_review for _, row in changed),
    )
    return (Outcome("rematched", (event,), (rows, *seen, Finish(file.file_id, revision))),)


def is_same(file: FileFacts, number: int, decided: Decided, opener: Opener) -> bool:
    """Say whether a row that is held says what was decided now."""
    row = next(row for row in file.held if row.result == number)
    if row.state == WAITING or row.verdicts != write_codes(decided.verdicts):
        return False
    try:
        raw = opener.open(file.clinic, result_context(file.file_id, number), row.sealed_result)
        return ResultDetail.model_validate_json(raw) == decided.detail
    except (PermanentError, ValueError):
        return False
