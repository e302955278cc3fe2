"""Do grants become requests by themselves, and no others?"""

from datetime import datetime, timedelta
from typing import Any

import pytest

from consumers.consent import Consent
from consumers.consent.asking import RequestFile
from pipeline.contents import SealedFile, request_context, result_context
from pipeline.events import Event, RequestPlace, RequestPlaced, RequestWithdrawn
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, EligibilityResult, Header, Withdrawal
from pipeline.oqs.history import HistoryHeader
from pipeline.oqs.names import FileName, MessageKind, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import ConsentWithdrawalRecord, MedicationRecord, ReturnedRequest
from pipeline.persons import person_hash
from pipeline.results import ResultDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import fetch_runs, grants, receipts, requests, results, standings, unheld_answers
from tests.support.centre import Centre
from tests.support.consents import NOW, arrive, face, granted, refused, store_file

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
SOON = NOW + 3 * SECOND
CHECKUP, MEDICATION, DIAGNOSIS = ConsentCategory.CHECKUP, ConsentCategory.MEDICATION, ConsentCategory.DIAGNOSIS


def _due(centre: Centre, now: datetime = SOON) -> list[RequestPlace]:
    """Let two instances do a second's work twice, as two processes of a group would."""
    events: list[Event] = []
    for _ in range(2):
        for _ in range(2):
            events += centre.due(Consent(centre.settings, centre.keyring), now)
    return [event for event in events if isinstance(event, RequestPlace)]


def _opened(centre: Centre, order: RequestPlace) -> tuple[FileName, ReturnedRequest]:
    raw = Opener(centre.keyring).open("c1", request_context(order.request_id), order.sealed)
    held = SealedFile.from_bytes(raw)
    name = parse_name(held.name)
    assert name is not None
    record = parse(name, held.content)
    assert isinstance(record, ReturnedRequest)
    return name, record


def _handle(centre: Centre, event: Event, now: datetime = SOON) -> None:
    centre.handle(Consent(centre.settings, centre.keyring), event, now)


def _answer(centre: Centre, order: RequestPlace, now: datetime) -> None:
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=order.request_id, placed_at=now), now)
    name, _ = _opened(centre, order)
    record = MedicationRecord(schema_kind="medication", header=HistoryHeader(result_code="1"))
    event = store_file(centre, name.base_name, record, kind=name.kind, correlation=name.correlation)
    _handle(centre, event, now)


def _wanted(centre: Centre) -> dict[str, list[tuple[str, str | None]]]:
    found: dict[str, list[tuple[str, str | None]]] = {}
    for row in sorted(centre.rows(requests), key=lambda row: row["period"] or "", reverse=True):
        found.setdefault(row["kind"], []).append((row["file_category"], row["period"]))
    return found


def test_grants_of_a_face_result_lead_to_their_requests_within_seconds(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, CHECKUP), granted(NOW, NOW + DAY, DIAGNOSIS)])
    _due(centre)
    assert _wanted(centre) == {
        "YZKsiquc": [("4", "202604"), ("4", "202603"), ("4", "202602")],
        "TKKsiquc": [("2", None)],
    }


def test_request_names_the_person_of_the_grant_and_goes_to_the_terminal_that_saw_it(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    (order,) = _due(centre)
    _, request = _opened(centre, order)
    head = request.header
    assert (order.edge, order.window_until) == ("t1", NOW + DAY)
    assert (head.institution_code, head.insurer_number, head.number) == ("9919000011", "39999990", "1234")
    assert (request.start, request.end, request.file_category, request.treatment_flag) == ("202604", "202604", "2", "1")


def test_only_what_was_granted_is_asked(centre: Centre) -> None:
    arrive(centre, [refused(), granted(NOW, NOW + DAY, CHECKUP), refused(DIAGNOSIS)])
    _due(centre)
    assert list(_wanted(centre)) == ["TKKsiquc"]


def test_same_face_result_again_asks_nothing_again(centre: Centre) -> None:
    for minute in range(3):
        arrive(centre, [granted(NOW, NOW + DAY), refused(DIAGNOSIS)], now=NOW + minute * SECOND)
        _due(centre, SOON + minute * SECOND)
    assert len(centre.rows(requests)) == 3


def test_clinic_that_switched_it_off_asks_nothing(centre: Centre) -> None:
    clinics = tuple(
        one.model_copy(update={"fetch": one.fetch.model_copy(update={"enabled": False})})
        for one in centre.settings.clinics
    )
    centre.settings = centre.settings.model_copy(update={"clinics": clinics})
    arrive(centre, [granted(NOW, NOW + DAY)])
    assert _due(centre) == []
    assert centre.rows(requests) == []


def test_one_request_at_a_time_goes_out_for_a_person_and_kind(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, CHECKUP)])
    first = _due(centre)
    assert sorted(_opened(centre, order)[0].kind for order in first) == ["TKKsiquc", "YZKsiquc"]
    (medication,) = [order for order in first if _opened(centre, order)[0].kind == "YZKsiquc"]
    assert _due(centre, SOON + SECOND) == []
    _answer(centre, medication, SOON + 2 * SECOND)
    (second,) = _due(centre, SOON + 3 * SECOND)
    assert [_opened(centre, order)[1].start for order in (medication, second)] == ["202604", "202603"]


