"""How is a sealed patient row found again without opening the list?

Each row lies under keyed hashes, one namespace each: chart number, insurance, kana with birthdate, birthdate. What is
found is a superset: it is opened, and `matching` decides in memory. The first character names the namespace, so that
the store can count the patients of a list.
"""

from collections.abc import Iterator
from datetime import date

from consumers.reconciliation.subject import Subject
from pipeline.folding import fold_birthdate, fold_insurer, fold_kana, fold_symbol, without_zeros
from pipeline.patient_index import PATIENT_AFTER, PATIENT_FIRST, index_key, patient_key
from pipeline.patient_row import PatientRow
from pipeline.sealing import IdentityKey

__all__ = ["PATIENT_AFTER", "PATIENT_FIRST", "close_hashes", "patient_key", "row_hashes", "wide_hashes"]

_INSURANCE, _KANA, _BIRTHDATE = "i", "k", "b"


def row_hashes(identity: IdentityKey, row: PatientRow) -> frozenset[str]:
    """Name everything a row is found by."""
    found = {patient_key(identity, row.patient_id)}
    found |= set(_insurance(identity, row.insurer_number, row.number))
    born = fold_birthdate(row.birthdate)
    found |= set(_of_birth(identity, born, [fold_kana(row.kana)]))
    return frozenset(found)


def close_hashes(identity: IdentityKey, subject: Subject) -> frozenset[str]:
    """Name what a subject is looked for by first: reference numbers, insurance, kana with birthdate."""
    found = {patient_key(identity, number) for number in subject.reference_numbers}
    found |= set(_insurance(identity, subject.insurer_number, subject.number))
    kanas = set(_of_birth(identity, subject.born, sorted(subject.folded_kanas)))
    return frozenset(found | {name for name in kanas if name.startswith(_KANA)})


def wide_hashes(identity: IdentityKey, subject: Subject) -> frozenset[str]:
    """Name what somebody nobody else was found for is looked for by: the birthdate alone."""
    return frozenset(_of_birth(identity, subject.born, []))


def _insurance(identity: IdentityKey, insurer: str | None, number: str | None) -> Iterator[str]:
    # Without the symbol: some insurances have none, and a superset is wanted.
    folded, numbered = fold_insurer(insurer), without_zeros(fold_symbol(number))
    if folded and numbered:
        yield index_key(identity, _INSURANCE, folded, numbered)


def _of_birth(identity: IdentityKey, born: date | None, kanas: list[str]) -> Iterator[str]:
    if born is None:
        return
    yield index_key(identity, _BIRTHDATE, born.isoformat())
    yield from (index_key(identity, _KANA, kana, born.isoformat()) for kana in kanas if kana)
