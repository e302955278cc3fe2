"""Is clinical information shown of the right patient only, and gone when its key is? I17."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from pipeline.custody import FileOutcome
from pipeline.invariants.finding import Finding
from pipeline.storage.schema import clinical_answers, files, results

FOREIGN_ANSWER: Final = "foreign_answer"
_SAYS: Final = "every medication or checkup answer is its file's own, is readable, and is of the patient decided on"


def findings(connection: Connection) -> Iterator[Finding]:
    astray = tuple(dict.fromkeys(str(row[0]) for query in _QUERIES for row in connection.execute(query())))
    yield Finding("I17", _SAYS, astray)


def _without_content() -> Select[Any]:
    """Find answers whose file is another clinic's, is about another person than was asked for, or has ended."""
    # A file that was only discarded on its way to the chart is still its patient's.
    never_shown = (files.c.outcome == FileOutcome.REJECTED.value) & (files.c.reason == FOREIGN_ANSWER)
    is_other_clinic = files.c.clinic != clinical_answers.c.clinic
    return (
        select(clinical_answers.c.file_id)
        .outerjoin(files, files.c.file_id == clinical_answers.c.file_id)
        .where(or_(files.c.file_id.is_(None), never_shown, is_other_clinic, files.c.sealed_record.is_(None)))
    )


def _of_another_patient() -> Select[Any]:
    """Find answers of a patient whom the result does not name; a result that ended with its key says nothing."""
    differs = func.coalesce(clinical_answers.c.patient_hash, "") != func.coalesce(results.c.patient_hash, "")
    own = and_(results.c.file_id == clinical_answers.c.file_id, results.c.result == 0)
    return (
        select(clinical_answers.c.file_id)
        .outerjoin(results, own)
        .where(or_(results.c.file_id.is_(None), differs & (func.length(results.c.sealed_result) > 0)))
    )


_QUERIES: Final = (_without_content, _of_another_patient)
