"""When does a request go out, and how does it end?"""

from datetime import datetime, timedelta

import pytest

from consumers.consent import Consent
from consumers.consent.asking import RequestFile, Wanted, add
from consumers.consent.request_state import TABLE, Happening, RequestState, after
from pipeline.contents import SealedFile, request_context
from pipeline.events import Event, RequestPlace, RequestPlaced, RequestRefused, RequestWithdrawn
from pipeline.oqs.eligibility import EligibilityResult, Header
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import EligibilityRecord, ReturnedRequest
from pipeline.sealing import Opener
from pipeline.storage.schema import files, grants, receipts, requests
from tests.support.centre import Centre, types_of
from tests.support.consents import NOW, arrive, granted, refused, store_file
from tests.support.edge_report import hear

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
BASE = "YZKsiquc01req_a1b2c3d4e5f6"
CONTENT = b"<XmlMsg/>"


def _want(centre: Centre, *, category: str | None = None, grant_id: str | None = None, hours: float = 0.05) -> str:
    file = RequestFile(base_name=BASE, arbitrary_file_identifier="x", content=CONTENT)
    wanted = Wanted("c1", "t1", "YZKsiquc", file, None, category=category, grant_id=grant_id)
    with centre.store.transaction() as connection:
        return add(connection, centre.keyring, wanted, timedelta(hours=hours), NOW)


def _under_grant(centre: Centre, until: datetime = NOW + DAY) -> str:
    arrive(centre, [granted(NOW, until)])
    return _want(centre, category="medication", grant_id=centre.row(grants)["grant_id"], hours=48)


def _due(centre: Centre, now: datetime) -> list[RequestPlace]:
    events: list[Event] = centre.due(Consent(centre.settings, centre.keyring), now)
    return [event for event in events if isinstance(event, RequestPlace)]


def _state(centre: Centre) -> tuple[str, str | None]:
    row = centre.row(requests)
    return row["state"], row["reason"]


def _handle(centre: Centre, event: Event, now: datetime = NOW) -> str:
    return centre.handle(Consent(centre.settings, centre.keyring), event, now).result


def _answer(centre: Centre, record: EligibilityRecord | ReturnedRequest, reason: str | None = None) -> None:
    outcome = "rejected" if reason else "pending"
    event = store_file(
        centre, "answer", record, kind=MessageKind.ELIGIBILITY, correlation=BASE, outcome=outcome, reason=reason
    )
    _handle(centre, event)


def _eligibility(segment: str, status: str = "1", validity: str = "1") -> EligibilityRecord:
    return EligibilityRecord(
        schema_kind="eligibility",
        header=Header(segment=segment),
        status=status,
        validity=validity,
        results=(EligibilityResult(number="1"),),
    )


def test_order_carries_the_file_sealed_to_its_terminal(centre: Centre) -> None:
    request_id = _want(centre)
    (order,) = _due(centre, NOW)
    opened = Opener(centre.keyring).open("c1", request_context(request_id), order.sealed)
    held = SealedFile.from_bytes(opened)
    assert (order.edge, held.name, held.folder, held.content) == ("t1", f"{BASE}.xml", "req", CONTENT)


def test_order_is_a_lease_and_is_issued_again_only_when_it_ran_out(centre: Centre) -> None:
    _want(centre)
    (first,) = _due(centre, NOW)
    assert _due(centre, first.until - SECOND) == []
    (second,) = _due(centre, first.until)
    assert second.id != first.id


def test_order_given_by_a_clock_that_was_ahead_is_given_again(centre: Centre) -> None:
    _want(centre, hours=48)
    assert [len(_due(centre, at)) for at in (NOW + DAY, NOW, NOW + SECOND)] == [1, 1, 0]


def test_order_never_outlives_the_time_out_of_the_request(centre: Centre) -> None:
    _want(centre, hours=0.01)
    (order,) = _due(centre, NOW)
    assert order.until == order.withdraw_at == NOW + timedelta(seconds=36)


