"""Which medication and checkup answers does the store hold of one person, and what do they say?

Found by the keyed hash of the chart's patient or of the insured person; the content is opened from the file's own
sealed record, so that it ends with the key of its month and a later reading replaces it by itself.
"""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from pipeline.clinical.history import (
    CheckupAnswer,
    MedicationAnswer,
    MedicationHistory,
    checkup_history,
    medication_history,
)
from pipeline.clinical.rows import CheckupRow
from pipeline.contents import record_context
from pipeline.oqs.names import Extension, MessageKind
from pipeline.oqs.records import CheckupRecord, MedicationRecord, parse_record_json
from pipeline.sealing import Opener, UnsealError
from pipeline.storage.schema import clinical_answers, files


class Clinical(StrEnum):
    """Kinds of clinical information, each with a viewing right of its own."""

    MEDICATION = "medication"
    CHECKUP = "checkup"


class Form(StrEnum):
    DATA = "data"
    PDF = "pdf"


KINDS: Final = {MessageKind.MEDICATION.value: Clinical.MEDICATION, MessageKind.CHECKUP.value: Clinical.CHECKUP}
"""By the kind of the file."""


def form_of(suffix: str) -> Form:
    """Say in which form an answer came, by the suffix of its file."""
    return Form.PDF if suffix == Extension.PDF.value else Form.DATA


@dataclass(frozen=True, slots=True)
class HeldAnswer:
    """One answer that is here. Instants in UTC; `month` is the one that was asked for."""

    file_id: str
    kind: Clinical
    form: Form
    month: str | None
    request_id: str | None
    processed_at: datetime | None
    captured_at: datetime


@dataclass(frozen=True, slots=True)
class ClinicalHistory:
    """All answers of one patient joined. `unreadable`: answers whose seal no longer opens."""

    medication: MedicationHistory
    checkups: tuple[CheckupRow, ...] = field(repr=False)
    unreadable: tuple[str, ...] = ()


def answers_of(connection: Connection, clinic: str, patient_hash: str, kinds: Collection[Clinical]) -> list[HeldAnswer]:
    """List the answers of a patient of the chart, newest first."""
    query = _of_patient(clinic, patient_hash, kinds).order_by(
        clinical_answers.c.processed_at.desc(), clinical_answers.c.file_id
    )
    return [
        HeldAnswer(
            file_id=row.file_id,
            kind=Clinical(row.kind),
            form=Form(row.form),
            month=row.month,
            request_id=row.request_id,
            processed_at=row.processed_at,
            captured_at=row.captured_at,
        )
        for row in connection.execute(query)
    ]


def history_of(  # noqa: PLR0917 - where, whose, which, and how to open it
    connection: Connection,
    clinic: str,
    patient_hash: str,
    kinds: Collection[Clinical],
    opener: Opener,
    since: date | None = None,
) -> ClinicalHistory:
    """Open and join what a patient's answers say, of these kinds alone; with `since` only of that day or later."""
    query = _of_patient(clinic, patient_hash, kinds).where(clinical_answers.c.form == Form.DATA.value)
    medication: list[MedicationAnswer] = []
    checkups: list[CheckupAnswer] = []
    unreadable: list[str] = []
    for row in connection.execute(query.order_by(clinical_answers.c.file_id)):
        match _record(opener, row):
            case MedicationRecord() as record:
                medication.append(MedicationAnswer(row.file_id, row.processed_at, record))
            case CheckupRecord() as record:
                checkups.append(CheckupAnswer(row.file_id, row.processed_at, record))
            case _:
                unreadable.append(row.file_id)
    return ClinicalHistory(medication_history(medication, since), checkup_history(checkups, since), tuple(unreadable))


def _of_patient(clinic: str, patient_hash: str, kinds: Collection[Clinical]) -> Any:
    own = (clinical_answers.c.clinic == clinic) & (clinical_answers.c.patient_hash == patient_hash)
    return (
        select(clinical_answers, files.c.captured_at, files.c.sealed_record)
        .join(files, files.c.file_id == clinical_answers.c.file_id)
        .where(own, clinical_answers.c.kind.in_(sorted(kind.value for kind in kinds)))
    )


def _record(opener: Opener, row: Row[Any]) -> object:
    if not row.sealed_record:
        return None
    try:
        return parse_record_json(opener.open(row.clinic, record_context(row.file_id), row.sealed_record))
    except (UnsealError, ValueError):
        return None
