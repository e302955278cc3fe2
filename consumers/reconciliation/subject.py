"""What does a file say of each person in it, and what does the service itself say of the answer?

One `Entry` for every row of the result list, in the order of `pipeline.oqs.answers.results`, so that the n-th entry
is the n-th result of the record. The only module here that knows the file's records.
"""

from dataclasses import dataclass, field
from datetime import date
from functools import cached_property

from pipeline.folding import fold_birthdate, fold_day, fold_insurer, fold_kana, fold_name, fold_sex
from pipeline.oqs.answers import Answer, Layer, Person, answer_of, people
from pipeline.oqs.codes import CardClassification, LimitChanged, LimitConsent, ReferenceClassification, Validity
from pipeline.oqs.eligibility import EligibilityResult, Search
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    CheckupRecord,
    EligibilityRecord,
    MedicationRecord,
    Record,
    ReturnedRequest,
)
from pipeline.verdicts import Verdict

_AID_HEAD = "12"
_ELDERLY_HEAD = "39"
_OF_VALIDITY = {
    Validity.INVALID: Verdict.INELIGIBLE,
    Validity.INVALID_NEWER: Verdict.INELIGIBLE_NEW_COVERAGE,
    Validity.NONE_FOUND: Verdict.NO_COVERAGE,
    Validity.SEVERAL: Verdict.MULTIPLE_COVERAGES,
}
_SAYS_NOTHING_OF_A_PERSON = frozenset({Verdict.SERVICE_ERROR, Verdict.NO_COVERAGE})


def is_medical_aid(insurer_number: str | None) -> bool:
    """Say whether a number is a payer of medical aid (医療扶助): 8 digits beginning 12 (section 2.1, ORCA rule 1)."""
    return fold_insurer(insurer_number).startswith(_AID_HEAD)


def is_late_elderly(insurer_number: str | None) -> bool:
    """Say whether it is 後期高齢者医療 (39…): it has no symbol and no branch (oqs-interface section 4, no. 13)."""
    return fold_insurer(insurer_number).startswith(_ELDERLY_HEAD)


