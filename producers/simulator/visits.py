"""What does a visit show: who comes, what the service says, what the chart holds?

The planned differences between file and chart are made here and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.patient_row import OPEN_DATE, PatientRow
from producers.simulator import insurers, vocabulary
from producers.simulator.cases import Case
from producers.simulator.chance import chance
from producers.simulator.chart_rows import rows_of
from producers.simulator.people import FAMILY, FEMALE, INSURED, MALE, Person, Population

Consents = dict[ConsentCategory, bool]

ASKED_SINCE_2021: Final = (
    ConsentCategory.CHECKUP,
    ConsentCategory.MEDICATION,
    ConsentCategory.DIAGNOSIS,
    ConsentCategory.OPERATION,
)
"""The questions every terminal asks; the other six joined in 2025 (oqs-interface section 3.1.5)."""

_REGISTERED_SHARE: Final = 0.5
_GIVEN_SHARE: Final = 0.85
_ASKED_2025_SHARE: Final = 0.3


@dataclass(frozen=True, slots=True, repr=False)
class Visit:
    """One visit. `people`: as the service tells of them, one for each result block.

    `patient_id`: the chart patient whom the first result belongs to, or `None` where no machine may say.
    `age`: how long before its file is written the patient was at the reader.
    """

    at: int
    case: Case
    people: tuple[Person, ...]
    chart: tuple[PatientRow, ...]
    patient_id: str | None
    consents: Consents
    reference_number: str = ""
    validity: Validity = Validity.VALID
    age: timedelta = timedelta(0)

    @property
    def person(self) -> Person:
        return self.people[0]


def visits_of(population: Population) -> tuple[Visit, ...]:
    """Plan every visit of a population."""
    die = chance(population.seed, "visits")
    return tuple(_visit(population, at, die) for at in range(len(population.people)))


def _visit(population: Population, at: int, die: Random) -> Visit:
    person, case = population.people[at], population.cases[at]
    plain = Visit(
        at=at,
        case=case,
        people=(person,),
        chart=rows_of(person),
        patient_id=person.patient_id,
        consents=_consents(case, die),
        reference_number=person.patient_id if die.random() < _REGISTERED_SHARE else "",
    )
    shape = _SHAPES.get(case)
    return plain if shape is None else shape(plain, population)


def _consents(case: Case, die: Random) -> Consents:
    if case is Case.ALL_REFUSED:
        return dict.fromkeys(ASKED_SINCE_2021, False)
    if case is Case.CONSENTS_2025:
        return dict.fromkeys(ConsentCategory, True)
    asked = tuple(ConsentCategory) if die.random() < _ASKED_2025_SHARE else ASKED_SINCE_2021
    return {category: die.random() < _GIVEN_SHARE for category in asked}


_Shape = Callable[[Visit, Population], Visit]


def _chart_with(visit: Visit, **changes: str) -> tuple[PatientRow, ...]:
    return (visit.chart[0].model_copy(update=changes), *visit.chart[1:])


def _insurance_mismatch(visit: Visit, population: Population) -> Visit:
    old = next(one for one in insurers.SOCIETIES if one is not visit.person.coverage.insurer)
    number = f"8{visit.at + 1}"
    chart = _chart_with(visit, insurer_number=old.number, symbol="77", number=number, valid_to=OPEN_DATE)
    del population
    # Kana and birthdate alone only make a candidate; with the registered number besides, the patient is sure.
    return replace(visit, chart=chart, patient_id=visit.patient_id if visit.reference_number else None)


def _limit_mismatch(visit: Visit, population: Population) -> Visit:
    del population
    person = visit.person.with_coverage(replace(visit.person.coverage, limit_class="01", limit_flag="A03"))
    return replace(visit, people=(person,), chart=_chart_with(visit, limit_class="01", limit_flag="A04"))


def _name_mismatch(visit: Visit, population: Population) -> Visit:
    del population
    person = replace(visit.person, name=visit.person.name[:-1] + "●")
    return replace(visit, people=(person,))


def _address_mismatch(visit: Visit, population: Population) -> Visit:
    die = chance(population.seed, "moved", visit.at)
    address = f"{die.choice(vocabulary.TOWNS)}新開{die.randint(31, 99)}-{die.randint(31, 99)}"
    return replace(visit, chart=_chart_with(visit, address=address, postal_code="990-0999"))


def _new_patient(visit: Visit, population: Population) -> Visit:
    del population
    return replace(visit, chart=(), patient_id=None, reference_number="")


def _double_chart(visit: Visit, population: Population) -> Visit:
    del population
    second = visit.chart[0].model_copy(update={"patient_id": f"9{visit.at:07d}"})
    return replace(visit, chart=(*visit.chart, second), patient_id=None, reference_number="")


def _reference_conflict(visit: Visit, population: Population) -> Visit:
    # The first visit is always a plain one, so that patient is surely in the chart.
    return replace(visit, reference_number=population.people[0].patient_id, patient_id=None)


def _identity_mismatch(visit: Visit, population: Population) -> Visit:
    del population
    other = FEMALE if visit.person.sex == MALE else MALE
    return replace(visit, chart=_chart_with(visit, sex=other), patient_id=None)


def _twins(visit: Visit, population: Population) -> Visit:
    twin = population.companions[visit.at]
    return replace(
        visit,
        people=(visit.person, twin),
        chart=visit.chart + rows_of(twin),
        patient_id=None,
        reference_number="",
        validity=Validity.SEVERAL,
    )


def _namesake(visit: Visit, population: Population) -> Visit:
    return replace(visit, chart=visit.chart + rows_of(population.companions[visit.at]))


def _answered(validity: Validity) -> _Shape:
    def shape(visit: Visit, population: Population) -> Visit:
        del population
        return replace(visit, validity=validity)

    return shape


def _told_of_nobody(visit: Visit, population: Population) -> Visit:
    del population
    return replace(visit, validity=Validity.NONE_FOUND, patient_id=None, reference_number="")


def _branch_missing(visit: Visit, population: Population) -> Visit:
    del population
    return replace(visit, chart=_chart_with(visit, branch_number=""))


def _ratio_mismatch(visit: Visit, population: Population) -> Visit:
    del population
    other = "020" if visit.chart[0].burden_ratio == "030" else "030"
    return replace(visit, chart=_chart_with(visit, burden_ratio=other))


def _relationship_mismatch(visit: Visit, population: Population) -> Visit:
    del population
    other = FAMILY if visit.person.coverage.relationship == INSURED else INSURED
    return replace(visit, chart=_chart_with(visit, relationship=other))


def _aid_unregistered(visit: Visit, population: Population) -> Visit:
    del population
    return replace(visit, chart=visit.chart[:1])


def _without_limit(visit: Visit, population: Population) -> Visit:
    del population
    return replace(visit, chart=_chart_with(visit, limit_class="", limit_flag=""))


_SHAPES: Final[dict[Case, _Shape]] = {
    Case.INSURANCE_MISMATCH: _insurance_mismatch,
    Case.LIMIT_CERTIFICATE_MISMATCH: _limit_mismatch,
    Case.NAME_MISMATCH: _name_mismatch,
    Case.ADDRESS_MISMATCH: _address_mismatch,
    Case.NEW_PATIENT: _new_patient,
    Case.DOUBLE_CHART: _double_chart,
    Case.REFERENCE_NUMBER_CONFLICT: _reference_conflict,
    Case.IDENTITY_MISMATCH: _identity_mismatch,
    Case.TWINS: _twins,
    Case.INELIGIBLE: _answered(Validity.INVALID),
    Case.INELIGIBLE_NEW_COVERAGE: _answered(Validity.INVALID_NEWER),
    Case.NO_COVERAGE: _told_of_nobody,
    Case.SERVICE_ERROR: _told_of_nobody,
    Case.PERSON_ERROR: _told_of_nobody,
    Case.BRANCH_NUMBER_MISSING: _branch_missing,
    Case.BURDEN_RATIO_MISMATCH: _ratio_mismatch,
    Case.RELATIONSHIP_MISMATCH: _relationship_mismatch,
    Case.MEDICAL_AID_UNREGISTERED: _aid_unregistered,
    Case.ALL_REFUSED: _without_limit,
    Case.SAME_NAME_AND_BIRTHDATE: _namesake,
}
