"""What is a grant, and when may it be used?"""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from consumers.consent.grants import Asked, Grant, Source, Unusable, asked, may_ask, read
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, Header
from pipeline.oqs.names import MessageKind
from pipeline.oqs.times import format_instant
from tests.support.consents import NOW, face, granted, refused

DAY = timedelta(hours=24)
SECOND = timedelta(seconds=1)
GRANT = Grant(
    category=ConsentCategory.MEDICATION,
    source=Source.READER,
    granted=True,
    consented_at=NOW,
    until=NOW + DAY,
    may_request=True,
    flag="1",
)


def _ask(group: ConsentGroup, kind: MessageKind = MessageKind.FACE, header: Header | None = None) -> Asked:
    (found,) = asked(kind.value, face(group, header=header))
    return found


def _only(group: ConsentGroup, processed_at: datetime | None = NOW) -> Grant:
    (grant,) = read(_ask(group), processed_at, NOW).grants
    return grant


@pytest.mark.parametrize(
    ("after_consent", "allowed"),
    [
        (DAY - timedelta(seconds=60), False),
        (DAY - timedelta(seconds=61), True),
        (DAY, False),
        (timedelta(0), True),
        (-timedelta(seconds=60), True),
        (-timedelta(seconds=61), False),
    ],
    ids=["a minute before the end", "a second earlier", "the end", "at once", "a minute ahead", "more than a minute"],
)
def test_window_is_open_from_a_minute_before_consent_until_a_minute_before_its_limit(
    *, after_consent: timedelta, allowed: bool
) -> None:
    assert may_ask(GRANT, NOW + after_consent) is allowed


@pytest.mark.parametrize("grant", [replace(GRANT, granted=False), replace(GRANT, may_request=False)])
def test_nothing_is_asked_without_a_grant_that_permits_it(grant: Grant) -> None:
    assert not may_ask(grant, NOW)


def test_open_ended_grant_never_runs_out() -> None:
    assert may_ask(replace(GRANT, until=None), NOW + 10000 * DAY)


def test_times_of_the_file_are_japanese_not_utc() -> None:
    group = ConsentGroup(
        category=ConsentCategory.MEDICATION,
        flag="1",
        consented_at="20260512091533",
        available_until="20260513091533",
    )
    grant = _only(group)
    assert grant.consented_at == datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
    assert grant.until == datetime(2026, 5, 13, 0, 15, 33, tzinfo=UTC)


def test_limit_is_read_from_the_file_and_never_computed() -> None:
    assert _only(granted(NOW, NOW + timedelta(hours=3))).until == NOW + timedelta(hours=3)


def test_refusal_counts_from_the_execution_of_the_message() -> None:
    grant = _only(refused(), NOW - timedelta(hours=1))
    assert (grant.granted, grant.consented_at, grant.until) == (False, NOW - timedelta(hours=1), None)


def test_missing_flag_is_no_refusal() -> None:
    assert read(_ask(ConsentGroup(category=ConsentCategory.TEST)), NOW, NOW).grants == ()


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"consented_at": None}, Unusable.UNREADABLE),
        ({"consented_at": "20261399000000"}, Unusable.UNREADABLE),
        ({"available_until": None}, Unusable.UNREADABLE),
        ({"flag": "7"}, Unusable.UNREADABLE),
        ({"consented_at": format_instant(NOW + timedelta(seconds=61))}, Unusable.IN_FUTURE),
    ],
)
def test_grant_of_unreadable_or_future_time_grants_nothing(changes: dict[str, str | None], why: Unusable) -> None:
    found = read(_ask(granted(NOW, NOW + DAY).model_copy(update=changes)), NOW, NOW)
    assert (found.grants, found.unusable) == ((), (why,))


def test_grant_dated_a_minute_ahead_is_taken() -> None:
    assert _only(granted(NOW + timedelta(seconds=60), NOW + DAY)).granted


def test_refusal_without_a_readable_execution_time_is_not_guessed() -> None:
    assert read(_ask(refused()), None, NOW).unusable == (Unusable.UNREADABLE,)


def test_vendor_spelling_is_kept_but_permits_nothing() -> None:
    grant = _only(granted(NOW, NOW + DAY).model_copy(update={"vendor_spelling": True}))
    assert grant.granted
    assert not grant.may_request
    assert not grant.counts


def test_vendor_spelling_of_a_refusal_still_refuses() -> None:
    assert _only(refused().model_copy(update={"vendor_spelling": True})).counts


def test_vendor_spelling_has_an_id_of_its_own_so_that_it_cannot_shadow_the_proof() -> None:
    proof = _only(granted(NOW, NOW + DAY))
    assert proof.id("c1", "p") != replace(proof, may_request=False).id("c1", "p")


def test_card_inquiry_is_no_proof_of_consent() -> None:
    said = _ask(granted(NOW, NOW + DAY), MessageKind.ELIGIBILITY, Header(reference_classification="2"))
    assert not read(said, NOW, NOW).grants[0].may_request


@pytest.mark.parametrize(
    ("kind", "flag", "source"),
    [
        (MessageKind.FACE, None, Source.READER),
        (MessageKind.VISIT, None, Source.VISIT),
        (MessageKind.ONLINE, None, Source.ONLINE),
        (MessageKind.FACE, "4", Source.EMERGENCY),
        (MessageKind.VISIT, "1", Source.VISIT),
    ],
)
def test_source_follows_the_message(kind: MessageKind, flag: str | None, source: Source) -> None:
    record = face(granted(NOW, NOW + DAY)).model_copy(update={"treatment_flag": flag})
    assert [said.source for said in asked(kind.value, record)] == [source]


def test_visit_consent_without_end_is_not_cut_to_a_day() -> None:
    group = ConsentGroup(
        category=ConsentCategory.CHECKUP,
        flag="1",
        consented_at=format_instant(NOW),
        available_until="99991231235959",
    )
    (grant,) = read(_ask(group, MessageKind.VISIT), NOW, NOW).grants
    assert (grant.granted, grant.until) == (True, None)


def test_expired_flag_refuses_from_the_execution_of_the_message() -> None:
    group = granted(NOW - 90 * DAY, NOW + 90 * DAY).model_copy(update={"flag": "2", "expired_reason": "2"})
    (grant,) = read(_ask(group, MessageKind.VISIT), NOW, NOW).grants
    assert (grant.granted, grant.consented_at, grant.source) == (False, NOW, Source.VISIT)


def test_unobtainable_consent_is_an_emergency_and_leaves_the_reader_alone() -> None:
    grant = _only(refused().model_copy(update={"flag": "3"}))
    assert (grant.granted, grant.source) == (False, Source.EMERGENCY)
