"""Which requests does a grant lead to?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.consent.fetching.plan import Item, Past, Plan, Result, Standing, months, plan
from consumers.consent.grants import Grant, Source
from consumers.consent.request_state import RequestState
from pipeline.clinic_settings import Fetch
from pipeline.oqs.eligibility import ConsentCategory

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
MEDICATION, CHECKUP, DIAGNOSIS, PRESCRIPTION = (
    ConsentCategory.MEDICATION,
    ConsentCategory.CHECKUP,
    ConsentCategory.DIAGNOSIS,
    ConsentCategory.PRESCRIPTION,
)


def _grant(category: ConsentCategory, *, is_granted: bool = True, **changes: Any) -> Grant:
    grant = Grant(category, Source.READER, is_granted, NOW, NOW + DAY, is_granted, "1" if is_granted else "0", "1")
    return replace(grant, **changes)


def _plan(
    category: ConsentCategory = MEDICATION,
    *beside: Grant,
    past: tuple[Past, ...] = (),
    now: datetime = NOW,
    grant: Grant | None = None,
    **policy: Any,
) -> Plan:
    held = {one.category: Standing(f"g-{one.category}", one) for one in beside}
    settings = Fetch.model_validate({"months": 3, **policy})
    return plan(settings, Standing("g1", grant or _grant(category)), held, past, now)


def _past(state: RequestState, period: str | None = "202604", **changes: Any) -> Past:
    made = {
        "request_id": "r1",
        "state": state,
        "grant_id": "g0",
        "file_category": "2",
        "period": period,
        "wanted_at": NOW - 7 * HOUR,
        "placed_at": changes.get("wanted_at", NOW - 7 * HOUR),
    }
    return Past(**(made | changes))


def _asked(planned: Plan) -> list[tuple[str, str | None]]:
    return [(item.file_category, item.period) for item in planned.items]


def test_medication_is_asked_month_by_month_newest_first() -> None:
    planned = _plan()
    assert _asked(planned) == [("2", "202604"), ("2", "202603"), ("2", "202602")]
    assert (planned.items[0].start, planned.items[0].end) == ("202604", "202604")


def test_month_turns_at_midnight_in_japan() -> None:
    assert months(1, datetime(2026, 4, 30, 14, 59, tzinfo=UTC)) == ["202603"]
    assert months(1, datetime(2026, 4, 30, 15, 0, tzinfo=UTC)) == ["202604"]


def test_nothing_older_than_the_service_is_asked() -> None:
    assert months(12, datetime(2021, 11, 5, tzinfo=UTC)) == ["202110", "202109"]


def test_twelve_months_cross_the_year() -> None:
    listed = months(12, NOW)
    assert (listed[0], listed[-1], len(listed)) == ("202604", "202505", 12)


@pytest.mark.parametrize(
    ("beside", "category"),
    [
        ((), "2"),
        ((_grant(DIAGNOSIS),), "4"),
        ((_grant(DIAGNOSIS, is_granted=False),), "2"),
        ((_grant(DIAGNOSIS, until=NOW + timedelta(seconds=60)),), "2"),
        ((_grant(DIAGNOSIS, may_request=False),), "2"),
    ],
    ids=["not asked", "granted", "refused", "at its limit", "no proof"],
)
def test_treatments_are_asked_only_under_their_own_consent(beside: tuple[Grant, ...], category: str) -> None:
    assert {item.file_category for item in _plan(MEDICATION, *beside).items} == {category}


def test_treatments_are_not_asked_where_the_clinic_wants_none() -> None:
    assert {item.file_category for item in _plan(MEDICATION, _grant(DIAGNOSIS), treatments=False).items} == {"2"}


def test_pdf_is_one_request_for_the_whole_range() -> None:
    (item,) = _plan(medication=["pdf"]).items
    assert (item.file_category, item.period, item.start, item.end) == ("1", None, "202602", "999999")


@pytest.mark.parametrize(
    ("beside", "view", "first"),
    [
        ((), "1", "202605"),
        ((_grant(PRESCRIPTION),), "1", "202605"),
        ((_grant(PRESCRIPTION, is_granted=False),), "0", "202604"),
    ],
    ids=["goes with the medication", "granted", "refused"],
)
def test_prescriptions_are_shown_unless_refused(beside: tuple[Grant, ...], view: str, first: str) -> None:
    items = _plan(MEDICATION, *beside, prescriptions=True).items
    assert (items[0].prescription_view, items[0].period) == (view, first)


def test_prescriptions_stay_hidden_where_they_are_not_configured() -> None:
    assert {item.prescription_view for item in _plan(MEDICATION, _grant(PRESCRIPTION)).items} == {"0"}


def test_checkup_is_asked_whole_in_each_configured_form() -> None:
    assert _asked(_plan(CHECKUP, checkup=["xml", "pdf"])) == [("2", None), ("1", None)]


@pytest.mark.parametrize(
    ("grant", "result"),
    [
        (_grant(MEDICATION, is_granted=False), Result.CLOSED),
        (_grant(MEDICATION, may_request=False), Result.CLOSED),
        (_grant(MEDICATION, until=NOW + timedelta(seconds=60)), Result.CLOSED),
        (_grant(MEDICATION, validity="2"), Result.VALIDITY),
        (_grant(MEDICATION, validity=None), Result.VALIDITY),
    ],
    ids=["refused", "no proof", "at its limit", "not insured", "validity unknown"],
)
def test_nothing_is_asked_under_a_grant_that_permits_nothing(grant: Grant, result: Result) -> None:
    assert _plan(grant=grant) == Plan(result)


def test_person_who_is_not_insured_is_asked_for_only_where_configured() -> None:
    assert _plan(grant=_grant(MEDICATION, validity="3"), only_valid=False).result is Result.ASKED


@pytest.mark.parametrize(
    ("past", "is_asked"),
    [
        (_past(RequestState.ANSWERED, "202603", wanted_at=NOW - 100 * DAY), True),
        (_past(RequestState.ANSWERED, "202603"), False),
        (_past(RequestState.ANSWERED, "202604"), True),
        (_past(RequestState.ANSWERED, "202604", wanted_at=NOW - 5 * HOUR), False),
        (_past(RequestState.ANSWERED, "202604", grant_id="g1"), False),
        (_past(RequestState.ANSWERED, "202604", file_category="4", wanted_at=NOW - HOUR), False),
        (_past(RequestState.ANSWERED, "202604", file_category="1", wanted_at=NOW - HOUR), True),
        (_past(RequestState.PLACED, "202604"), False),
        (_past(RequestState.WANTED, "202604", placed_at=None, is_leased=True), False),
        (_past(RequestState.WANTED, "202604", placed_at=None, is_by_hand=True), False),
        (_past(RequestState.REFUSED, "202604", grant_id="g1"), False),
        (_past(RequestState.TIMED_OUT, "202604"), True),
        (_past(RequestState.EXPIRED, "202604", placed_at=None, wanted_at=NOW - HOUR), True),
    ],
    ids=[
        "read before its claims were in",
        "read for good",
        "newest month",
        "newest month lately",
        "answered under this grant",
        "with treatments lately",
        "as PDF only",
        "on its way",
        "order on its way",
        "an operator's",
        "refused under this grant",
        "unanswered under an older grant",
        "never placed",
    ],
)
def test_month_is_asked_again_only_when_something_may_be_missing(past: Past, *, is_asked: bool) -> None:
    periods = [item.period for item in _plan(past=(past,)).items]
    assert (past.period in periods) is is_asked


def test_what_went_unanswered_lately_is_asked_when_its_pause_is_over() -> None:
    lately = tuple(
        _past(RequestState.TIMED_OUT, month, placed_at=NOW - HOUR) for month in ("202604", "202603", "202602")
    )
    planned = _plan(past=lately)
    assert (planned.result, planned.items, planned.again_at) == (Result.POSTPONED, (), NOW + 5 * HOUR)


def test_pause_that_ends_after_the_limit_leads_to_nothing() -> None:
    lately = (_past(RequestState.TIMED_OUT, placed_at=NOW),)
    assert _plan(past=lately, grant=_grant(MEDICATION, until=NOW + 6 * HOUR)).again_at is None


def test_request_that_waits_under_an_older_grant_gives_way_to_the_newer_one() -> None:
    planned = _plan(past=(_past(RequestState.WANTED, placed_at=None),))
    assert planned.replaced == ("r1",)
    assert ("2", "202604") in _asked(planned)


def test_waiting_request_with_treatments_gives_way_when_these_are_refused() -> None:
    waiting = _past(RequestState.WANTED, placed_at=None, file_category="4", grant_id="g1")
    planned = _plan(MEDICATION, _grant(DIAGNOSIS, is_granted=False), past=(waiting,))
    assert planned.replaced == ("r1",)
    assert ("2", "202604") in _asked(planned)


@pytest.mark.parametrize(("hours", "is_asked"), [(23, False), (24, True)])
def test_checkup_is_asked_once_a_day(hours: int, *, is_asked: bool) -> None:
    past = _past(RequestState.ANSWERED, None, wanted_at=NOW - hours * HOUR)
    assert bool(_plan(CHECKUP, past=(past,)).items) is is_asked


def test_what_waited_long_for_its_turn_is_not_asked_again_before_its_time() -> None:
    answered = {"wanted_at": NOW - 7 * HOUR, "placed_at": NOW - 5 * HOUR}
    past = tuple(_past(RequestState.ANSWERED, month, **answered) for month in ("202604", "202603", "202602"))
    assert _plan(past=past).items == ()
    assert len(_plan(past=past, now=NOW + HOUR).items) == 1


def test_months_that_an_operator_chose_do_not_stand_for_the_whole_range() -> None:
    chosen = _past(RequestState.ANSWERED, None, file_category="1", wanted_at=NOW - HOUR, is_by_hand=True)
    assert _asked(_plan(past=(chosen,), medication=["pdf"])) == [("1", None)]


def test_item_of_a_checkup_never_needs_treatments() -> None:
    assert not any(isinstance(item, Item) and item.needs_treatments for item in _plan(CHECKUP).items)
