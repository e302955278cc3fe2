"""Which requests does a grant lead to?

Pure. Medication (薬剤情報) is asked month by month, newest first, from the last month back to what is stored, and as
PDF in one piece; checkups (特定健診) whole. What was answered for good or not long ago is not asked again; what was
refused or not answered is asked again only under a newer grant. Sources: design section 9; oqs-interface 3.4.1;
field-and-chart-systems 3.8.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from consumers.consent.grants import MARGIN, Grant, Source, may_ask
from consumers.consent.request_state import RequestState
from pipeline.clinic_settings import Fetch
from pipeline.oqs.codes import TreatmentFlag, Validity
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import CURRENT_MONTH, FIRST_MONTH
from pipeline.oqs.times import JST

FETCHED: Final = {
    ConsentCategory.MEDICATION: MessageKind.MEDICATION,
    ConsentCategory.CHECKUP: MessageKind.CHECKUP,
}
"""Categories that lead to requests of their own. Treatments and prescriptions come with the medication."""

PDF, XML, PDF_TREATMENTS, XML_TREATMENTS = "1", "2", "3", "4"
_INCLUDED_IN: Final = {PDF: PDF_TREATMENTS, XML: XML_TREATMENTS}
_TREATMENT_FLAG: Final = {
    Source.READER: TreatmentFlag.OUTPATIENT,
    Source.VISIT: TreatmentFlag.VISIT,
    Source.ONLINE: TreatmentFlag.ONLINE,
}
_OPEN: Final = (RequestState.WANTED, RequestState.PLACED)


class Result(StrEnum):
    """What was made of a grant."""

    ASKED = "asked"
    STORED = "stored"
    """Nothing is missing: all of it was answered before, or is being asked."""
    POSTPONED = "postponed"
    """Asked not long ago without an answer."""
    CLOSED = "closed"
    """Refused meanwhile, or at its limit."""
    VALIDITY = "validity"
    """The result it came with does not say that the person is insured."""
    NO_SUBJECT = "no_subject"
    """An insurance of which the service holds no history."""
    OTHER_SOURCE = "other_source"
    """Given over a visit or online, whose consents lead to requests by hand unless configured otherwise."""
    UNWRITABLE = "unwritable"
    """What the file says of the person cannot be written into a request."""


@dataclass(frozen=True, slots=True)
class Standing:
    """A grant that stands, with its id."""

    grant_id: str
    grant: Grant


@dataclass(frozen=True, slots=True)
class Past:
    """A request made earlier for the same person and kind. `is_leased`: its order is on its way. `is_by_hand`: an
    operator wanted it.
    """

    request_id: str
    state: RequestState
    grant_id: str | None
    file_category: str
    period: str | None
    wanted_at: datetime
    placed_at: datetime | None
    is_leased: bool = False
    is_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Item:
    """One request. `period`: the month it asks for; none for a range, or a checkup."""

    kind: MessageKind
    file_category: str
    period: str | None = None
    start: str | None = None
    end: str | None = None
    prescription_view: str | None = None
    treatment_flag: str | None = None

    @property
    def needs_treatments(self) -> bool:
        return self.kind is MessageKind.MEDICATION and self.file_category in (PDF_TREATMENTS, XML_TREATMENTS)


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be asked, which waiting requests it replaces, and when to look again."""

    result: Result
    items: tuple[Item, ...] = ()
    replaced: tuple[str, ...] = ()
    again_at: datetime | None = None


def plan(
    policy: Fetch,
    standing: Standing,
    beside: Mapping[ConsentCategory, Standing],
    past: Sequence[Past],
    now: datetime,
) -> Plan:
    """Decide what goes out under a grant. `beside`: what else stands for that person from the same source."""
    grant = standing.grant
    if not may_ask(grant, now):
        return Plan(Result.CLOSED)
    if policy.only_valid and grant.validity != Validity.VALID.value:
        return Plan(Result.VALIDITY)
    every = policy.checkup_every if grant.category is ConsentCategory.CHECKUP else policy.medication_every
    has_treatments = policy.treatments and _stands(beside, ConsentCategory.DIAGNOSIS, now)
    items: list[Item] = []
    replaced: list[str] = []
    later: list[datetime] = []
    for item in _wished(policy, grant, has_treatments=has_treatments, hides=_refuses(beside), now=now):
        verdict = _look(item, standing, past, every, now, has_treatments=has_treatments)
        replaced.extend(verdict.replaced)
        if verdict.again_at is not None:
            later.append(verdict.again_at)
        elif verdict.is_missing:
            items.append(item)
    again_at = min(later, default=None)
    if again_at is not None and grant.until is not None and again_at >= grant.until - MARGIN:
        again_at = None
    result = Result.ASKED if items else Result.POSTPONED if later else Result.STORED
    return Plan(result, tuple(items), tuple(dict.fromkeys(replaced)), again_at)


