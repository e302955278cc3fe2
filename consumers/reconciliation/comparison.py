"""What differs between a file and the chart of one patient?

Pure. Only what both sides know is compared; differences keep both values as they were written, under the column names
of `patients.csv`. Rules: design section 8, field-and-chart-systems sections 2.2 to 2.4.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date

from consumers.reconciliation.chart import Insurance, Patient
from consumers.reconciliation.subject import Entry, Subject, is_late_elderly
from pipeline.folding import (
    UNWRITABLE,
    fold_address,
    fold_branch,
    fold_day,
    fold_insurer,
    fold_limit_class,
    fold_limit_flag,
    fold_postal,
    fold_ratio,
    fold_symbol,
    given_kana,
    same_symbol,
)
from pipeline.patient_row import PatientRow
from pipeline.results import Compared
from pipeline.verdicts import Verdict

Differences = dict[str, Compared]
_Fold = Callable[[str | None], str | None]


@dataclass(frozen=True, slots=True, repr=False)
class Comparison:
    """`verdicts` are in no order; `person_agrees`: kana and birthdate are known and equal."""

    verdicts: frozenset[Verdict]
    compared: Differences
    person_agrees: bool


def compare(entry: Entry, patient: Patient) -> Comparison:
    """Compare a result with the patient's chart: the person, and the insurance in force on the day."""
    subject, found = entry.subject, _Found()
    insurance = choose(patient.insurances, subject, entry.day)
    found.add(Verdict.NAME_MISMATCH, _name(subject, patient))
    found.add(Verdict.IDENTITY_MISMATCH, _identity(subject, patient))
    # An address may differ by insurance: the one beside an insurance that is over says nothing of today's.
    found.add(Verdict.ADDRESS_MISMATCH, _address(subject, (insurance or patient.insurances[0]).row))
    if entry.is_valid_card and is_suspicious(subject, patient):
        found.verdicts.add(Verdict.SUSPICIOUS_CARD)
    if insurance is not None:
        _compare_insurance(found, entry, insurance)
    elif subject.is_aid:
        found.verdicts.add(Verdict.MEDICAL_AID_UNREGISTERED)
    agrees = patient.same_kana(subject) and patient.same_birthdate(subject)
    return Comparison(frozenset(found.verdicts), found.compared, agrees)


class _Found:
    """Collects what one comparison finds."""

    def __init__(self) -> None:
        self.verdicts: set[Verdict] = set()
        self.compared: Differences = {}

    def add(self, verdict: Verdict, differences: Differences) -> None:
        if differences:
            self.verdicts.add(verdict)
            self.compared |= differences


def choose(insurances: Iterable[Insurance], subject: Subject, day: date | None) -> Insurance | None:
    """Choose the row to compare with: of the same sort, in force on the day, equal if there is one, else the newest."""
    comparable = [insurance for insurance in insurances if insurance.is_known and insurance.is_aid == subject.is_aid]
    in_force = [insurance for insurance in comparable if insurance.covers(day)] or comparable
    return max(in_force, key=lambda insurance: _rank(insurance, subject), default=None)


def _rank(insurance: Insurance, subject: Subject) -> tuple[bool, bool, date, tuple[str, ...]]:
    # The written values come last, so that the order of the list never decides.
    start = fold_day(insurance.row.valid_from) or date.min
    written = tuple(insurance.row.model_dump().values())
    return insurance.equals(subject), not insurance.contradicts(subject), start, written


def _compare_insurance(found: _Found, entry: Entry, insurance: Insurance) -> None:
    subject, row = entry.subject, insurance.row
    found.add(Verdict.INSURANCE_MISMATCH, _insurance(subject, insurance))
    found.add(Verdict.INSURANCE_MISMATCH, _ended(entry, insurance))
    if _lacks_branch(subject, insurance):
        found.verdicts.add(Verdict.BRANCH_NUMBER_MISSING)
        found.compared["branch_number"] = Compared(file=subject.branch_number, chart=row.branch_number)
    found.add(Verdict.LIMIT_CERTIFICATE_MISMATCH, _limit(subject, row))
    if subject.limit_changed:
        found.verdicts.add(Verdict.LIMIT_CERTIFICATE_MISMATCH)
    found.add(Verdict.BURDEN_RATIO_MISMATCH, _field("burden_ratio", subject.burden_ratio, row.burden_ratio, fold_ratio))
    if not subject.has_personal_number:
        found.add(
            Verdict.RELATIONSHIP_MISMATCH,
            _field("relationship", subject.relationship, row.relationship, fold_symbol),
        )


