"""What must not happen although each step by itself is right: asked twice, under another's word, or never again?"""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.consent import Consent, inquiries, standing
from consumers.consent.asking import add
from consumers.consent.fetching import fetcher
from consumers.consent.inquiries import Period, Permission, Person
from consumers.consent.references import registering
from consumers.consent.references.ledger import Write, write
from consumers.consent.references.registering import Refuse, Register
from consumers.consent.references.rows import ReferenceDetail, reference
from consumers.consent.references.state import ReferenceState
from consumers.consent.requests import Ordered, mark_ordered, to_place
from pipeline.events import RequestPlace, RequestPlaced, RequestWithdrawn
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, Header, Withdrawal
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import ConsentWithdrawalRecord
from pipeline.oqs.requests import read_request
from pipeline.sealing import Opener, Sealer
from pipeline.storage.schema import grants, requests, standings
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import ENABLED, NOW, arrive, face, granted, refused, store_file
from tests.unit.consent.test_bulk_exchange import _arrive, _receipt, _steps, _upload
from tests.unit.consent.test_consent_requests import _answer, _due, _eligibility, _handle, _want

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MEDICATION, DIAGNOSIS = ConsentCategory.MEDICATION, ConsentCategory.DIAGNOSIS
OPEN_ENDED = "99991231235959"


@pytest.fixture
def fetching(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path, {**ENABLED, "sources": ["reader", "visit"]})
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, NOW), store)
    store.close()


def _visit(centre: Centre, category: ConsentCategory = MEDICATION, **person: str) -> str:
    """Let a person consent over a visit, without an end; returns the person's hash."""
    group = ConsentGroup(category=category, flag="1", consented_at="20260512090000", available_until=OPEN_ENDED)
    record = face(group)
    told = record.model_copy(update={"results": (record.results[0].model_copy(update=person),)})
    _handle(centre, store_file(centre, f"visit {category} {sorted(person)}", told, kind=MessageKind.VISIT))
    return str(centre.rows(standings)[-1]["person_hash"])


# What was asked is known to have been asked.


@pytest.mark.parametrize("is_answered_first", [True, False])
def test_when_a_request_was_placed_is_known_in_whichever_order_it_is_told(
    centre: Centre, *, is_answered_first: bool
) -> None:
    request_id = _want(centre)
    placed = RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=NOW + SECOND)
    for is_answer in (is_answered_first, not is_answered_first):
        if is_answer:
            _answer(centre, _eligibility("1"))
        else:
            _handle(centre, placed)
    row = centre.row(requests)
    assert (row["state"], row["placed_at"]) == ("answered", NOW + SECOND)


def test_a_report_that_comes_again_moves_no_time(centre: Centre) -> None:
    request_id = _want(centre)
    for seconds in (1, 9):
        at = NOW + seconds * SECOND
        _handle(centre, RequestPlaced(clinic="c1", edge="t1", request_id=request_id, placed_at=at))
    assert centre.row(requests)["placed_at"] == NOW + SECOND


# One at a time, and nobody for ever.


def test_a_clock_that_was_ahead_does_not_keep_a_person_waiting_for_longer_than_the_pause(fetching: Centre) -> None:
    arrive(fetching, [granted(NOW, NOW + DAY)])
    (first,) = _orders(fetching, NOW + 3 * SECOND)
    ahead = NOW + 20 * HOUR
    _handle(fetching, RequestWithdrawn(clinic="c1", edge="t1", request_id=first.request_id, withdrawn_at=NOW), ahead)
    assert len(_orders(fetching, NOW + HOUR)) == 1


def test_months_under_a_consent_without_end_wait_for_their_turn_like_the_others(fetching: Centre) -> None:
    _visit(fetching)
    (first,) = _orders(fetching, NOW + 3 * SECOND)
    _handle(fetching, RequestPlaced(clinic="c1", edge="t1", request_id=first.request_id, placed_at=NOW + 4 * SECOND))
    fetching.due(Consent(fetching.settings, fetching.keyring), NOW + timedelta(minutes=10))
    assert [row["state"] for row in fetching.rows(requests)].count("wanted") == 2
    assert fetcher.OPEN_ENDED_FOR <= DAY


