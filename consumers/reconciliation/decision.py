"""What goes into the result list for one file?

Pure: from what the file says, the patients it may concern and the request it may answer, to one `Decided` for each
row, or to the statement that the answer is another person's. Design section 8.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from consumers.reconciliation.answers import Asked, is_foreign, person_of, same_person
from consumers.reconciliation.chart import Patient
from consumers.reconciliation.comparison import Comparison, compare, is_suspicious
from consumers.reconciliation.matching import Finding, identify, undecided
from consumers.reconciliation.subject import Entry, Subject
from pipeline.folding import UNWRITABLE
from pipeline.request_row import RequestDetail
from pipeline.results import ResultDetail
from pipeline.verdicts import Verdict, in_order, needs_review


class Foreign(Enum):
    """The answer to a request of ours is about somebody else: never delivered."""

    ANSWER = "foreign_answer"


@dataclass(frozen=True, slots=True, repr=False)
class Case:
    """All that a file's decision depends on. `patients`: everybody who has anything in common with any entry."""

    entries: tuple[Entry, ...]
    patients: tuple[Patient, ...] = ()
    asked: Asked | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Decided:
    """One row of the result list."""

    subject: Subject
    detail: ResultDetail
    verdicts: tuple[Verdict, ...]
    needs_review: bool


def decide_file(case: Case) -> tuple[Decided, ...] | Foreign:
    """Decide every row of a file."""
    if case.asked is not None and is_foreign(case.asked, case.entries):
        return Foreign.ANSWER
    findings = [_find(entry, case) for entry in case.entries]
    joined = _join_insurances(case.entries, findings)
    return tuple(conclude(entry, finding) for entry, finding in zip(case.entries, joined, strict=True))


def _find(entry: Entry, case: Case) -> Finding:
    found = identify(entry.subject, case.patients)
    asked = case.asked
    if Verdict.MULTIPLE_COVERAGES in entry.service:
        # The service itself cannot tell whose coverage this is.
        return undecided([*_all_of(found)])
    if asked is None or asked.request.patient_id is None or not same_person(asked, entry):
        return undecided([*_all_of(found)]) if entry.tells_of_nobody else found
    return _of_request(entry, asked.request, found, case.patients)


def _all_of(found: Finding) -> tuple[Patient, ...]:
    return found.candidates if found.patient is None else (found.patient,)


def _of_request(entry: Entry, request: RequestDetail, found: Finding, patients: Sequence[Patient]) -> Finding:
    """Give the answer to the patient it was asked for, unless the chart has since come to contradict it."""
    patient = next((patient for patient in patients if patient.patient_id == request.patient_id), None)
    if patient is None:
        return found
    # The request's own person counts too: a PDF tells nothing, and a chart number may be another's since.
    if _is_contradicted(patient, entry.subject) or _is_contradicted(patient, person_of(request)):
        return undecided([patient])
    return Finding(patient)


def _is_contradicted(patient: Patient, subject: Subject) -> bool:
    born_otherwise = None not in (patient.born, subject.born) and not patient.same_birthdate(subject)
    return born_otherwise or patient.sex_differs(subject) or is_suspicious(subject, patient)


def _join_insurances(entries: Sequence[Entry], findings: Sequence[Finding]) -> list[Finding]:
    """Let the insurances of one person in one file (insurance with medical aid, 併用) go to one patient, or to none.

    Source: field-and-chart-systems section 2.1, ORCA rule 5.
    """
    joined = list(findings)
    for person in {entry.person for entry in entries}:
        places = [at for at, entry in enumerate(entries) if entry.person == person]
        if len(places) > 1 and not any(Verdict.MULTIPLE_COVERAGES in entries[at].service for at in places):
            together = _agree([entries[at].subject for at in places], [findings[at] for at in places])
            for at, finding in zip(places, together, strict=True):
                joined[at] = finding
    return joined


