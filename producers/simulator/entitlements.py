"""What must be asked of the service because of what a patient consented to, and what was?

Read from the visit and from the request file alone; it knows nothing of the product's own ledger, with which it is
compared at the end of a demo. Sources: oqs-interface sections 3.4 and 5.1; field-and-chart-systems section 3.8.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

from pipeline.oqs.codes import Validity
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from pipeline.oqs.times import JST
from producers.simulator.cases import Case
from producers.simulator.people import Coverage
from producers.simulator.service import Asked
from producers.simulator.visits import Visit

_XML, _XML_TREATMENTS = "2", "4"


@dataclass(frozen=True, slots=True, repr=False)
class Entitlement:
    """One request that a consent allows. `month`: YYYYMM, none for checkups."""

    kind: MessageKind
    insured: tuple[str, ...]
    file_category: str
    month: str | None = None


def entitlements(visit: Visit, months: Sequence[str]) -> Iterator[Entitlement]:
    """List what is to be asked after a visit: each month of medication, and checkups, as far as was consented."""
    # A face file in another maker's spelling proves no consent.
    if visit.validity is not Validity.VALID or visit.case is Case.VENDOR_SPELLING:
        return
    given = {category for category, is_given in visit.consents.items() if is_given}
    category = _XML_TREATMENTS if ConsentCategory.DIAGNOSIS in given else _XML
    for coverage in visit.person.coverages:
        if coverage.is_medical_aid:  # the service holds no history of it
            continue
        insured = _insured_of(coverage)
        if ConsentCategory.MEDICATION in given:
            yield from (Entitlement(MessageKind.MEDICATION, insured, category, month) for month in months)
        if ConsentCategory.CHECKUP in given:
            yield Entitlement(MessageKind.CHECKUP, insured, _XML)


def entitlement_used(asked: Asked) -> Entitlement | None:
    """Say which one a request used; none for what needs no consent at the reader."""
    if not asked.name.kind.is_history or asked.request is None:
        return None
    head = asked.request.header
    insured = _plain(head.insurer_number, head.symbol, head.number, head.branch_number)
    return Entitlement(asked.name.kind, insured, asked.request.file_category or "", asked.request.start)


def months_before(now: datetime, count: int) -> list[str]:
    """List the last `count` whole months in Japan, as YYYYMM."""
    today = now.astimezone(JST)
    this = today.year * 12 + today.month - 1
    return [f"{at // 12:04}{at % 12 + 1:02}" for at in range(this - count, this)]


def _insured_of(coverage: Coverage) -> tuple[str, ...]:
    return _plain(coverage.insurer.number, coverage.symbol, coverage.number, coverage.branch_number)


def _plain(*values: str | None) -> tuple[str, ...]:
    return tuple(unicodedata.normalize("NFKC", value or "").strip() for value in values)