def test_request_that_waits_for_its_turn_has_its_whole_time_out_then(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    (first,) = _due(centre)
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=first.request_id, placed_at=SOON))
    late = SOON + timedelta(seconds=170)
    _answer(centre, first, late)
    (second,) = _due(centre, late)
    assert second.withdraw_at == late + timedelta(seconds=180)


def test_rest_of_a_run_pauses_when_nobody_took_the_first(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    (first,) = _due(centre)
    _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=first.request_id, placed_at=SOON))
    late = SOON + timedelta(seconds=180)
    _handle(centre, RequestWithdrawn(clinic="c1", edge="t1", request_id=first.request_id, withdrawn_at=late), late)
    assert _due(centre, late + timedelta(minutes=14)) == []
    assert len(_due(centre, late + timedelta(minutes=15))) == 1


def test_later_refusal_stops_what_is_not_yet_placed(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    (first,) = _due(centre)
    _answer(centre, first, SOON)
    arrive(centre, [refused()], NOW + SECOND, now=SOON)
    assert _due(centre, SOON + SECOND) == []
    assert sorted(row["state"] for row in centre.rows(requests)) == ["answered", "expired", "expired"]


def test_refusal_that_came_first_but_counts_later_lets_nothing_go_out(centre: Centre) -> None:
    arrive(centre, [refused()], NOW + SECOND)
    arrive(centre, [granted(NOW, NOW + DAY)])
    assert _due(centre) == []
    assert centre.rows(requests) == []


def test_refusal_of_treatments_alone_turns_the_rest_into_plain_requests(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, DIAGNOSIS)])
    (first,) = _due(centre)
    _answer(centre, first, SOON)
    arrive(centre, [refused(DIAGNOSIS)], NOW + SECOND, now=SOON)
    later = SOON + 5 * SECOND
    orders = _due(centre, later) + _due(centre, later + SECOND)
    assert [_opened(centre, order)[1].file_category for order in orders] == ["2"]
    assert {row["state"] for row in centre.rows(requests) if row["file_category"] == "4"} == {"answered", "expired"}


def test_answers_about_the_parts_of_two_persons_in_one_batch_let_both_be_looked_at_again(centre: Centre) -> None:
    given = [granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, DIAGNOSIS)]
    events = [store_file(centre, person, face(*given, person=person)) for person in ("1234", "5678")]
    consent = Consent(centre.settings, centre.keyring)
    centre.handle_batch(consent, events, NOW)
    _due(centre)
    assert [row["fetch_at"] for row in centre.rows(standings)] == [None] * 4
    over = [face(refused(DIAGNOSIS), person=person) for person in ("1234", "5678")]
    later = [store_file(centre, f"later{n}", record, NOW + SECOND) for n, record in enumerate(over)]
    centre.handle_batch(consent, later, SOON)
    again = {(row["person_hash"], row["category"]) for row in centre.rows(standings) if row["fetch_at"]}
    assert [category for _, category in again] == [MEDICATION.value] * 2


def test_nothing_is_planned_within_a_minute_of_the_limit(centre: Centre) -> None:
    arrive(centre, [granted(NOW - DAY, NOW + 63 * SECOND)])
    assert _due(centre, NOW + 3 * SECOND) == []
    assert centre.rows(requests) == []
    assert centre.row(fetch_runs)["result"] == "closed"