@dataclass(frozen=True, repr=False)
class Subject:
    """One person under one insurance, as a file writes it. Blank says nothing."""

    reference_numbers: tuple[str, ...] = ()
    insurer_number: str | None = None
    symbol: str | None = None
    number: str | None = None
    branch_number: str | None = None
    relationship: str | None = None
    names: tuple[str, ...] = ()
    """氏名, then 氏名（その他）: a former or common name, by which a chart may know the person."""
    kanas: tuple[str, ...] = ()
    sex: str | None = None
    birthdate: str | None = None
    address: str | None = None
    postal_code: str | None = None
    burden_ratio: str | None = None
    limit_class: str | None = None
    limit_flag: str | None = None
    limit_changed: bool = False
    valid_to: str | None = None
    is_aid: bool = False

    @cached_property
    def born(self) -> date | None:
        return fold_birthdate(self.birthdate)

    @cached_property
    def folded_names(self) -> frozenset[str]:
        return frozenset(filter(None, map(fold_name, self.names)))

    @cached_property
    def folded_kanas(self) -> frozenset[str]:
        return frozenset(filter(None, map(fold_kana, self.kanas)))

    @property
    def has_personal_number(self) -> bool:
        """Whether insurer and number alone name one person."""
        return self.is_aid or is_late_elderly(self.insurer_number)


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the result list before anybody was looked for."""

    subject: Subject
    service: tuple[Verdict, ...] = ()
    """What the service itself says: not eligible, several, an error."""
    person: int = 0
    """Which person of the file, from 0; a person may have several insurances."""
    day: date | None = None
    """The day for which eligibility is asserted (資格確認日)."""
    is_valid_card: bool = False
    """Asked by insurance card (照会区分 2) and valid: a mistyped number may have met a stranger."""
    is_history: bool = False
    echo: Subject | None = field(default=None, repr=False)
    """The query as the answer repeats it."""

    @property
    def tells_of_nobody(self) -> bool:
        return not _SAYS_NOTHING_OF_A_PERSON.isdisjoint(self.service)


def entries(record: Record) -> tuple[Entry, ...]:
    """List what a record says, one entry for each row of the result list."""
    if isinstance(record, EligibilityRecord | BulkEligibilityRecord | MedicationRecord | CheckupRecord):
        told = people(record)
        if told:
            return tuple(entry for at, person in enumerate(told) for entry in _of_person(record, person, at))
        return () if answer_of(record).layer is Layer.OK else (Entry(Subject(), (Verdict.SERVICE_ERROR,)),)
    if isinstance(record, ReturnedRequest):
        subject = _of_return(record)
        return (Entry(subject, (Verdict.SERVICE_ERROR,), echo=subject),)
    return (Entry(Subject()),) if answer_of(record).layer is Layer.OK else (Entry(Subject(), (Verdict.SERVICE_ERROR,)),)


_Told = EligibilityRecord | BulkEligibilityRecord | MedicationRecord | CheckupRecord


def _of_person(record: _Told, person: Person, at: int) -> list[Entry]:
    is_history = isinstance(record, MedicationRecord | CheckupRecord)
    day = None if is_history else fold_day(getattr(record.header, "confirmed_on", None))
    asked_by = getattr(record.header, "reference_classification", None)
    echo = _of_search(person.search)
    validity = Validity.of(person.validity)
    found: list[Entry] = []
    for result in person.results or (None,):
        subject = echo or Subject() if result is None else of_result(result, _numbers_of(person, result))
        found.append(
            Entry(
                subject=subject,
                service=() if is_history and person.answer.layer is Layer.OK else _service(person, validity, subject),
                person=at,
                day=day,
                is_valid_card=validity is Validity.VALID
                and ReferenceClassification.of(asked_by) is ReferenceClassification.INSURANCE_CARD,
                is_history=is_history,
                echo=echo,
            )
        )
    return found


def _service(person: Person, validity: Validity | None, subject: Subject) -> tuple[Verdict, ...]:
    answer: Answer = person.answer
    if answer.layer is Layer.OK:
        has_aid = any(_is_aid(result) for result in person.results)
        unregistered = validity is Validity.VALID_UNREGISTERED and (subject.is_aid or not has_aid)
        return (Verdict.MEDICAL_AID_UNREGISTERED,) if unregistered else ()
    if answer.layer is Layer.NEGATIVE_VALIDITY and validity in _OF_VALIDITY:
        return (_OF_VALIDITY[validity],)
    # A blank or unknown validity goes with fatal input errors (oqs-interface section 4, no. 15).
    return (Verdict.SERVICE_ERROR,)


def _numbers_of(person: Person, result: EligibilityResult) -> tuple[str, ...]:
    """Choose the reference numbers that may be this result's: its own, else those that are nobody else's."""
    if result.reference_number:
        return (result.reference_number.strip(),)
    others = {other.reference_number for other in person.results if other is not result}
    return tuple(number.strip() for number in person.reference_numbers if number not in others)


def _is_aid(result: EligibilityResult) -> bool:
    by_class = CardClassification.of(result.card_classification) is CardClassification.MEDICAL_AID
    return by_class or is_medical_aid(result.insurer_number)


def of_result(result: EligibilityResult, reference_numbers: tuple[str, ...] = ()) -> Subject:
    """Take from a result what it says of the person; a limit certificate only where the patient agreed to show it."""
    elderly, limit = result.elderly_recipient, result.limit_certificate
    may_tell = LimitConsent.of(result.limit_consent_flag) is not LimitConsent.NO
    told = limit if may_tell else None
    return Subject(
        reference_numbers=reference_numbers,
        insurer_number=result.insurer_number,
        symbol=result.symbol,
        number=result.number,
        branch_number=result.branch_number,
        relationship=result.relationship,
        names=tuple(filter(None, (result.name, result.name_other))),
        kanas=tuple(filter(None, (result.name_kana, result.name_other_kana))),
        sex=fold_sex(result.sex2, result.sex1),
        birthdate=result.birthdate,
        address=result.address,
        postal_code=result.postal_code,
        burden_ratio=result.burden_ratio or (elderly.burden_ratio if elderly else None),
        limit_class=told.classification if told else None,
        limit_flag=told.flag if told else None,
        limit_changed=LimitChanged.of(result.limit_changed) is LimitChanged.CHANGED_OR_UNKNOWN,
        valid_to=result.valid_to,
        is_aid=_is_aid(result),
    )


def _of_search(search: Search | None) -> Subject | None:
    if search is None:
        return None
    return Subject(
        insurer_number=search.insurer_number,
        symbol=search.symbol,
        number=search.number,
        branch_number=search.branch_number,
        birthdate=search.birthdate,
        is_aid=is_medical_aid(search.insurer_number),
    )


def _of_return(record: ReturnedRequest) -> Subject:
    """A returned request names the person in its head (histories) or in its query."""
    asked = _of_search(record.searches[0]) if len(record.searches) == 1 else None
    if asked is not None:
        return asked
    header = record.header
    return Subject(
        insurer_number=header.insurer_number,
        symbol=header.symbol,
        number=header.number,
        branch_number=header.branch_number,
        is_aid=is_medical_aid(header.insurer_number),
    )