@pytest.mark.parametrize(("before_end", "sent"), [(61, 1), (60, 0)])
def test_nothing_is_asked_within_a_minute_of_the_limit(centre: Centre, before_end: int, sent: int) -> None:
    _under_grant(centre)
    assert len(_due(centre, NOW + DAY - timedelta(seconds=before_end))) == sent
    assert _state(centre) == (("wanted", None) if sent else ("expired", "window"))


def test_order_carries_the_limit_of_its_grant(centre: Centre) -> None:
    _under_grant(centre)
    assert _due(centre, NOW)[0].window_until == NOW + DAY


def test_refusal_after_the_request_was_wanted_ends_it(centre: Centre) -> None:
    _under_grant(centre)
    arrive(centre, [refused()], NOW + SECOND)
    assert _due(centre, NOW + SECOND) == []
    assert _state(centre) == ("expired", "consent_replaced")


def test_clinical_request_without_a_grant_is_never_sent(centre: Centre) -> None:
    _want(centre, category="medication")
    assert _due(centre, NOW) == []
    assert _state(centre) == ("expired", "no_consent")


def test_vendor_spelling_lets_nothing_be_asked(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY).model_copy(update={"vendor_spelling": True})])
    _want(centre, category="medication", grant_id=centre.row(grants)["grant_id"])
    assert _due(centre, NOW) == []


@pytest.mark.parametrize(("offset", "sent"), [(60, 1), (61, 0), (-61, 0)])
def test_terminal_whose_clock_is_off_gets_no_order(centre: Centre, offset: int, sent: int) -> None:
    _want(centre)
    hear(centre.store, NOW + timedelta(seconds=offset), NOW, edge="t1")
    assert len(_due(centre, NOW)) == sent


def test_terminal_that_doubts_its_own_clock_gets_no_order(centre: Centre) -> None:
    _want(centre)
    hear(centre.store, NOW, NOW, edge="t1", clock_reliable=False)
    assert _due(centre, NOW) == []


def test_order_goes_to_a_neighbour_when_its_terminal_is_silent(centre: Centre) -> None:
    _want(centre, hours=1)
    later = NOW + timedelta(minutes=5)
    hear(centre.store, NOW, NOW, edge="t1")
    hear(centre.store, later, later, edge="t2")
    assert [order.edge for order in _due(centre, later - SECOND)] == ["t1"]
    assert [order.edge for order in _due(centre, later + timedelta(minutes=2))] == ["t2"]


def test_request_that_cannot_be_opened_does_not_stop_the_others(centre: Centre) -> None:
    _want(centre)
    with centre.store.transaction() as connection:
        connection.execute(requests.update().values(sealed_request=b"O1broken"))
    assert _due(centre, NOW) == []
    assert _state(centre) == ("refused", "unreadable")


def test_request_nobody_took_is_withdrawn_even_when_the_time_out_came_first(centre: Centre) -> None:
    request_id = _want(centre)
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=NOW))
    late = NOW + timedelta(hours=1)
    _due(centre, late)
    assert _state(centre) == ("timed_out", "no_answer")
    _handle(centre, RequestWithdrawn(clinic="c1", edge="t1", request_id=request_id, withdrawn_at=late))
    assert _state(centre) == ("withdrawn", "not_taken")


def test_placed_request_gives_the_terminal_a_lease_to_report(centre: Centre) -> None:
    request_id = _want(centre)
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=NOW))
    _due(centre, NOW + timedelta(seconds=180 + 119))
    assert _state(centre)[0] == "placed"
    _due(centre, NOW + timedelta(seconds=180 + 120))
    assert _state(centre)[0] == "timed_out"


@pytest.mark.parametrize(
    ("reason", "state"),
    [
        ("window", "expired"),
        ("folder", "refused"),
        ("clock", "wanted"),
        ("share_away", "wanted"),
        ("expired", "wanted"),
    ],
)
def test_refusal_of_the_terminal(centre: Centre, reason: str, state: str) -> None:
    request_id = _want(centre)
    _handle(centre, RequestRefused(clinic="c1", edge="t1", request_id=request_id, reason=reason))
    assert _state(centre)[0] == state


