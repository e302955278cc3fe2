"""How do grants become requests by themselves?

Once a second, and only while the clock can be believed: a grant that newly stands is planned, its requests are
written, and consent orders them one after the other. The id of a request follows from grant, kind, category and month,
so that neither a repeat nor a second instance makes another. The order goes to the terminal that saw the grant.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from pydantic import ValidationError
from sqlalchemy import Connection, and_, or_, select, update

from consumers.consent import asking
from consumers.consent.asking import RequestFile, Wanted
from consumers.consent.composing import compose
from consumers.consent.fetching import facts
from consumers.consent.fetching.facts import Due
from consumers.consent.fetching.plan import Item, Plan, Result, plan
from consumers.consent.person_detail import PersonDetail
from consumers.consent.request_state import Happening, RequestState
from consumers.consent.requests import Change, apply_changes
from pipeline.contents import person_context, result_context
from pipeline.errors import PermanentError
from pipeline.events import derive_id
from pipeline.folding import fold_insurer
from pipeline.keyring import Keyring
from pipeline.oqs.codes import CardClassification
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import CheckupRequest, HistoryHeader, MedicationRequest, Request
from pipeline.oqs.times import JST
from pipeline.outcome import Outcome
from pipeline.results import ResultDetail
from pipeline.sealing import Opener
from pipeline.settings import Settings
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import fetch_runs, requests, standings

RENEWED: Final = "consent_renewed"
"""A waiting request whose grant was replaced by a newer one, under which it is asked instead."""
OPEN_ENDED_FOR: Final = timedelta(days=1)
"""How long a request under a grant without a limit may wait for its turn; months are asked one after the other."""
_WITHOUT_HISTORY: Final = (CardClassification.MEDICAL_AID, CardClassification.SELF_DEFENSE)
_AID_HEAD: Final = "12"


@dataclass(frozen=True, slots=True)
class Fetched:
    """What was made of a grant, with the requests to write."""

    due: Due
    result: Result
    again_at: datetime | None = None
    wanted: tuple[Wanted, ...] = ()
    replaced: tuple[str, ...] = ()
    """Ids of the waiting requests in whose place these are asked."""


class Fetcher:
    """Plans requests with the keys of the centre."""

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._opener = Opener(keyring)
        self._policies = {clinic.id: clinic.fetch for clinic in settings.clinics if clinic.fetch.enabled}

    def due(self, connection: Connection, now: datetime) -> list[Outcome]:
        """Say what newly standing grants lead to."""
        if not self._policies:
            return []
        return [self._outcome(found, now) for found in facts.due(connection, self._policies, now)]

    def _outcome(self, found: Due, now: datetime) -> Outcome:
        policy = self._policies[found.clinic]
        if found.standing.grant.source.value not in policy.sources:
            return Outcome("not_fetched", writes=(Fetched(found, Result.OTHER_SOURCE),))
        planned = plan(policy, found.standing, found.beside, found.past, now)
        wanted: tuple[Wanted, ...] = ()
        result = planned.result
        if planned.items:
            try:
                wanted = tuple(self._wanted(found, planned, now))
            except _WithoutHistoryError:
                result = Result.NO_SUBJECT
            except (PermanentError, ValueError):
                # The file may say of a person what no request can; it is seen in `onshi consents missed`.
                result = Result.UNWRITABLE
        replaced = planned.replaced if wanted else ()
        return Outcome(result.value, writes=(Fetched(found, result, planned.again_at, wanted, replaced),))

    def _wanted(self, found: Due, planned: Plan, now: datetime) -> Iterator[Wanted]:
        detail = self._person(found)
        if _has_no_history(detail):
            raise _WithoutHistoryError
        patient_id = self._patient(found)
        standing, diagnosis = found.standing, found.beside.get(ConsentCategory.DIAGNOSIS)
        inquiry_id = derive_id("fetch", found.clinic, standing.grant_id)
        for item in planned.items:
            second = diagnosis if item.needs_treatments else None
            limits = [one.grant.until for one in (standing, second) if one and one.grant.until]
            yield Wanted(
                clinic=found.clinic,
                terminal=found.terminal,
                kind=item.kind.value,
                file=self._compose(found, detail, item, patient_id, now),
                person_hash=found.person_hash,
                category=standing.grant.category.value,
                grant_id=standing.grant_id,
                window_until=min(limits, default=None),
                patient_hash=found.result.patient_hash if found.result else None,
                inquiry_id=inquiry_id,
                period=item.period,
                request_id=derive_id(
                    *("fetch", found.clinic, standing.grant_id, item.kind.value),
                    *(item.file_category, item.period or ""),
                ),
                treatment_grant_id=second.grant_id if second else None,
                file_category=item.file_category,
                wanted_until=min(limits, default=now + OPEN_ENDED_FOR),
            )

    def _person(self, found: Due) -> PersonDetail:
        if found.sealed_person is None:
            raise PermanentError("person_missing")
        raw = self._opener.open(found.clinic, person_context(found.person_hash), found.sealed_person)
        return PersonDetail.model_validate_json(raw)

    def _patient(self, found: Due) -> str | None:
        """Name the chart patient, if reconciliation knows one by now; nobody known does not stop a request."""
        row = found.result
        if row is None:
            return None
        try:
            raw = self._opener.open(found.clinic, result_context(row.file_id, row.result), row.sealed_result)
            return ResultDetail.model_validate_json(raw).patient_id
        except (PermanentError, ValidationError):
            return None

    def _compose(
        self, found: Due, detail: PersonDetail, item: Item, patient_id: str | None, now: datetime
    ) -> RequestFile:
        clinic = self._settings.clinic(found.clinic)
        assert clinic is not None
        known = clinic.code_on(now.astimezone(JST).date(), detail.institution_code)
        person = detail.model_dump(exclude={"institution_code", "card_classification"})
        return compose(lambda identifier: _request(detail, item, known, identifier), patient_id=patient_id, **person)


class _WithoutHistoryError(Exception):
    """The service holds no history of such an insurance."""


def _has_no_history(detail: PersonDetail) -> bool:
    """Say whether it is medical aid or a self-defense card (security-and-reliability section 2, no subject)."""
    by_class = CardClassification.of(detail.card_classification) in _WITHOUT_HISTORY
    return by_class or fold_insurer(detail.insurer_number).startswith(_AID_HEAD)


def _request(detail: PersonDetail, item: Item, institution_code: str, identifier: str) -> Request:
    header = HistoryHeader(
        institution_code=institution_code,
        insurer_number=detail.insurer_number,
        symbol=detail.symbol or None,
        number=detail.number,
        branch_number=detail.branch_number or None,
        arbitrary_file_identifier=identifier,
    )
    if item.kind is MessageKind.CHECKUP:
        return CheckupRequest.model_validate(
            {"header": header, "file_category": item.file_category, "treatment_flag": item.treatment_flag}
        )
    return MedicationRequest.model_validate(
        {
            "header": header,
            "start": item.start,
            "end": item.end,
            "file_category": item.file_category,
            "prescription_view": item.prescription_view,
            "treatment_flag": item.treatment_flag,
        }
    )


def write(
    connection: Connection, keyring: Keyring, fetched: Sequence[Fetched], timeout: timedelta, now: datetime
) -> None:
    """Write the requests, what was made of each grant, and when it is looked at again.

    Where another instance has meanwhile ordered what was to be replaced nothing is written: the grant is looked at
    again, and sees that it is on its way.
    """
    done = [one for one in fetched if _are_waiting(connection, one.replaced, now)]
    replaced = [Change(each, Happening.WINDOW_CLOSED, RENEWED) for one in done for each in one.replaced]
    apply_changes(connection, replaced, now)
    for one in done:
        for wanted in one.wanted:
            asking.add(connection, keyring, wanted, timeout, now)
        found = one.due
        same = and_(
            standings.c.clinic == found.clinic,
            standings.c.person_hash == found.person_hash,
            standings.c.grant_id == found.standing.grant_id,
            # A newer answer, or one about a part, wants its own look.
            standings.c.fetch_at == found.fetch_at,
        )
        connection.execute(update(standings).where(same).values(fetch_at=one.again_at))
    rows = [
        {"grant_id": one.due.standing.grant_id, "result": one.result.value, "clinic": one.due.clinic, "at": now}
        for one in done
        # What is stored already needs no word: a repeat of the same file comes to this.
        if one.result is not Result.STORED
    ]
    insert_new(connection, fetch_runs, rows)


def _are_waiting(connection: Connection, request_ids: Sequence[str], now: datetime) -> bool:
    """Say whether all of these still wait without an order, and let none be ordered in this transaction."""
    if not request_ids:
        return True
    own = requests.c.request_id.in_(sorted(request_ids))
    unordered = or_(requests.c.ordered_until.is_(None), requests.c.ordered_until <= now)
    query = select(requests.c.request_id).where(own, requests.c.state == RequestState.WANTED.value, unordered)
    found = connection.execute(query.order_by(requests.c.request_id).with_for_update()).all()
    return len(found) == len(set(request_ids))
