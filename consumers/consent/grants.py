"""What did the patient answer, and what may be asked for now?

Ten categories, each an answer of its own. A missing flag is no answer. A grant counts from its own time (同意日時) on,
until the limit the file gives (閲覧有効期限), which is read and never computed. A refusal carries no time of its own
and counts from the message's ProcessExecutionTime; in the answer to a card inquiry nobody was asked, so nobody
refused. What the service calls expired or withdrawn (flag 2) counts as
refused from then on; "consent could not be obtained" (flag 3) is an emergency's and grants nothing. Sources: design
section 9; oqs-interface 3.1.5, 3.6, 3.8 (016, 031), 5.1 to 5.3.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Self

from pipeline.clock import DRIFT_LIMIT
from pipeline.events import derive_id
from pipeline.oqs.codes import Consent as Flag
from pipeline.oqs.codes import ReferenceClassification, TreatmentFlag, Validity
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, EligibilityResult
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import BulkEligibilityRecord, EligibilityRecord, Record
from pipeline.oqs.times import OPEN, parse_instant, parse_until

MARGIN: Final = DRIFT_LIMIT
"""How long before its limit a grant is no longer used, and how far ahead of us it may be dated (design section 9)."""


class Source(StrEnum):
    """Where the patient answered; answers of different sources never replace one another."""

    READER = "reader"
    VISIT = "visit"
    ONLINE = "online"
    EMERGENCY = "emergency"
    DISASTER = "disaster"


class Unusable(StrEnum):
    """Why an answer says nothing now. The value is the reason a file is parked under."""

    UNREADABLE = "consent_unreadable"
    """A grant without a readable time or limit, or a flag of no known meaning: waiting brings none."""
    IN_FUTURE = "consent_in_future"
    """Dated ahead of us: one of the clocks is wrong. Read again, it counts once the clock is right."""


@dataclass(frozen=True, slots=True)
class Grant:
    """One answer for one category. `until` is exclusive; a refusal has none, and so has an open-ended grant.

    `may_request`: false for what is no proof of consent (another maker's spelling, a card inquiry's answer).
    """

    category: ConsentCategory
    source: Source
    granted: bool
    consented_at: datetime
    until: datetime | None
    may_request: bool
    flag: str
    validity: str | None = None
    """資格有効性 of the answer it came with."""

    @classmethod
    def of_row(cls, row: Any) -> Self:
        """Read a row of the ledger, which does not keep the flag."""
        return cls(
            category=ConsentCategory(row.category),
            source=Source(row.source),
            granted=row.granted,
            consented_at=row.consented_at,
            until=row.until,
            may_request=row.may_request,
            flag="",
            validity=row.validity,
        )

    @property
    def counts(self) -> bool:
        """Say whether it takes part in what stands: a grant that permits nothing must not replace one that does."""
        return self.may_request or not self.granted

    def id(self, clinic: str, person_hash: str) -> str:
        """Name this answer; equal ones, however often they arrive, are one row of the ledger."""
        until = self.until.isoformat() if self.until else ""
        proof = "proof" if self.counts else "no proof"
        said = (self.consented_at.isoformat(), self.flag, until, proof, self.validity or "")
        return derive_id("grant", clinic, person_hash, self.category, self.source, *said)


def may_ask(grant: Grant, now: datetime) -> bool:
    """Say whether a request may go out under this grant. The limit is exclusive, less a minute."""
    if not (grant.granted and grant.may_request):
        return False
    return grant.consented_at - MARGIN <= now and (grant.until is None or now < grant.until - MARGIN)


@dataclass(frozen=True, slots=True)
class Answers:
    """All that one result says of consent. `unusable`: what could not be taken, if anything."""

    grants: tuple[Grant, ...] = ()
    unusable: tuple[Unusable, ...] = ()


@dataclass(frozen=True, slots=True)
class Asked:
    """One result of a file with the place it was answered at."""

    result: EligibilityResult = field(repr=False)
    source: Source
    is_card_inquiry: bool
    validity: str | None = None
    institution_code: str | None = field(default=None, repr=False)


def asked(kind: str, record: Record) -> Iterator[Asked]:
    """List the results of a record that carry consents."""
    if isinstance(record, EligibilityRecord):
        parts = [(record.treatment_flag, record.validity, record.results)]
    elif isinstance(record, BulkEligibilityRecord):
        flag = record.search.treatment_flag if record.search else None
        parts = [(unit.treatment_flag or flag, unit.validity, unit.results) for unit in record.units]
    else:
        return
    by_card = ReferenceClassification.of(record.header.reference_classification)
    code = record.header.institution_code
    for treatment, said, results in parts:
        source = _source(kind, treatment)
        is_inquiry = source is Source.READER and by_card is ReferenceClassification.INSURANCE_CARD
        validity = Validity.of(said)
        told = validity.value if validity else None
        yield from (Asked(result, source, is_inquiry, told, code) for result in results if result.consents)


_BY_TREATMENT: Final = {
    TreatmentFlag.OUTPATIENT: Source.READER,
    TreatmentFlag.VISIT: Source.VISIT,
    TreatmentFlag.ONLINE: Source.ONLINE,
    TreatmentFlag.EMERGENCY: Source.EMERGENCY,
}
_BY_KIND: Final = {
    MessageKind.VISIT: Source.VISIT,
    MessageKind.BULK_VISIT: Source.VISIT,
    MessageKind.ONLINE: Source.ONLINE,
    MessageKind.BULK_ONLINE: Source.ONLINE,
}


def _source(kind: str, treatment: str | None) -> Source:
    # The name of the message is firmer than a flag inside it: what came over a visit is never the reader's.
    by_name = _BY_KIND.get(MessageKind(kind)) if kind in set(MessageKind) else None
    flag = TreatmentFlag.of(treatment)
    return by_name or (_BY_TREATMENT[flag] if flag else Source.READER)


def read(asked: Asked, processed_at: datetime | None, now: datetime) -> Answers:
    """Read every consent group of a result. `processed_at`: ProcessExecutionTime, for what has no time of its own."""
    grants: list[Grant] = []
    unusable: list[Unusable] = []
    for group in asked.result.consents:
        found = _read_group(group, asked, processed_at, now)
        if isinstance(found, Grant):
            grants.append(found)
        elif found is not None:
            unusable.append(found)
    return Answers(tuple(grants), tuple(unusable))


def _read_group(
    group: ConsentGroup, asked: Asked, processed_at: datetime | None, now: datetime
) -> Grant | Unusable | None:
    if not (group.flag or "").strip():
        return None
    flag = Flag.of(group.flag)
    if flag is Flag.GIVEN:
        return _grant(group, asked, now)
    if flag is Flag.REFUSED and asked.is_card_inquiry:
        return None
    if flag is None or processed_at is None:
        return Unusable.UNREADABLE
    source = Source.EMERGENCY if flag is Flag.NOT_OBTAINABLE else asked.source
    return refusal(group.category, source, processed_at, flag, asked.validity)


def refusal(
    category: ConsentCategory, source: Source, at: datetime, flag: Flag = Flag.REFUSED, validity: str | None = None
) -> Grant:
    """Make the answer that ends what stood before `at`."""
    return Grant(category, source, False, at, None, False, flag.value, validity)  # noqa: FBT003 - a value, not a switch


def _grant(group: ConsentGroup, asked: Asked, now: datetime) -> Grant | Unusable | None:
    consented_at, until = parse_instant(group.consented_at), parse_until(group.available_until)
    is_proof = not (group.vendor_spelling or asked.is_card_inquiry)
    if consented_at is None or until is None:
        return Unusable.UNREADABLE if is_proof else None
    if consented_at > now + MARGIN:
        return Unusable.IN_FUTURE if is_proof else None
    return Grant(
        category=group.category,
        source=asked.source,
        granted=True,
        consented_at=consented_at,
        until=None if until == OPEN else until,
        may_request=is_proof,
        flag=Flag.GIVEN.value,
        validity=asked.validity,
    )