def test_a_download_waits_overnight_for_a_terminal_that_was_switched_off(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    morning = NOW + 15 * HOUR
    (order,) = [one for one in _due(centre, morning) if one.request_id == _steps(centre)[1]["request_id"]]
    assert order.withdraw_at == morning + timedelta(minutes=3)
    _due(centre, NOW + 25 * HOUR)
    assert _steps(centre)[1]["state"] == "timed_out"


def _orders(centre: Centre, now: datetime) -> list[RequestPlace]:
    consent = Consent(centre.settings, centre.keyring)
    # The first turn writes what is wanted, the next orders it.
    events = [*centre.due(consent, now), *centre.due(consent, now)]
    return [event for event in events if isinstance(event, RequestPlace)]


def test_what_another_instance_ordered_meanwhile_is_not_asked_anew_under_the_newer_consent(fetching: Centre) -> None:
    arrive(fetching, [granted(NOW, NOW + DAY)])
    first, second = (Consent(fetching.settings, fetching.keyring) for _ in range(2))
    fetching.due(first, NOW + 3 * SECOND)
    arrive(fetching, [granted(NOW + SECOND, NOW + DAY)], now=NOW + 3 * SECOND)
    at = NOW + 6 * SECOND
    with fetching.store.transaction() as connection:
        planned = first._fetcher.due(connection, at)
    with fetching.store.transaction() as connection:
        ready, _ = to_place(connection, fetching.settings, at)
        ordered = [Ordered(one.request_id, one.terminal, one.until) for one in ready]
        mark_ordered(connection, ordered)
    with fetching.store.transaction() as connection:
        first.apply(connection, planned, at)
    assert len(fetching.rows(requests)) == 3
    fetching.due(second, at + SECOND)
    months = [row["period"] for row in fetching.rows(requests) if row["state"] == "wanted"]
    assert (len(ordered), sorted(months)) == (1, ["202602", "202603", "202604"])


# Under whose word.


def test_a_withdrawal_asked_as_the_chart_writes_the_person_ends_the_consent_as_the_service_does(centre: Centre) -> None:
    _visit(centre, branch_number="01")
    chart = Person(insurer_number="39999990", number="1234", birthdate="19410203", kana="レイジ ハル")
    (wanted,) = inquiries.withdrawal(centre.settings.clinics[0], centre.keyring, [chart], "s1", NOW)
    with centre.store.transaction() as connection:
        add(connection, centre.keyring, wanted, HOUR, NOW)
    told = Withdrawal(insurer_number="39999990", number="1234", birthdate="19410203", treatment_flag="2")
    record = ConsentWithdrawalRecord(
        schema_kind="consent_withdrawal", header=Header(segment="1"), withdrawal=told, status="1"
    )
    base = wanted.file.base_name
    _handle(centre, store_file(centre, "w", record, NOW + SECOND, kind=MessageKind.WITHDRAWAL, correlation=base))
    assert not any(row["granted"] for row in centre.rows(standings))


def _permission(centre: Centre, hashed: str, *also: ConsentCategory) -> Permission | None:
    with centre.store.reading() as connection:
        (allowed,) = standing.allowed(connection, centre.keyring, "c1", [hashed], NOW + SECOND)
    return allowed.under(MEDICATION, *also)


def test_treatments_are_not_asked_for_on_the_word_given_over_a_visit_when_the_reader_was_told_no(
    centre: Centre,
) -> None:
    hashed = _visit(centre, DIAGNOSIS)
    arrive(centre, [granted(NOW, NOW + DAY), refused(DIAGNOSIS)])
    assert _permission(centre, hashed, DIAGNOSIS) is None
    plain = _permission(centre, hashed)
    assert plain is not None
    assert (plain.treatment_flag, plain.treatment_grant_id) == ("1", None)


def test_treatments_are_asked_for_where_both_were_granted_in_one_place(centre: Centre) -> None:
    hashed = _visit(centre)
    _visit(centre, DIAGNOSIS)
    arrive(centre, [granted(NOW, NOW + DAY)])
    both = _permission(centre, hashed, DIAGNOSIS)
    assert both is not None
    by_id = {row["grant_id"]: (row["source"], row["category"]) for row in centre.rows(grants)}
    assert by_id[both.grant_id] == ("visit", "medication")
    assert by_id[both.treatment_grant_id or ""] == ("visit", "diagnosis")


def test_what_is_asked_by_hand_names_the_institution_the_consent_was_given_to(centre: Centre) -> None:
    codes = ("9919000011", "9939000012")
    clinic = centre.settings.clinics[0].model_copy(update={"institution_codes": codes})
    arrive(centre, [granted(NOW, NOW + DAY)], header=Header(segment="1", institution_code=codes[1]))
    permission = _permission(centre, str(centre.row(standings)["person_hash"]))
    assert permission is not None
    person = Person(insurer_number="39999990", number="1234", birthdate="19410203", kana="レイジ ハル")
    own: Any = (clinic, centre.keyring, person, "s1", NOW)
    made = [
        *inquiries.medication(*own, permission=permission, period=Period(date(2026, 4, 1))),
        *inquiries.checkup(*own, permission=permission),
    ]
    written = [read_request(MessageKind(one.kind), one.file.content).header.institution_code for one in made]
    assert written == [codes[1]] * 2


@pytest.mark.parametrize(("pdf", "category"), [(True, "1"), (False, "2")])
def test_a_checkup_asked_by_hand_says_in_which_form(centre: Centre, *, pdf: bool, category: str) -> None:
    person = Person(insurer_number="39999990", number="1234", birthdate="19410203", kana="レイジ ハル")
    permission = Permission("checkup", "g1", NOW + DAY)
    (made,) = inquiries.checkup(
        centre.settings.clinics[0], centre.keyring, person, "s1", NOW, permission=permission, pdf=pdf
    )
    assert made.file_category == category


# Over whose number.


def _number(centre: Centre, patient_id: str, state: ReferenceState, asked_by: str = "consent") -> None:
    detail = ReferenceDetail(
        patient_id=patient_id, number=patient_id, insurer_number="06999999", card_number="12", branch_number="1"
    )
    own = reference(centre.keyring.identity("c1"), "c1", detail)
    with centre.store.transaction() as connection:
        write(connection, centre.keyring, Sealer(), [Write(own, state, "9919000011", asked_by, seen_at=NOW)], NOW)


@pytest.mark.parametrize(("asked_by", "made"), [("consent", Refuse), ("s1", Register)])
def test_a_number_that_waits_is_not_sent_when_the_insurance_has_shown_to_be_anothers(
    centre: Centre, asked_by: str, made: type[object]
) -> None:
    _number(centre, "101", ReferenceState.WANTED, asked_by)
    _number(centre, "202", ReferenceState.VERIFIED)
    with centre.store.transaction() as connection:
        found = registering.writes(connection, Opener(centre.keyring), centre.settings.clinics[0], NOW)
    assert [type(one) for one in found] == [made]


# A bulk exchange ends, and not before its time.


def _take_back(centre: Centre, row: dict[str, Any], now: datetime) -> None:
    _handle(centre, RequestWithdrawn(clinic="c1", edge="t1", request_id=row["request_id"], withdrawn_at=now), now)


def test_a_download_that_nobody_took_is_asked_for_anew_under_another_name_until_the_limit(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    first, late = _steps(centre)[1], NOW + timedelta(minutes=4)
    for _ in range(2):
        _take_back(centre, first, late)
    steps = _steps(centre)
    assert [(row["phase"], row["attempt"], row["state"]) for row in steps[1:]] == [
        ("02", 1, "withdrawn"),
        ("02", 2, "wanted"),
    ]
    assert len({row["base_hash"] for row in steps}) == 3
    assert steps[2]["not_before"] == late + 20 * SECOND
    _take_back(centre, steps[2], NOW + 24 * HOUR)
    assert [row["state"] for row in _steps(centre)] == ["answered", "withdrawn", "withdrawn"]


def test_an_upload_that_nobody_took_is_not_sent_again(centre: Centre) -> None:
    _upload(centre)
    _take_back(centre, _steps(centre)[0], NOW + timedelta(minutes=4))
    assert [row["state"] for row in _steps(centre)] == ["withdrawn"]
