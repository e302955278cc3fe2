"""What does a later reading of a file's original change of its results?

The same code decides as at first. What a person has ever decided about stays; the rest is replaced where it differs.
The chart is given the new revision even when no result differs, for the record itself does.
"""

from dataclasses import replace

from consumers.reconciliation.decision import Decided, Foreign, decide_file
from consumers.reconciliation.facts import FileFacts
from consumers.reconciliation.ledger import FOREIGN_ANSWER, Finish, NoAnswer, RemoveResults, WriteResults
from consumers.reconciliation.rematch import is_same
from consumers.reconciliation.siblings import beside_siblings
from pipeline.custody import FileOutcome
from pipeline.errors import PermanentError
from pipeline.events import FileRejected, RecordReconciled
from pipeline.outcome import NOTHING, Outcome
from pipeline.sealing import Opener

_OPEN = frozenset({FileOutcome.PENDING.value, FileOutcome.DELIVERED.value})


def is_behind(file: FileFacts, revision: int) -> bool:
    """Say whether results may stand that are of an earlier reading than this revision."""
    return revision > 1 and (not file.held or any(row.revision < revision for row in file.held))


def decide_again(file: FileFacts, revision: int, opener: Opener) -> Outcome:
    """Decide a file whose original was read again as this revision. Repeating it leads to the same."""
    if file.outcome not in _OPEN or file.list_id is None:
        return _closed(file)
    if file.fault is not None:
        return Outcome(file.fault.reason, park=file.fault.reason)
    if file.case is None:
        return Outcome("record_missing", park="record_missing")
    decided = decide_file(file.case)
    if isinstance(decided, Foreign):
        return _foreign(file)
    # Rows of people stand, and no row of the same person may go to another patient than theirs.
    stand = replace(file, held=tuple(row for row in file.held if row.result in file.reviewed))
    try:
        beside = tuple(beside_siblings(stand, number, row, opener) for number, row in enumerate(decided))
    except (PermanentError, ValueError):
        return Outcome("record_unreadable", park="record_unreadable")
    return _replace(file, revision, beside, opener)


def _closed(file: FileFacts) -> Outcome:
    is_due = file.outcome != FileOutcome.NOT_DUE.value
    return NOTHING if is_due else Outcome("not_due", writes=(NoAnswer(file.file_id),))


def _foreign(file: FileFacts) -> Outcome:
    if file.outcome == FileOutcome.DELIVERED.value:
        # The chart keeps what it was given; here the other person's record is shown of nobody.
        return Outcome(FOREIGN_ANSWER, writes=(NoAnswer(file.file_id),))
    event = FileRejected(clinic=file.clinic, file_id=file.file_id, reason=FOREIGN_ANSWER)
    return Outcome(FOREIGN_ANSWER, (event,), (Finish(file.file_id, file.revision, is_foreign=True),))


def _replace(file: FileFacts, revision: int, decided: tuple[Decided, ...], opener: Opener) -> Outcome:
    held = {row.result: row for row in file.held}
    changed = tuple(
        (number, row)
        for number, row in enumerate(decided)
        if number not in file.reviewed and not _is_held(file, number, row, opener)
    )
    over = tuple(number for number in held if number >= len(decided) and number not in file.reviewed)
    target = _target(file, revision, is_changed=bool(changed or over))
    if target is None:
        return NOTHING
    numbers = {number for number, _ in changed} | set(over)
    others = any(row.needs_review for number, row in held.items() if number not in numbers)
    event = RecordReconciled(
        clinic=file.clinic,
        file_id=file.file_id,
        revision=target,
        needs_review=others or any(row.needs_review for _, row in changed),
    )
    rows = WriteResults(file.file_id, file.clinic, target, changed, file.processed_at, file.list_id)
    return Outcome("reread", (event,), (rows, RemoveResults(file.file_id, over), Finish(file.file_id, target)))


def _is_held(file: FileFacts, number: int, decided: Decided, opener: Opener) -> bool:
    held = next((row for row in file.held if row.result == number), None)
    return held is not None and held.processed_at == file.processed_at and is_same(file, number, decided, opener)


def _target(file: FileFacts, revision: int, *, is_changed: bool) -> int | None:
    """Choose the revision it is told under; none when it need not be told, or a later reading is on its way."""
    if file.revision <= revision:
        return file.revision
    # Somebody decided meanwhile, and the chart was told of that with the new record.
    newest = max((row.revision for row in file.held), default=0)
    return file.revision + 1 if is_changed and newest >= file.revision else None
