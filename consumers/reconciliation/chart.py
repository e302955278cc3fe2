"""What does the chart know of its patients?

A patient is one chart number with one row for each of its insurances (design section 12, `patients.csv`). A blank
field is unknown: it never counts as a difference, nor as agreement.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from functools import cached_property

from consumers.reconciliation.subject import Subject, is_late_elderly, is_medical_aid
from pipeline.folding import (
    UNWRITABLE,
    fold_birthdate,
    fold_branch,
    fold_day,
    fold_insurer,
    fold_kana,
    fold_name,
    fold_sex,
    fold_symbol,
    resembles,
    same_symbol,
)
from pipeline.patient_row import PatientRow


@dataclass(frozen=True, repr=False)
class Insurance:
    """One row of the patient list, as to insurance."""

    row: PatientRow

    @property
    def is_known(self) -> bool:
        return bool(fold_insurer(self.row.insurer_number) or fold_symbol(self.row.number))

    @property
    def is_aid(self) -> bool:
        return is_medical_aid(self.row.insurer_number)

    def covers(self, day: date | None) -> bool:
        """Say whether it is in force on a day, both ends inclusive; an unknown end is open."""
        if day is None:
            return True
        start, end = fold_day(self.row.valid_from), fold_day(self.row.valid_to)
        return (start is None or start <= day) and (end is None or day <= end)

    def contradicts(self, subject: Subject) -> bool:
        """Say whether what both sides know shows another insurance. A chart that knows nothing contradicts nothing."""
        row = self.row
        if _differ(fold_insurer(row.insurer_number), fold_insurer(subject.insurer_number)):
            return True
        if _symbols_differ(row.number, subject.number):
            return True
        if subject.has_personal_number or is_late_elderly(row.insurer_number):
            return False
        return _symbols_differ(row.symbol, subject.symbol) or self.branch_differs(subject)

    def branch_differs(self, subject: Subject) -> bool:
        return _differ(fold_branch(self.row.branch_number), fold_branch(subject.branch_number))

    def equals(self, subject: Subject) -> bool:
        """Say whether insurer, symbol and number are known and equal and no branch number speaks against it.

        An empty symbol equals only an empty one. Who on the card it is, is for birthdate and kana to say.
        """
        known = fold_insurer(self.row.insurer_number) and fold_insurer(subject.insurer_number)
        numbered = fold_symbol(self.row.number) and fold_symbol(subject.number)
        if not known or not numbered or self.contradicts(subject):
            return False
        return subject.has_personal_number or same_symbol(self.row.symbol, subject.symbol)

    def names_one_person(self, subject: Subject) -> bool:
        """Say whether an equal insurance alone points to one person: by branch number or personal number."""
        own, other = fold_branch(self.row.branch_number), fold_branch(subject.branch_number)
        return subject.has_personal_number or (own is not None and own == other)


def _differ(one: str | None, other: str | None) -> bool:
    return bool(one) and bool(other) and one != other


def _symbols_differ(one: str | None, other: str | None) -> bool:
    return bool(fold_symbol(one)) and bool(fold_symbol(other)) and not same_symbol(one, other)


@dataclass(frozen=True, repr=False)
class Patient:
    """One chart number with all of its rows."""

    patient_id: str
    insurances: tuple[Insurance, ...]

    @cached_property
    def born(self) -> date | None:
        """Birthdate; unknown where the rows disagree, so that nobody is ever matched by one of them.

        A blank beside a birthdate is no disagreement.
        """
        days = {fold_birthdate(insurance.row.birthdate) for insurance in self.insurances} - {None}
        return days.pop() if len(days) == 1 else None

    @cached_property
    def kanas(self) -> frozenset[str]:
        return frozenset(filter(None, (fold_kana(insurance.row.kana) for insurance in self.insurances)))

    @cached_property
    def names(self) -> frozenset[str]:
        return frozenset(filter(None, (fold_name(insurance.row.name) for insurance in self.insurances)))

    @cached_property
    def sex(self) -> str | None:
        found = {fold_sex(insurance.row.sex, None) for insurance in self.insurances} - {None}
        return found.pop() if len(found) == 1 else None

    def same_birthdate(self, subject: Subject) -> bool:
        return self.born is not None and self.born == subject.born

    def shares_kana(self, subject: Subject) -> bool:
        """Say whether the kana is written alike, ● and all: enough to suggest somebody, never to confirm one."""
        return len(self.kanas) == 1 and self.kanas <= subject.folded_kanas

    def same_kana(self, subject: Subject) -> bool:
        """Say whether the kana is equal. A kana with ● is never equal, not even to itself."""
        return self.shares_kana(subject) and UNWRITABLE not in "".join(self.kanas)

    def same_name(self, subject: Subject) -> bool:
        """Say whether the kanji name is equal. A name with ● is never equal, not even to itself."""
        return len(self.names) == 1 and self.names <= subject.folded_names and UNWRITABLE not in "".join(self.names)

    def name_resembles(self, subject: Subject) -> bool:
        return any(resembles(own, other) for own in self.names for other in subject.names)

    def sex_differs(self, subject: Subject) -> bool:
        return _differ(self.sex, subject.sex)


def patients_of(rows: Iterable[PatientRow]) -> tuple[Patient, ...]:
    """Join rows by chart number. The order of the rows changes nothing; a row that came twice counts once."""
    by_id: dict[str, set[tuple[str, ...]]] = {}
    written = {tuple(row.model_dump().values()): row for row in rows}
    for values, row in written.items():
        by_id.setdefault(row.patient_id, set()).add(values)
    return tuple(
        Patient(patient_id, tuple(Insurance(written[values]) for values in sorted(by_id[patient_id])))
        for patient_id in sorted(by_id)
    )
