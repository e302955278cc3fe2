"""What can a visit show, and which verdict must it get?

The first five are in every run of five visits or more; the hard ones join from twenty visits on. Verdict codes are
those of design section 8.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum, auto
from typing import Final

from producers.simulator.chance import chance


class Kind(StrEnum):
    """Who it takes to show a case."""

    GENERAL = auto()
    PRESCHOOL = auto()
    NATIONAL = auto()
    RECIPIENT = auto()
    """Age 70 to 74, with an elderly recipient certificate (高齢受給者証)."""
    LATE_ELDERLY = auto()
    MEDICAL_AID = auto()
    COMBINED = auto()
    """Insured, and medical aid pays the rest (併用)."""
    FOREIGN = auto()
    TWIN = auto()
    NAMESAKE = auto()


class Case(StrEnum):
    MATCH = auto()
    INSURANCE_MISMATCH = auto()
    LIMIT_CERTIFICATE_MISMATCH = auto()
    NAME_MISMATCH = auto()
    """A ● stands for one character; kana and birthdate are equal, so nobody need look."""
    ADDRESS_MISMATCH = auto()

    NEW_PATIENT = auto()
    DOUBLE_CHART = auto()
    REFERENCE_NUMBER_CONFLICT = auto()
    IDENTITY_MISMATCH = auto()
    TWINS = auto()
    INELIGIBLE = auto()
    INELIGIBLE_NEW_COVERAGE = auto()
    NO_COVERAGE = auto()
    SERVICE_ERROR = auto()
    PERSON_ERROR = auto()
    BRANCH_NUMBER_MISSING = auto()
    BURDEN_RATIO_MISMATCH = auto()
    RELATIONSHIP_MISMATCH = auto()
    MEDICAL_AID = auto()
    MEDICAL_AID_UNREGISTERED = auto()

    SHIFT_JIS = auto()
    SHUFFLED = auto()
    BYTE_ORDER_MARK = auto()
    ALL_REFUSED = auto()
    CONSENTS_2025 = auto()
    VENDOR_SPELLING = auto()
    SAME_NAME_AND_BIRTHDATE = auto()
    FOREIGN_NAME = auto()


SEED_CASES: Final = (
    Case.MATCH,
    Case.INSURANCE_MISMATCH,
    Case.LIMIT_CERTIFICATE_MISMATCH,
    Case.NAME_MISMATCH,
    Case.ADDRESS_MISMATCH,
)
HARD_CASES: Final = tuple(case for case in Case if case not in SEED_CASES)
HARD_FROM: Final = 20
_HARD_EVERY: Final = 4

_OWN_VERDICT: Final = (
    *SEED_CASES,
    Case.NEW_PATIENT,
    Case.REFERENCE_NUMBER_CONFLICT,
    Case.IDENTITY_MISMATCH,
    Case.INELIGIBLE,
    Case.INELIGIBLE_NEW_COVERAGE,
    Case.NO_COVERAGE,
    Case.SERVICE_ERROR,
    Case.BRANCH_NUMBER_MISSING,
    Case.BURDEN_RATIO_MISMATCH,
    Case.RELATIONSHIP_MISMATCH,
)
_MATCH: Final = frozenset({"match"})
_EXPECTED: Final[dict[Case, tuple[frozenset[str], ...]]] = {
    case: (frozenset({case.value}),) for case in _OWN_VERDICT
} | {
    Case.DOUBLE_CHART: (frozenset({"ambiguous_patient"}),),
    Case.PERSON_ERROR: (frozenset({"service_error"}),),
    Case.TWINS: (frozenset({"multiple_coverages"}),) * 2,
    Case.MEDICAL_AID_UNREGISTERED: (_MATCH, frozenset({"medical_aid_unregistered"})),
}

# Where the service's answer is itself the finding, what else is said depends on how much of it names a person.
_ALONE: Final = frozenset(
    {*SEED_CASES, Case.BURDEN_RATIO_MISMATCH, Case.RELATIONSHIP_MISMATCH, Case.BRANCH_NUMBER_MISSING}
)

_ANY: Final = (
    Kind.GENERAL,
    Kind.NATIONAL,
    Kind.GENERAL,
    Kind.PRESCHOOL,
    Kind.LATE_ELDERLY,
    Kind.RECIPIENT,
    Kind.FOREIGN,
)
_WITH_BRANCH: Final = (Kind.GENERAL, Kind.NATIONAL)
_KINDS: Final[dict[Case, tuple[Kind, ...]]] = {
    Case.MATCH: _ANY,
    Case.ADDRESS_MISMATCH: _ANY,
    Case.TWINS: (Kind.TWIN,),
    Case.BURDEN_RATIO_MISMATCH: (Kind.LATE_ELDERLY, Kind.RECIPIENT),
    Case.MEDICAL_AID: (Kind.MEDICAL_AID,),
    Case.MEDICAL_AID_UNREGISTERED: (Kind.COMBINED,),
    Case.SHIFT_JIS: (Kind.PRESCHOOL, Kind.NATIONAL),
    Case.SHUFFLED: (Kind.RECIPIENT, Kind.LATE_ELDERLY),
    Case.SAME_NAME_AND_BIRTHDATE: (Kind.NAMESAKE,),
    Case.FOREIGN_NAME: (Kind.FOREIGN,),
}


def expected(case: Case) -> tuple[frozenset[str], ...]:
    """Name the verdict codes that must be given, for each result of the file in its order."""
    return _EXPECTED.get(case, (_MATCH,))


def agrees(case: Case, verdicts: Sequence[Iterable[str]]) -> bool:
    """Say whether the verdicts of a file's results, in its order, are those the case must give."""
    wanted = expected(case)
    if len(wanted) != len(verdicts):
        return False
    given = [frozenset(map(str, found)) for found in verdicts]
    return all(want == found if case in _ALONE else want <= found for want, found in zip(wanted, given, strict=True))


def needs_review(case: Case) -> bool:
    """Say whether a person must look at it: at all but what matches and what differs in spelling alone."""
    return case is not Case.NAME_MISMATCH and any(codes != _MATCH for codes in expected(case))


def schedule(seed: int, count: int) -> tuple[Case, ...]:
    """Order the cases of a run of `count` visits."""
    hard = list(HARD_CASES)
    chance(seed, "schedule").shuffle(hard)
    return tuple(_case_at(at, hard if count >= HARD_FROM else []) for at in range(count))


def _case_at(at: int, hard: Sequence[Case]) -> Case:
    if hard and at >= len(SEED_CASES) and at % _HARD_EVERY == _HARD_EVERY - 1:
        return hard[(at // _HARD_EVERY - 1) % len(hard)]
    return SEED_CASES[at % len(SEED_CASES)]


def kind_for(case: Case, at: int) -> Kind:
    """Choose who shows the case at this place of the run."""
    kinds = _KINDS.get(case, _WITH_BRANCH)
    return kinds[at // len(SEED_CASES) % len(kinds)]