def _stands(beside: Mapping[ConsentCategory, Standing], category: ConsentCategory, now: datetime) -> bool:
    held = beside.get(category)
    return held is not None and may_ask(held.grant, now)


def _refuses(beside: Mapping[ConsentCategory, Standing]) -> bool:
    """Say whether prescriptions were refused; not being asked for them goes with the medication (code 036)."""
    held = beside.get(ConsentCategory.PRESCRIPTION)
    return held is not None and not held.grant.granted


def _wished(policy: Fetch, grant: Grant, *, has_treatments: bool, hides: bool, now: datetime) -> Iterator[Item]:
    flag = _TREATMENT_FLAG.get(grant.source)
    if grant.category is ConsentCategory.CHECKUP:
        for form in policy.checkup:
            category = XML if form == "xml" else PDF
            yield Item(MessageKind.CHECKUP, category, treatment_flag=flag.value if flag else None)
        return
    shows = policy.prescriptions and not hides
    listed = months(policy.months, now, with_this_one=shows)
    for form in policy.medication:
        category = XML if form == "xml" else PDF
        category = _INCLUDED_IN[category] if has_treatments else category
        whole = [(None, month, CURRENT_MONTH) for month in listed[-1:]]
        for period, start, end in [(month, month, month) for month in listed] if form == "xml" else whole:
            yield Item(
                MessageKind.MEDICATION,
                category,
                period,
                start,
                end,
                prescription_view="1" if shows else "0",
                treatment_flag=flag.value if flag else None,
            )


def months(back: int, now: datetime, *, with_this_one: bool = False) -> list[str]:
    """List months in Japan as YYYYMM, newest first: `back` of them up to the last one, none before 202109."""
    today = now.astimezone(JST)
    this = today.year * 12 + today.month - 1
    listed = [f"{at // 12:04}{at % 12 + 1:02}" for at in range(this - (not with_this_one), this - back - 1, -1)]
    return [month for month in listed if month >= FIRST_MONTH]


@dataclass(frozen=True, slots=True)
class _Verdict:
    is_missing: bool = True
    replaced: tuple[str, ...] = ()
    again_at: datetime | None = None


def _look(
    item: Item,
    standing: Standing,
    past: Sequence[Past],
    every: timedelta,
    now: datetime,
    *,
    has_treatments: bool,
) -> _Verdict:
    """Say whether an item is missing, by what was asked before."""
    replaced: list[str] = []
    again_at: datetime | None = None
    for one in past:
        if not _covers(one, item):
            continue
        is_ours = one.grant_id == standing.grant_id
        if one.state in _OPEN:
            if not _gives_way(one, is_ours=is_ours, has_treatments=has_treatments):
                return _Verdict(is_missing=False)
            replaced.append(one.request_id)
        elif one.state is RequestState.ANSWERED:
            # It may have waited long for its turn: what counts is when the service was asked.
            if is_ours or _is_for_good(one) or now - (one.placed_at or one.wanted_at) < every:
                return _Verdict(is_missing=False)
        elif is_ours and one.file_category == item.file_category:
            return _Verdict(is_missing=False)
        elif one.placed_at is not None and now - one.placed_at < every:
            again_at = max(again_at or one.placed_at, one.placed_at + every)
    return _Verdict(replaced=tuple(replaced), again_at=again_at)


def _covers(one: Past, item: Item) -> bool:
    if one.is_by_hand and one.period is None and item.kind is MessageKind.MEDICATION:
        # Months that somebody chose, perhaps fewer than are wanted here.
        return False
    included = (item.file_category, _INCLUDED_IN.get(item.file_category))
    categories = included if item.kind is MessageKind.MEDICATION else (item.file_category,)
    return one.period == item.period and one.file_category in categories


def _gives_way(one: Past, *, is_ours: bool, has_treatments: bool) -> bool:
    """Say whether an open request will never go out, or can be asked under this newer grant instead."""
    if one.state is not RequestState.WANTED or one.is_leased or one.is_by_hand:
        return False
    return not is_ours or (one.file_category in (PDF_TREATMENTS, XML_TREATMENTS) and not has_treatments)


def _is_for_good(one: Past) -> bool:
    """Say whether a month was read when the month after it was over: claims of a month come in during the next."""
    if one.period is None:
        return False
    read = one.wanted_at.astimezone(JST)
    return read.year * 12 + read.month - 1 >= int(one.period[:4]) * 12 + int(one.period[4:]) - 1 + 2