def test_newer_grant_within_hours_asks_only_what_is_missing(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    (first,) = _due(centre)
    _answer(centre, first, SOON)
    later = NOW + timedelta(hours=2)
    arrive(centre, [granted(later, later + DAY)], later, now=later)
    orders = _due(centre, later + 3 * SECOND)
    ended = {row["request_id"] for row in centre.rows(requests) if row["state"] == "expired"}
    assert len(orders) == 1, "what is renewed must not leave under the older grant at the same moment"
    assert orders[0].request_id not in ended
    states = sorted((row["period"], row["state"], row["reason"]) for row in centre.rows(requests))
    assert states == [
        ("202602", "expired", "consent_renewed"),
        ("202602", "wanted", None),
        ("202603", "expired", "consent_renewed"),
        ("202603", "wanted", None),
        ("202604", "answered", None),
    ]


def test_person_who_is_not_insured_is_not_asked_for(centre: Centre) -> None:
    record = face(granted(NOW, NOW + DAY)).model_copy(update={"validity": "2"})
    _handle(centre, store_file(centre, "f", record), NOW)
    assert _due(centre) == []
    assert centre.row(fetch_runs)["result"] == "validity"


@pytest.mark.parametrize(
    "changes", [{"card_classification": "A1"}, {"insurer_number": "12345678"}, {"card_classification": "07"}]
)
def test_insurance_without_a_history_is_not_asked_about(centre: Centre, changes: dict[str, str]) -> None:
    record = face(granted(NOW, NOW + DAY))
    odd = record.model_copy(update={"results": (record.results[0].model_copy(update=changes),)})
    _handle(centre, store_file(centre, "f", odd), NOW)
    assert _due(centre) == []
    assert centre.row(fetch_runs)["result"] == "no_subject"


def test_person_no_request_can_name_is_seen_and_stops_nobody(centre: Centre) -> None:
    record = face(granted(NOW, NOW + DAY))
    odd = record.model_copy(update={"results": (record.results[0].model_copy(update={"insurer_number": "123"}),)})
    _handle(centre, store_file(centre, "odd", odd), NOW)
    arrive(centre, [granted(NOW, NOW + DAY)])
    assert len(_due(centre)) == 1
    assert sorted(row["result"] for row in centre.rows(fetch_runs)) == ["asked", "unwritable"]


def test_patient_is_linked_once_reconciliation_knows_him(centre: Centre) -> None:
    event = store_file(centre, "f", face(granted(NOW, NOW + DAY)))
    _handle(centre, event, NOW)
    public = centre.keyring.epoch_key("c1", KeyClass.CONFIRMATION, NOW)
    detail = ResultDetail(patient_id="00042").model_dump_json().encode()
    centre.insert(
        results,
        file_id=event.file_id,
        result=0,
        clinic="c1",
        revision=1,
        state="closed",
        verdicts="match",
        needs_review=False,
        sealed_result=Sealer().seal(public, "c1", result_context(event.file_id, 0), detail),
        person_hash=centre.row(grants)["person_hash"],
        patient_hash="ab",
        decided_at=NOW,
    )
    _due(centre)
    row = centre.rows(requests)[0]
    raw = Opener(centre.keyring).open("c1", request_context(row["request_id"]), row["sealed_request"])
    assert (row["patient_hash"], RequestFile.model_validate_json(raw).patient_id) == ("ab", "00042")


def test_visit_consent_asks_by_itself_only_where_configured(centre: Centre) -> None:
    group = ConsentGroup(category=MEDICATION, flag="1", consented_at="20260512090000", available_until="99991231235959")
    arrive(centre, [group], kind=MessageKind.VISIT)
    assert _due(centre) == []
    assert (centre.row(standings)["until"], centre.row(fetch_runs)["result"]) == (None, "other_source")


# What was missing in the ledger.


def test_answer_to_a_card_inquiry_refuses_nothing(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    header = Header(reference_classification="2")
    arrive(centre, [refused()], NOW + SECOND, kind=MessageKind.ELIGIBILITY, header=header)
    assert centre.row(standings)["granted"]


def test_refusal_without_a_time_of_its_own_counts_from_its_arrival(centre: Centre) -> None:
    arrive(centre, [granted(NOW - SECOND, NOW + DAY)])
    outcome = arrive(centre, [refused()], None)
    assert outcome.park is None
    assert not centre.row(standings)["granted"]
    assert _due(centre) == []


def test_consents_of_a_person_nobody_can_tell_are_counted_and_not_dropped_silently(centre: Centre) -> None:
    record = face(granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, CHECKUP))
    thin = record.model_copy(update={"results": (record.results[0].model_copy(update={"name_kana": "ﾚｲｼﾞ ●"}),)})
    event = store_file(centre, "f", thin)
    outcome = centre.handle(Consent(centre.settings, centre.keyring), event, NOW)
    row = centre.row(unheld_answers)
    assert (outcome.result, row["reason"], row["granted"], centre.rows(grants)) == ("thin", "thin", 2, [])
    assert centre.row(receipts)["consumer"] == "consent"


def _withdraw(centre: Centre, correlation: str | None, **person: Any) -> str | None:
    told = Withdrawal(insurer_number="39999990", number="1234", birthdate="19410203", treatment_flag="2", **person)
    record = ConsentWithdrawalRecord(
        schema_kind="consent_withdrawal", header=Header(segment="1"), withdrawal=told, status="1"
    )
    event = store_file(
        centre, "w", record, NOW + SECOND, kind=MessageKind.WITHDRAWAL, correlation=correlation, outcome="not_due"
    )
    return centre.handle(Consent(centre.settings, centre.keyring), event, SOON).park


def _visit(centre: Centre, kana: str = "ﾚｲｼﾞ ﾊﾙ") -> None:
    group = ConsentGroup(category=MEDICATION, flag="1", consented_at="20260512090000", available_until="99991231235959")
    record = face(group)
    told = record.model_copy(update={"results": (record.results[0].model_copy(update={"name_kana": kana}),)})
    _handle(centre, store_file(centre, kana, told, kind=MessageKind.VISIT), NOW)


@pytest.mark.parametrize("is_ours", [True, False])
def test_withdrawal_ends_the_visit_grant_of_its_person(centre: Centre, *, is_ours: bool) -> None:
    _visit(centre)
    if is_ours:
        _ask_withdrawal(centre)
    assert _withdraw(centre, "OQSsihvd01req_abc123abc123" if is_ours else None) is None
    assert not next(row for row in centre.rows(standings) if row["category"] == "medication")["granted"]


@pytest.mark.parametrize("is_ours", [True, False])
def test_withdrawal_that_overtakes_the_grant_ends_it_all_the_same(centre: Centre, *, is_ours: bool) -> None:
    if is_ours:
        _ask_withdrawal(centre)
    _withdraw(centre, "OQSsihvd01req_abc123abc123" if is_ours else None)
    _visit(centre)
    assert not next(row for row in centre.rows(standings) if row["category"] == "medication")["granted"]


def test_our_withdrawal_for_one_twin_does_not_end_the_grant_of_the_other(centre: Centre) -> None:
    _ask_withdrawal(centre)
    _withdraw(centre, "OQSsihvd01req_abc123abc123")
    _visit(centre, "ﾚｲｼﾞ ｱｷ")
    assert [row["granted"] for row in centre.rows(standings) if row["granted"]] == [True]


def test_withdrawal_of_another_card_that_came_first_ends_nothing(centre: Centre) -> None:
    _withdraw(centre, None, branch_number="02")
    record = face(granted(NOW, NOW + DAY))
    told = record.model_copy(update={"results": (record.results[0].model_copy(update={"branch_number": "01"}),)})
    _handle(centre, store_file(centre, "v", told, kind=MessageKind.VISIT), NOW)
    assert centre.row(standings)["granted"]


def test_withdrawal_leaves_the_reader_s_grant_standing(centre: Centre) -> None:
    _visit(centre)
    arrive(centre, [granted(NOW, NOW + DAY)])
    _withdraw(centre, None)
    held = {row["source"]: row["granted"] for row in centre.rows(standings) if row["category"] == "medication"}
    assert held == {"visit": False, "reader": True}


def test_withdrawal_of_a_consent_nobody_holds_ends_nothing(centre: Centre) -> None:
    assert _withdraw(centre, None) is None
    assert centre.row(receipts)["consumer"] == "consent"


def test_withdrawal_that_fits_two_is_set_aside_for_a_person(centre: Centre) -> None:
    _visit(centre)
    _visit(centre, "ﾚｲｼﾞ ｱｷ")
    assert _withdraw(centre, None) == "withdrawal_ambiguous"
    assert all(row["granted"] for row in centre.rows(standings))


def _ask_withdrawal(centre: Centre) -> None:
    identity = centre.keyring.identity("c1")
    told = EligibilityResult(insurer_number="39999990", number="1234", birthdate="19410203", name_kana="ﾚｲｼﾞ ﾊﾙ")
    hashed = person_hash(identity, told.insurer_number, None, told.number, None, told.birthdate, told.name_kana)
    request_id = "00000000-0000-0000-0000-000000000001"
    file = RequestFile(
        base_name="OQSsihvd01req_abc123abc123",
        arbitrary_file_identifier="a1",
        insurer_number=told.insurer_number,
        number=told.number,
        birthdate=told.birthdate,
        content=b"",
    )
    public = centre.keyring.epoch_key("c1", KeyClass.STANDING, NOW)
    sealed = Sealer().seal(public, "c1", request_context(request_id), file.model_dump_json().encode())
    centre.insert(
        requests,
        request_id=request_id,
        clinic="c1",
        terminal="t1",
        kind="OQSsihvd",
        state="placed",
        base_hash=identity.mac("correlation", b"OQSsihvd01req_abc123abc123"),
        person_hash=hashed,
        sealed_request=sealed,
        asked_by="s1",
        wanted_at=NOW,
        withdraw_at=NOW + DAY,
    )
