"""What did the service answer, for whom, and when?

Errors lie in four layers that are asked in order (oqs-interface sections 3.9 and 8, rule 8): the request came back,
the message failed or is still running, this person's query failed, the answer is negative. Codes and texts are
passed on verbatim; nothing branches on a code whose list is not public.
"""

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from pipeline.oqs.codes import ProcessingStatus, Segment, Validity
from pipeline.oqs.eligibility import EligibilityResult, Registration, RegistrationUnit, Search, Unit
from pipeline.oqs.history import HistoryHeader, HistoryInquiry, Subject
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    CheckupRecord,
    ConsentWithdrawalRecord,
    EligibilityRecord,
    ErrNotice,
    MedicationRecord,
    PdfDocument,
    Record,
    RegistrationRecord,
    ReturnedRequest,
    UploadReceipt,
)
from pipeline.oqs.times import parse_instant

_HISTORY_OK = "1"
_GOOD = (Validity.VALID, Validity.VALID_UNREGISTERED)


class Layer(StrEnum):
    RETURNED = "returned"
    MESSAGE_ERROR = "message_error"
    STILL_PROCESSING = "still_processing"
    PERSON_ERROR = "person_error"
    NEGATIVE_VALIDITY = "negative_validity"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Answer:
    """The layer at which the answer is found, with the service's code and text."""

    layer: Layer
    code: str | None = field(default=None, repr=False)
    message: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Person:
    """All that an answer says of one person. `unit`: place in a bulk answer, from 0; `None` in a single one."""

    unit: int | None
    answer: Answer
    search: Search | None = field(default=None, repr=False)
    status: str | None = field(default=None, repr=False)
    validity: str | None = field(default=None, repr=False)
    reference_numbers: tuple[str, ...] = field(default=(), repr=False)
    results: tuple[EligibilityResult, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class PersonResult:
    """One result with its person; `result` is `None` where the answer holds none for the person."""

    person: Person
    result: EligibilityResult | None = field(default=None, repr=False)


def answer_of(record: Record) -> Answer:
    """Say how the message as a whole was answered.

    Of a bulk answer this tells nothing of the persons in it: see `people` and `registration_answers`.
    """
    if isinstance(record, ReturnedRequest):
        return Answer(Layer.RETURNED)
    if isinstance(record, ErrNotice):
        return Answer(Layer.RETURNED, message=record.text)
    if isinstance(record, PdfDocument):
        return Answer(Layer.OK)
    if isinstance(record, MedicationRecord | CheckupRecord):
        return _history_answer(record.header)
    return _message_answer(record) or _body_answer(record)


def layer_of(record: Record) -> Layer:
    return answer_of(record).layer


_Answered = (
    EligibilityRecord
    | BulkEligibilityRecord
    | UploadReceipt
    | RegistrationRecord
    | BulkRegistrationRecord
    | ConsentWithdrawalRecord
)


def _history_answer(header: HistoryHeader) -> Answer:
    good = (header.result_code or "").strip(" ") == _HISTORY_OK
    return Answer(Layer.OK if good else Layer.MESSAGE_ERROR, header.message_id, header.message_contents)


def _message_answer(record: _Answered) -> Answer | None:
    header = record.header
    segment = Segment.of(header.segment)
    if header.segment is None or segment is Segment.NORMAL:
        return None
    running = segment is Segment.PROCESSING
    return Answer(Layer.STILL_PROCESSING if running else Layer.MESSAGE_ERROR, header.error_code, header.error_message)


def _body_answer(record: _Answered) -> Answer:
    if isinstance(record, EligibilityRecord):
        return _person_answer(record)
    if isinstance(record, RegistrationRecord | ConsentWithdrawalRecord):
        return _status_answer(record, is_needed=True)
    return _status_answer(record, is_needed=False)


_WithStatus = _Answered | Unit | RegistrationUnit


def _status_answer(told: _WithStatus, *, is_needed: bool) -> Answer:
    good = ProcessingStatus.of(told.status) is ProcessingStatus.NORMAL or (told.status is None and not is_needed)
    return Answer(Layer.OK if good else Layer.PERSON_ERROR, told.code, told.message)


def _person_answer(told: EligibilityRecord | Unit) -> Answer:
    answer = _status_answer(told, is_needed=False)
    # A missing validity goes with fatal input errors (section 4, no. 15): it is never taken for a good answer.
    if answer.layer is Layer.OK and Validity.of(told.validity) not in _GOOD:
        return Answer(Layer.NEGATIVE_VALIDITY, told.code, told.message)
    return answer


def people(record: Record) -> tuple[Person, ...]:
    """List the persons a record tells of; a single answer is always of one, even when the message failed."""
    if isinstance(record, EligibilityRecord):
        return (_person(record, None, answer_of(record), record.reference_numbers),)
    if isinstance(record, BulkEligibilityRecord):
        return tuple(
            _person(unit, at, _person_answer(unit), unit.reference_numbers) for at, unit in enumerate(record.units)
        )
    if isinstance(record, MedicationRecord | CheckupRecord):
        return (_person_of_history(record.header),)
    return ()


def _person(
    told: EligibilityRecord | Unit, at: int | None, answer: Answer, reference_numbers: tuple[str, ...]
) -> Person:
    own = tuple(result.reference_number for result in told.results if result.reference_number)
    return Person(
        unit=at,
        answer=answer,
        search=told.search,
        status=told.status,
        validity=told.validity,
        reference_numbers=tuple(dict.fromkeys(reference_numbers + own)),
        results=told.results,
    )


def _person_of_history(header: HistoryHeader) -> Person:
    subject = header.subject
    return Person(
        unit=None,
        answer=_history_answer(header),
        search=None if header.inquiry is None else _search(header.inquiry),
        reference_numbers=(subject.reference_number,) if subject and subject.reference_number else (),
        results=() if subject is None else (_result(subject),),
    )


def _search(inquiry: HistoryInquiry) -> Search:
    return Search(
        insurer_number=inquiry.insurer_number,
        symbol=inquiry.symbol,
        number=inquiry.number,
        branch_number=inquiry.branch_number,
    )


def _result(subject: Subject) -> EligibilityResult:
    return EligibilityResult(**subject.model_dump(exclude={"age"}, exclude_defaults=True))


def results(record: Record) -> tuple[PersonResult, ...]:
    """List every result flat, in the order of the file; a person without one stands there with `None`."""
    return tuple(PersonResult(person, result) for person in people(record) for result in (person.results or (None,)))


def registration_answers(
    record: RegistrationRecord | BulkRegistrationRecord,
) -> tuple[tuple[Registration, Answer], ...]:
    """Pair each registration with its answer, in the order of the file."""
    if isinstance(record, RegistrationRecord):
        return ((record.registration or Registration(), answer_of(record)),)
    return tuple((unit.registration or Registration(), _status_answer(unit, is_needed=True)) for unit in record.units)


def institution_code(record: Record) -> str | None:
    """Name the institution (医療機関コード) the file is for, as written."""
    header = record.header
    if isinstance(header, HistoryHeader):
        return header.inquiry.institution_code if header.inquiry else None
    return header.institution_code


def arbitrary_file_identifier(record: Record) -> str | None:
    """Name the identifier (任意のファイル識別子) that ties an answer to its request; of no meaning in a face file."""
    header = record.header
    if isinstance(header, HistoryHeader):
        return header.inquiry.arbitrary_file_identifier if header.inquiry else None
    return header.arbitrary_file_identifier


def processed_at(record: Record) -> datetime | None:
    """Say when the service processed the message (処理実行日時), aware UTC."""
    return parse_instant(record.header.process_execution_time)


def reception_number(record: Record) -> str | None:
    """Name the reception number (受付番号) of a bulk exchange, wherever the message puts it."""
    if isinstance(record, UploadReceipt):
        return record.reception_number or record.header.reception_number
    if isinstance(record, BulkEligibilityRecord | BulkRegistrationRecord):
        return record.header.reception_number
    return None
