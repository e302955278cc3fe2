"""Whose result is it? The machine decides only what the strictest of the field decide; the rest is for people.

Pure: the order of the patients changes nothing, and two or more candidates are never decided. Rules and their order:
design section 8, field-and-chart-systems sections 2.1 and 2.4.

1. The reference number (照会番号) is a chart number of the list, and kana or kanji and the birthdate agree.
2. Insurer, symbol, number, birthdate and kana agree on exactly one chart, and no branch number speaks against it.
3. Else whoever has this kana and birthdate, or this insurance, or a like name and this birthdate, is a candidate.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consumers.reconciliation.chart import Patient
from consumers.reconciliation.subject import Subject
from pipeline.verdicts import Verdict


@dataclass(frozen=True, slots=True, repr=False)
class Finding:
    """Who it is (`patient`), or who it may be (`candidates`, by chart number). `verdicts` say why it is not decided."""

    patient: Patient | None = None
    candidates: tuple[Patient, ...] = ()
    verdicts: tuple[Verdict, ...] = ()

    @property
    def likely(self) -> Patient | None:
        """The one to compare with: the patient, or the only candidate."""
        return self.patient or (self.candidates[0] if len(self.candidates) == 1 else None)


def undecided(candidates: Iterable[Patient], *verdicts: Verdict) -> Finding:
    """Leave it to a person, with the candidates in the order of their chart numbers."""
    unique = {patient.patient_id: patient for patient in candidates}
    return Finding(None, tuple(unique[key] for key in sorted(unique)), verdicts)


def identify(subject: Subject, patients: Sequence[Patient]) -> Finding:
    """Find the patient of a subject among patients who have anything in common with it."""
    strict = [patient for patient in patients if _agrees_strictly(subject, patient)]
    named = [patient for patient in patients if patient.patient_id in subject.reference_numbers]
    live = {patient.patient_id for patient in named}
    stale = any(number not in live for number in subject.reference_numbers)
    conflict = (Verdict.REFERENCE_NUMBER_CONFLICT,) if stale else ()
    if len(strict) > 1:
        return undecided([*strict, *named], Verdict.AMBIGUOUS_PATIENT, *conflict)
    if named:
        return _by_reference_number(subject, patients, named, strict, conflict)
    if strict:
        rivals = [other for other in patients if other is not strict[0] and _may_be_double(subject, other)]
        if rivals:
            return undecided([*strict, *rivals], Verdict.AMBIGUOUS_PATIENT, *conflict)
        return Finding(strict[0], (), conflict)
    return _by_likeness(subject, patients, conflict)


def _by_reference_number(
    subject: Subject,
    patients: Sequence[Patient],
    named: Sequence[Patient],
    strict: Sequence[Patient],
    conflict: tuple[Verdict, ...],
) -> Finding:
    one = named[0]
    rivals = [other for other in patients if other is not one and _is_insured_alike(subject, other)]
    if len(named) > 1 or rivals:
        return undecided([*named, *strict, *rivals], Verdict.REFERENCE_NUMBER_CONFLICT)
    same_name = one.same_kana(subject) or one.same_name(subject)
    if same_name and one.same_birthdate(subject):
        # The sex is compared, and only that is left to a person.
        return undecided([one], *conflict) if one.sex_differs(subject) else Finding(one, (), conflict)
    others = [patient for patient in patients if _is_candidate(subject, patient)]
    return undecided([one, *others], Verdict.REFERENCE_NUMBER_CONFLICT)


def _by_likeness(subject: Subject, patients: Sequence[Patient], conflict: tuple[Verdict, ...]) -> Finding:
    found = [patient for patient in patients if _is_candidate(subject, patient)]
    found = found or [patient for patient in patients if _is_alike(subject, patient)]
    if not found:
        return undecided([], Verdict.NEW_PATIENT, *conflict)
    if len(found) > 1:
        return undecided(found, Verdict.AMBIGUOUS_PATIENT, *conflict)
    return undecided(found, *conflict)


def _agrees_strictly(subject: Subject, patient: Patient) -> bool:
    return (
        patient.same_birthdate(subject)
        and patient.same_kana(subject)
        and not patient.sex_differs(subject)
        and any(insurance.equals(subject) for insurance in patient.insurances)
    )


def _is_insured_alike(subject: Subject, patient: Patient) -> bool:
    """Say whether insurance, birthdate and a name point here, though the sex or the kana may be missing or wrong."""
    is_named = patient.shares_kana(subject) or patient.same_name(subject)
    return patient.same_birthdate(subject) and is_named and any(own.equals(subject) for own in patient.insurances)


def _may_be_double(subject: Subject, patient: Patient) -> bool:
    """Say whether it may be a second chart of the same person: nothing the chart knows speaks against it."""
    return (
        patient.same_birthdate(subject)
        and patient.shares_kana(subject)
        and not patient.sex_differs(subject)
        and not any(insurance.is_known and insurance.contradicts(subject) for insurance in patient.insurances)
    )


def _is_candidate(subject: Subject, patient: Patient) -> bool:
    if patient.same_birthdate(subject) and patient.shares_kana(subject):
        return True
    # A card is shared by a family: without a branch number it takes a name or a birthdate to be a candidate.
    is_near = patient.same_birthdate(subject) or patient.shares_kana(subject)
    return any(
        insurance.equals(subject) and (is_near or insurance.names_one_person(subject))
        for insurance in patient.insurances
    )


def _is_alike(subject: Subject, patient: Patient) -> bool:
    return patient.same_birthdate(subject) and patient.name_resembles(subject)