def _field(column: str, file: str | None, chart: str | None, fold: _Fold) -> Differences:
    left, right = fold(file), fold(chart)
    return {column: Compared(file=file, chart=chart)} if left and right and left != right else {}


def _insurance(subject: Subject, insurance: Insurance) -> Differences:
    if not insurance.contradicts(subject):
        return {}
    row = insurance.row
    found = _field("insurer_number", subject.insurer_number, row.insurer_number, fold_insurer)
    found |= _symbol("number", subject.number, row.number)
    if not (subject.has_personal_number or is_late_elderly(row.insurer_number)):
        found |= _symbol("symbol", subject.symbol, row.symbol)
        found |= _field("branch_number", subject.branch_number, row.branch_number, fold_branch)
    return found


def _symbol(column: str, file: str | None, chart: str | None) -> Differences:
    known = fold_symbol(file) and fold_symbol(chart)
    return {column: Compared(file=file, chart=chart)} if known and not same_symbol(file, chart) else {}


def _ended(entry: Entry, insurance: Insurance) -> Differences:
    """Find a chart that says this insurance is over while the service says it is in force."""
    subject, row = entry.subject, insurance.row
    is_in_question = entry.service or insurance.covers(entry.day)
    if is_in_question or fold_day(row.valid_to) == fold_day(subject.valid_to):
        return {}
    return {"valid_to": Compared(file=subject.valid_to, chart=row.valid_to)}


def _lacks_branch(subject: Subject, insurance: Insurance) -> bool:
    if subject.has_personal_number or not insurance.equals(subject):
        return False
    return fold_branch(insurance.row.branch_number) is None and fold_branch(subject.branch_number) is not None


def _limit(subject: Subject, row: PatientRow) -> Differences:
    found = _field("limit_class", subject.limit_class, row.limit_class, fold_limit_class)
    return found | _field("limit_flag", subject.limit_flag, row.limit_flag, fold_limit_flag)


def _name(subject: Subject, patient: Patient) -> Differences:
    """Find names of which none the file gives is the chart's. A kanji ● is always a difference, never an equality."""
    row, found = patient.insurances[0].row, Differences()
    if patient.names and subject.folded_names and not _meet(patient.names, subject.folded_names):
        found["name"] = Compared(file=_first(subject.names), chart=row.name)
    if patient.kanas and subject.folded_kanas and not _meet(patient.kanas, subject.folded_kanas):
        found["kana"] = Compared(file=_first(subject.kanas), chart=row.kana)
    return found


def _meet(chart: frozenset[str], file: frozenset[str]) -> bool:
    return any(UNWRITABLE not in name for name in chart & file)


def _identity(subject: Subject, patient: Patient) -> Differences:
    row, found = patient.insurances[0].row, Differences()
    if patient.born is not None and subject.born is not None and patient.born != subject.born:
        found["birthdate"] = Compared(file=subject.birthdate, chart=row.birthdate)
    if patient.sex_differs(subject):
        found["sex"] = Compared(file=subject.sex, chart=row.sex)
    return found


def _address(subject: Subject, row: PatientRow) -> Differences:
    file, chart = fold_address(subject.address), fold_address(row.address)
    if not file or not chart:
        return _field("postal_code", subject.postal_code, row.postal_code, fold_postal)
    if _same_but_unwritable(file, chart):
        return {}
    differing = _field("postal_code", subject.postal_code, row.postal_code, fold_postal)
    return {"address": Compared(file=subject.address, chart=row.address)} | differing


def _same_but_unwritable(one: str, other: str) -> bool:
    return len(one) == len(other) and all(a == b or UNWRITABLE in (a, b) for a, b in zip(one, other, strict=True))


def is_suspicious(subject: Subject, patient: Patient) -> bool:
    """Say whether a card met a stranger (疑資格): kanji and kana both differ.

    Where both kana are split at a space, only the given name counts: a new surname alarms nobody (oqs-interface
    section 4, no. 24).
    """
    known = patient.names and subject.folded_names and patient.kanas and subject.folded_kanas
    if not known or _meet(patient.names, subject.folded_names) or _meet(patient.kanas, subject.folded_kanas):
        return False
    own = {given_kana(insurance.row.kana) for insurance in patient.insurances} - {None}
    return own.isdisjoint({given_kana(kana) for kana in subject.kanas} - {None})


def _first(values: tuple[str, ...]) -> str | None:
    return values[0] if values else None
