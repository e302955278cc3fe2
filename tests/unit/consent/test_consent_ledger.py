"""What stands, what is announced, and how often?"""

from datetime import timedelta

import pytest

from consumers.consent import Consent
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from pipeline.storage.schema import grants, receipts, standings
from tests.support.centre import Centre, types_of
from tests.support.consents import NOW, arrive, granted, refused

DAY = timedelta(hours=24)
MINUTE = timedelta(minutes=1)


def _consent(centre: Centre) -> Consent:
    return Consent(centre.settings, centre.keyring)


def test_each_category_is_a_grant_of_its_own(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY), refused(ConsentCategory.OPERATION)])
    held = {row["category"]: row["granted"] for row in centre.rows(standings)}
    assert held == {"medication": True, "operation": False}


def test_refusal_at_the_instant_of_a_grant_wins_whichever_came_first(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    arrive(centre, [refused()], NOW)
    arrive(centre, [granted(NOW, NOW + 2 * DAY)])
    assert not centre.row(standings)["granted"]


def test_older_grant_that_arrives_late_does_not_revive_what_was_refused(centre: Centre) -> None:
    arrive(centre, [refused()], NOW)
    arrive(centre, [granted(NOW - MINUTE, NOW + DAY)])
    assert not centre.row(standings)["granted"]


def test_vendor_spelling_does_not_replace_a_grant_that_permits(centre: Centre) -> None:
    arrive(centre, [granted(NOW - MINUTE, NOW + DAY)])
    arrive(centre, [granted(NOW, NOW + DAY).model_copy(update={"vendor_spelling": True})])
    assert centre.row(standings)["consented_at"] == NOW - MINUTE
    assert sorted(row["may_request"] for row in centre.rows(grants)) == [False, True]


def test_visit_answer_leaves_the_reader_s_grant_standing(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    arrive(centre, [refused()], NOW + MINUTE, kind=MessageKind.VISIT)
    assert {row["source"]: row["granted"] for row in centre.rows(standings)} == {"reader": True, "visit": False}


def test_unreadable_grant_is_parked_while_its_neighbours_are_recorded(centre: Centre) -> None:
    broken = granted(NOW, NOW + DAY).model_copy(update={"available_until": None})
    outcome = arrive(centre, [broken, refused(ConsentCategory.CHECKUP)])
    assert outcome.park == "consent_unreadable"
    assert [row["category"] for row in centre.rows(standings)] == ["checkup"]
    assert centre.rows(receipts) == []


def test_every_file_gets_a_receipt_even_one_without_consents(centre: Centre) -> None:
    assert arrive(centre, []).result == "done"
    assert centre.row(receipts)["consumer"] == "consent"


def test_person_is_kept_sealed(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    assert centre.row(grants)["sealed_person"].startswith(b"O1")


def test_same_file_twice_is_one_row(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    arrive(centre, [granted(NOW, NOW + DAY)], now=NOW + MINUTE)
    assert len(centre.rows(grants)) == 1


def test_limit_is_announced_once_before_and_once_after_with_two_instances(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    pair = [_consent(centre), _consent(centre)]
    told = []
    for minute in (0, 1379, 1380, 1381, 1439, 1440, 1441, 3000):
        for instance in pair:
            told += [(minute, name) for name in types_of(centre.due(instance, NOW + minute * MINUTE))]
    assert told == [(1380, "consent.expiring"), (1440, "consent.expired")]


def test_clock_that_goes_back_never_announces_twice(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    consent = _consent(centre)
    assert types_of(centre.due(consent, NOW + DAY - MINUTE)) == ["consent.expiring"]
    assert centre.due(consent, NOW) == []
    assert centre.due(consent, NOW + DAY - MINUTE) == []


def test_clock_that_jumps_over_the_limit_announces_the_end_once(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    consent = _consent(centre)
    assert types_of(centre.due(consent, NOW + 3 * DAY)) == ["consent.expired"]
    assert centre.due(consent, NOW + 3 * DAY) == []
    assert centre.due(consent, NOW + DAY - MINUTE) == []


def test_newer_grant_starts_its_announcements_afresh(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    consent = _consent(centre)
    centre.due(consent, NOW + DAY)
    arrive(centre, [granted(NOW + DAY, NOW + 2 * DAY)], now=NOW + DAY)
    assert types_of(centre.due(consent, NOW + 2 * DAY)) == ["consent.expired"]


def test_superseded_grant_is_not_announced(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY)])
    arrive(centre, [refused()], NOW + MINUTE)
    assert centre.due(_consent(centre), NOW + 2 * DAY) == []


@pytest.mark.parametrize("hours", [(3, 2, 4), (4, 3, 2), (2, 3, 4)])
def test_of_two_limits_for_one_consent_the_earlier_counts_in_any_order(centre: Centre, hours: tuple[int, ...]) -> None:
    for each in hours:
        arrive(centre, [granted(NOW, NOW + timedelta(hours=each))])
    assert centre.row(standings)["until"] == NOW + timedelta(hours=2)
