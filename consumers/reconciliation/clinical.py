"""Which results are of a medication or checkup answer, and whose is each?

Written beside the results in their transaction, so that nobody is ever shown the answer of a patient whom the result
list does not name. An answer that says why it brings nothing is none.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from pipeline.clinical_rows import KINDS, form_of
from pipeline.storage.engine import upsert
from pipeline.storage.schema import clinical_answers, files, requests, results
from pipeline.verdicts import Verdict

_COLUMNS = ("person_hash", "patient_hash", "request_id", "month", "processed_at")


def note_answers(connection: Connection, file_ids: Sequence[str]) -> None:
    """Enter the clinical answers among these files as their results now stand. Repeatable."""
    if not file_ids:
        return
    rows = connection.execute(_results(file_ids)).all()
    noted = {row.file_id: _answer(row) for row in rows if _brings_something(row)}
    upsert(connection, clinical_answers, list(noted.values()), _COLUMNS)
    forget_answers(connection, [row.file_id for row in rows if row.file_id not in noted])


def forget_answers(connection: Connection, file_ids: Sequence[str]) -> None:
    """Take out what turned out to be no answer, or another person's."""
    if file_ids:
        connection.execute(delete(clinical_answers).where(clinical_answers.c.file_id.in_(file_ids)))


def _results(file_ids: Sequence[str]) -> Any:
    # Of several requests with one base name the answer was given to the first (see `facts`).
    request = (
        select(func.min(requests.c.request_id))
        .where(requests.c.clinic == files.c.clinic, requests.c.base_hash == files.c.correlation_hash)
        .correlate(files)
        .scalar_subquery()
    )
    return (
        select(
            files.c.file_id,
            files.c.clinic,
            files.c.kind,
            files.c.suffix,
            results.c.verdicts,
            results.c.person_hash,
            results.c.patient_hash,
            results.c.processed_at,
            requests.c.request_id,
            requests.c.period,
            requests.c.person_hash.label("asked_hash"),
        )
        .join(results, (results.c.file_id == files.c.file_id) & (results.c.result == 0))
        .outerjoin(requests, requests.c.request_id == request)
        .where(files.c.file_id.in_(sorted(file_ids)), files.c.kind.in_(sorted(KINDS)))
    )


def _brings_something(row: Row[Any]) -> bool:
    # Without verdicts it waits for a patient list, and nobody has said yet whose it is or whether it is a refusal.
    return bool(row.verdicts) and Verdict.SERVICE_ERROR.value not in row.verdicts.split()


def _answer(row: Row[Any]) -> dict[str, Any]:
    return {
        "file_id": row.file_id,
        "clinic": row.clinic,
        "kind": KINDS[row.kind].value,
        "form": form_of(row.suffix).value,
        "person_hash": row.asked_hash or row.person_hash,
        "patient_hash": row.patient_hash,
        "request_id": row.request_id,
        "month": row.period,
        "processed_at": row.processed_at,
    }