def _agree(subjects: Sequence[Subject], findings: Sequence[Finding]) -> Sequence[Finding]:
    matched = {finding.patient.patient_id: finding.patient for finding in findings if finding.patient is not None}
    if not matched:
        return findings
    possible = {patient.patient_id for finding in findings for patient in _all_of(finding)}
    is_doubted = any(patient.sex_differs(subject) for patient in matched.values() for subject in subjects)
    if len(possible) > 1 or is_doubted or not _may_be_one_person(subjects):
        everybody = [patient for finding in findings for patient in _all_of(finding)]
        return [undecided(everybody, Verdict.AMBIGUOUS_PATIENT) for _ in findings]
    if not _is_one_person(subjects):
        return findings
    patient = next(iter(matched.values()))
    return [finding if finding.patient or _is_in_conflict(finding) else Finding(patient) for finding in findings]


def _is_in_conflict(finding: Finding) -> bool:
    return Verdict.REFERENCE_NUMBER_CONFLICT in finding.verdicts


def _may_be_one_person(subjects: Sequence[Subject]) -> bool:
    first = subjects[0]
    return not any(_contradict(first, other) for other in subjects[1:])


def _contradict(one: Subject, other: Subject) -> bool:
    if None not in (one.born, other.born) and one.born != other.born:
        return True
    kanas_part = one.folded_kanas and other.folded_kanas and one.folded_kanas.isdisjoint(other.folded_kanas)
    names_part = not one.folded_names or not other.folded_names or one.folded_names.isdisjoint(other.folded_names)
    sexes_part = None not in (one.sex, other.sex) and one.sex != other.sex
    return bool(kanas_part and names_part) or sexes_part


def _is_one_person(subjects: Sequence[Subject]) -> bool:
    born = {subject.born for subject in subjects}
    kanas = frozenset.intersection(*(subject.folded_kanas for subject in subjects))
    return len(born) == 1 and None not in born and any(UNWRITABLE not in kana for kana in kanas)


def conclude(entry: Entry, finding: Finding) -> Decided:
    """Say what is written for an entry once it is known whose it is, or may be."""
    service = set(entry.service)
    is_unclear = entry.tells_of_nobody or Verdict.MULTIPLE_COVERAGES in service
    comparison = None if is_unclear or finding.likely is None else compare(entry, finding.likely)
    verdicts = service if is_unclear else service | set(finding.verdicts)
    if comparison is not None and not _is_in_conflict_without_patient(finding):
        verdicts |= comparison.verdicts
    elif comparison is not None and Verdict.IDENTITY_MISMATCH in comparison.verdicts:
        verdicts.add(Verdict.IDENTITY_MISMATCH)
    if finding.patient is None and not verdicts:
        verdicts.add(Verdict.AMBIGUOUS_PATIENT if finding.candidates else Verdict.NEW_PATIENT)
    written = in_order(verdicts)
    agrees = comparison is not None and comparison.person_agrees and finding.patient is not None
    return Decided(
        subject=entry.subject,
        detail=_detail(entry.subject, finding, comparison),
        verdicts=written,
        needs_review=needs_review(written, person_agrees=agrees),
    )


def _is_in_conflict_without_patient(finding: Finding) -> bool:
    # What differs from a chart that the reference number names wrongly is no statement about the person's own chart.
    return finding.patient is None and _is_in_conflict(finding)


def _detail(subject: Subject, finding: Finding, comparison: Comparison | None) -> ResultDetail:
    return ResultDetail(
        reference_number=subject.reference_numbers[0] if subject.reference_numbers else None,
        insurer_number=subject.insurer_number,
        symbol=subject.symbol,
        number=subject.number,
        branch_number=subject.branch_number,
        name=subject.names[0] if subject.names else None,
        kana=subject.kanas[0] if subject.kanas else None,
        patient_id=finding.patient.patient_id if finding.patient else None,
        candidates=tuple(patient.patient_id for patient in finding.candidates),
        compared={} if comparison is None else comparison.compared,
    )
