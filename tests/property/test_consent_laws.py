"""Whatever the order of arrival, the same answers stand; and nothing is asked outside its window."""

import tempfile
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumers.consent import Consent, ledger
from consumers.consent.grants import Grant, Source, may_ask
from consumers.consent.ledger import Entry
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.storage.schema import grants, standings
from tests.support.centre import Centre, make_keyring, make_settings, make_store, types_of
from tests.support.consents import NOW, arrive, granted

MINUTE = timedelta(minutes=1)
EXPIRING = timedelta(minutes=60)


def _grant(category: ConsentCategory, minute: int, hours: int, *, is_granted: bool, is_proof: bool) -> Grant:
    at = NOW + minute * MINUTE
    until = at + timedelta(hours=hours) if is_granted and hours else None
    proof = is_proof and is_granted
    return Grant(category, Source.READER, is_granted, at, until, proof, "1" if is_granted else "0")


ANSWERS = st.builds(
    _grant,
    st.sampled_from([ConsentCategory.MEDICATION, ConsentCategory.CHECKUP]),
    st.integers(0, 3),
    st.integers(0, 3),
    is_granted=st.booleans(),
    is_proof=st.booleans(),
)


def _standings(centre: Centre, answers: list[Grant]) -> list[dict[str, object]]:
    with centre.store.transaction() as connection:
        connection.execute(standings.delete())
        connection.execute(grants.delete())
    for number, grant in enumerate(answers):
        entry = Entry("c1", "t1", f"f{number}", "p", None, None, grant)
        with centre.store.transaction() as connection:
            ledger.write(connection, [entry], EXPIRING, NOW)
    return centre.rows(standings)


@pytest.fixture(scope="module")
def quick() -> Iterator[Centre]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        configured = make_settings(root)
        store = make_store("sqlite://")
        yield Centre(configured, make_keyring(root, configured, NOW), store)
        store.close()


@given(answers=st.lists(ANSWERS, min_size=1, max_size=6), data=st.data())
@settings(max_examples=60, deadline=None)
def test_any_order_of_arrival_gives_the_same_standings(
    quick: Centre, answers: list[Grant], data: st.DataObject
) -> None:
    expected = _standings(quick, answers)
    assert _standings(quick, data.draw(st.permutations(answers))) == expected


@given(answers=st.lists(ANSWERS, min_size=1, max_size=6))
@settings(max_examples=60, deadline=None)
def test_newest_answer_stands_and_a_refusal_wins_at_the_same_instant(quick: Centre, answers: list[Grant]) -> None:
    held = {row["category"]: row for row in _standings(quick, answers)}
    for category in ConsentCategory:
        counting = [grant for grant in answers if grant.category is category and grant.counts]
        if not counting:
            assert category.value not in held
            continue
        newest = max(grant.consented_at for grant in counting)
        at_once = [grant for grant in counting if grant.consented_at == newest]
        assert held[category.value]["consented_at"] == newest
        assert held[category.value]["granted"] is all(grant.granted for grant in at_once)
        limits = [grant.until for grant in at_once if grant.until]
        if held[category.value]["granted"]:
            assert held[category.value]["until"] == min(limits, default=None)


@given(grant=ANSWERS, seconds=st.integers(-400, 20000))
def test_nothing_is_asked_outside_its_window(grant: Grant, seconds: int) -> None:
    now = NOW + timedelta(seconds=seconds)
    if may_ask(grant, now):
        assert grant.granted
        assert grant.may_request
        assert now >= grant.consented_at - MINUTE
        assert grant.until is None or now < grant.until - MINUTE


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def centre(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Centre]:
    is_sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/onshi.db" if is_sqlite else str(request.getfixturevalue("postgresql_url"))
    configured = make_settings(tmp_path)
    store = make_store(url)
    yield Centre(configured, make_keyring(tmp_path, configured, NOW), store)
    store.close()


def test_two_instances_announce_each_limit_once_on_either_store(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + timedelta(hours=2))])
    first, second = (Consent(centre.settings, centre.keyring) for _ in range(2))
    assert _told_by_both(centre, first, second, NOW + timedelta(minutes=61)) == ["consent.expiring"]
    assert _told_by_both(centre, first, second, NOW + timedelta(hours=2)) == ["consent.expired"]


def test_standings_are_the_same_in_any_order_on_either_store(centre: Centre) -> None:
    answers = [_grant(ConsentCategory.TEST, n // 2, n % 3, is_granted=bool(n % 2), is_proof=True) for n in range(6)]
    expected = _standings(centre, answers)
    assert _standings(centre, answers[::-1]) == expected
    assert expected[0]["granted"] is False


def _told_by_both(centre: Centre, first: Consent, second: Consent, now: datetime) -> list[str]:
    if not centre.store.is_postgresql:
        return types_of([*centre.due(first, now), *centre.due(second, now)])
    # On PostgreSQL both ask before either has committed.
    with centre.store.transaction() as one, centre.store.transaction() as other:
        mine, yours = first.due(one, now), second.due(other, now)
        first.apply(one, mine, now)
        second.apply(other, yours, now)
    return types_of([event for outcome in (*mine, *yours) for event in outcome.events])