def test_request_refused_for_the_clock_is_ordered_again_and_ends_with_that_reason(centre: Centre) -> None:
    request_id = _want(centre)
    (first,) = _due(centre, NOW)
    _handle(centre, RequestRefused(clinic="c1", edge="t1", request_id=request_id, reason="clock"))
    assert _state(centre) == ("wanted", "clock")
    assert len(_due(centre, first.until)) == 1
    _due(centre, NOW + timedelta(hours=1))
    assert _state(centre) == ("timed_out", "clock")


def test_placing_after_a_doubted_clock_forgets_the_doubt(centre: Centre) -> None:
    request_id = _want(centre)
    _handle(centre, RequestRefused(clinic="c1", edge="t1", request_id=request_id, reason="clock"))
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=NOW))
    assert _state(centre) == ("placed", None)


def test_another_clinic_cannot_move_a_request(centre: Centre) -> None:
    request_id = _want(centre)
    placed = RequestPlaced(clinic="c2", edge="t1", request_id=request_id, placed_at=NOW)
    assert _handle(centre, placed) == "unknown_request"
    assert _state(centre)[0] == "wanted"


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (_eligibility("1"), ("answered", None)),
        (_eligibility("1", validity="4"), ("answered", None)),
        (_eligibility("9"), ("refused", "message_error")),
        (_eligibility("1", status="2"), ("refused", "person_error")),
        (_eligibility("2"), ("wanted", None)),
        (ReturnedRequest(schema_kind="returned_request"), ("refused", "returned")),
    ],
    ids=["answer", "negative answer", "message refused", "person refused", "still processing", "returned"],
)
def test_answer_of_the_service_ends_the_request(
    centre: Centre, record: EligibilityRecord | ReturnedRequest, state: tuple[str, str | None]
) -> None:
    _want(centre)
    _answer(centre, record)
    assert _state(centre) == state
    assert centre.row(receipts)["consumer"] == "consent"


def test_report_of_placing_that_comes_after_the_answer_changes_nothing(centre: Centre) -> None:
    request_id = _want(centre)
    _answer(centre, _eligibility("1"))
    placed = RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=NOW)
    assert _handle(centre, placed) == "ignored"
    assert _state(centre)[0] == "answered"


def test_answer_about_another_person_refuses_the_request_at_once(centre: Centre) -> None:
    _want(centre)
    _answer(centre, _eligibility("1"), reason="foreign_answer")
    assert _state(centre) == ("refused", "foreign_answer")


def test_answer_found_foreign_afterwards_refuses_the_request(centre: Centre) -> None:
    _want(centre)
    _answer(centre, _eligibility("1"))
    assert _state(centre)[0] == "answered"
    with centre.store.transaction() as connection:
        connection.execute(files.update().values(outcome="rejected", reason="foreign_answer", outcome_at=NOW))
    centre.due(Consent(centre.settings, centre.keyring), NOW)
    assert _state(centre) == ("refused", "foreign_answer")


@pytest.mark.parametrize("happening", Happening)
@pytest.mark.parametrize("state", RequestState)
def test_what_the_service_said_is_undone_by_no_report_of_the_terminal(
    state: RequestState, happening: Happening
) -> None:
    by_service = {Happening.ANSWERED, Happening.SERVICE_REFUSED, Happening.FOREIGN}
    if state in (RequestState.ANSWERED, RequestState.REFUSED) and happening not in by_service:
        assert after(state, happening) is None
    else:
        assert after(state, happening) in (None, TABLE[happening][1])


def test_types_that_time_brings_are_only_announcements_and_orders(centre: Centre) -> None:
    _under_grant(centre)
    consent = Consent(centre.settings, centre.keyring)
    assert types_of(centre.due(consent, NOW + DAY - timedelta(minutes=30))) == ["consent.expiring", "request.place"]
