"""Who of the invented people consents to what, and whose face file comes late?

Every shape of consent in one run: given, given in part, refused, never asked, over before the file is read, and
running out while it is used. A file that is late lay on a terminal that was cut off.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import ConsentCategory
from producers.simulator.cases import Case
from producers.simulator.result_elements import CONSENT_LASTS
from producers.simulator.visits import ASKED_SINCE_2021, Consents, Visit

LATE: Final = CONSENT_LASTS + timedelta(hours=1)
"""Over when the file is written."""
NEARLY_LATE: Final = CONSENT_LASTS - timedelta(seconds=85)
"""Over soon after; nobody asks in its last minute (design section 9)."""


@dataclass(frozen=True, slots=True)
class _Shape:
    given: frozenset[ConsentCategory]
    asked: tuple[ConsentCategory, ...] = ASKED_SINCE_2021
    age: timedelta = timedelta(0)

    @property
    def consents(self) -> Consents:
        return {category: category in self.given for category in self.asked}


_ALL: Final = frozenset(ASKED_SINCE_2021)
_SHAPES: Final = (
    None,
    _Shape(_ALL),
    _Shape(frozenset({ConsentCategory.MEDICATION})),
    _Shape(frozenset({ConsentCategory.CHECKUP, ConsentCategory.DIAGNOSIS})),
    _Shape(frozenset()),
    _Shape(frozenset({ConsentCategory.CHECKUP}), asked=(ConsentCategory.CHECKUP,)),
    _Shape(_ALL, age=LATE),
    _Shape(_ALL, age=NEARLY_LATE),
    _Shape(_ALL - {ConsentCategory.DIAGNOSIS}),
)
"""In turn; `None` leaves the visit as it was cast. Nine, so that every case meets every shape in a long run."""
_CAST: Final = frozenset({Case.ALL_REFUSED, Case.CONSENTS_2025})
"""Their consents are what they are about."""


def mixed(visits: Iterable[Visit]) -> Iterator[Visit]:
    """Give each visit its shape of consent."""
    for visit in visits:
        shape = _SHAPES[visit.at % len(_SHAPES)]
        if shape is None or visit.case in _CAST:
            yield visit
        else:
            # A medical ticket is of its month: a late one could be of the last.
            is_of_month = any(coverage.is_medical_aid for person in visit.people for coverage in person.coverages)
            age = timedelta(0) if is_of_month or visit.validity is not Validity.VALID else shape.age
            yield replace(visit, consents=shape.consents, age=age)
