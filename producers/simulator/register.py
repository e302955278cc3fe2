"""Whom does the service know, and what may be shown of them until when?

Consents live with the service; the file that tells of them is only a notice (oqs-interface section 5.1).
"""

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import ConsentCategory
from producers.simulator.cases import Case
from producers.simulator.people import Coverage, Person
from producers.simulator.result_elements import CONSENT_LASTS
from producers.simulator.visits import Visit

_VISITORS: Final = 3


@dataclass(frozen=True, slots=True, repr=False)
class Entry:
    """A person under one insurance."""

    person: Person
    coverage: Coverage
    validity: Validity


@dataclass(frozen=True, slots=True, repr=False)
class Query:
    """Insurance identifiers as a request gives them; blank where it gives none."""

    insurer_number: str
    symbol: str
    number: str
    branch_number: str = ""
    birthdate: date | None = None


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def _key(insurer_number: str, symbol: str, number: str) -> tuple[str, str, str]:
    return _plain(insurer_number), _plain(symbol), _plain(number)


class Register:
    """The service's own records. `visitors`: who has a stored consent for home visits and online care."""

    def __init__(self, visits: Iterable[Visit]) -> None:
        self._entries: dict[tuple[str, str, str], list[Entry]] = {}
        self._numbers: dict[Coverage, str] = {}
        self._grants: dict[tuple[Coverage, ConsentCategory], datetime] = {}
        for visit in visits:
            if visit.validity is not Validity.NONE_FOUND:
                self._enter(visit)
        self.visitors: list[Entry] = [entry for entry in self.entries if not entry.coverage.is_preschool][:_VISITORS]

    @property
    def entries(self) -> list[Entry]:
        return [entry for entries in self._entries.values() for entry in entries]

    def _enter(self, visit: Visit) -> None:
        validity = Validity.VALID if visit.validity is Validity.SEVERAL else visit.validity
        for person in visit.people:
            for coverage in person.coverages:
                key = _key(coverage.insurer.number, coverage.symbol, coverage.number)
                alone = replace(person, coverages=(coverage,))
                self._entries.setdefault(key, []).append(Entry(alone, coverage, validity))
        if visit.reference_number:
            self._numbers[visit.person.coverage] = visit.reference_number

    def find(self, query: Query) -> list[Entry]:
        """List whom the query fits; what it leaves blank excludes nobody."""
        return [
            entry
            for entry in self._entries.get(_key(query.insurer_number, query.symbol, query.number), ())
            if query.branch_number in ("", entry.coverage.branch_number)
            and query.birthdate in (None, entry.person.birthdate)
        ]

    def reference_number(self, coverage: Coverage) -> str:
        return self._numbers.get(coverage, "")

    def assign(self, coverage: Coverage, reference_number: str) -> None:
        self._numbers[coverage] = reference_number

    def hold_session(self, visit: Visit, at: datetime) -> None:
        """Keep the answers that a patient gave at the reader."""
        # A face file in another maker's spelling was not written by the service, so it knows of no consent.
        if visit.validity is not Validity.VALID or visit.case is Case.VENDOR_SPELLING:
            return
        for coverage in visit.person.coverages:
            for category, is_given in visit.consents.items():
                if is_given:
                    self.grant(coverage, category, at + CONSENT_LASTS)
                else:
                    self._grants.pop((coverage, category), None)

    def grant(self, coverage: Coverage, category: ConsentCategory, until: datetime) -> None:
        self._grants[coverage, category] = until

    def granted_until(self, coverage: Coverage, category: ConsentCategory) -> datetime | None:
        """Tell when a consent ends (exclusive), past or not; `None` when there is none."""
        return self._grants.get((coverage, category))

    def withdraw(self, entry: Entry) -> bool:
        """Forget a stored consent; `False` when there was none."""
        if entry not in self.visitors:
            return False
        self.visitors.remove(entry)
        return True
