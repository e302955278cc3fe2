"""Whatever comes in whatever order under whatever clock: nothing is asked outside its window, and one ledger results.

The last tests break the product on purpose, and want to see these laws fail.
"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from consumers.consent import requests as requests_module
from consumers.consent.fetching import plan as plan_module
from consumers.consent.grants import MARGIN, Grant
from pipeline.oqs import times
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.storage.schema import fetch_runs, files, grants, receipts, requests, standings, unheld_answers
from tests.support.asking_world import SECOND, START, Answer, World, digits
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import NOW

_CATEGORIES: Final = [ConsentCategory.MEDICATION, ConsentCategory.CHECKUP, ConsentCategory.DIAGNOSIS]
_TABLES: Final = (fetch_runs, files, grants, receipts, requests, standings, unheld_answers)
_LONG: Final = 300
"""Seconds most grants last here, so that steps of seconds meet their limits."""


def _answer(category: ConsentCategory, ago: int, lasts: int, *, is_given: bool) -> Answer:
    at = START + ago * SECOND
    return Answer(category, is_given, digits(at), digits(at + lasts * SECOND))


ANSWERS = st.builds(
    _answer,
    st.sampled_from(_CATEGORIES),
    # The last came nine hours late: read as UTC it would be of now.
    st.sampled_from([-120, -60, 0, 30, -9 * 3600, -9 * 3600]),
    st.sampled_from([150, _LONG, 36000]),
    is_given=st.sampled_from([True, True, True, False]),
)
FILES = st.lists(ANSWERS, min_size=1, max_size=3, unique_by=lambda answer: answer.category)
STEPS = st.one_of(
    st.tuples(st.just("hear"), FILES, st.integers(1, 2), st.booleans()),
    st.tuples(st.just("wait"), st.sampled_from([1, 3, 30, 120, 200])),
    st.tuples(st.just("limit"), st.integers(0, 5), st.sampled_from([-61, -60, -60, -59, 0])),
    st.tuples(st.just("set"), st.sampled_from([-25, 25, -1, 1])),
    st.tuples(st.just("restart")),
    st.tuples(st.just("report"), st.booleans()),
)


def _story(first: list[Answer], rest: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [("hear", first, 1, True), *rest]


STORIES = st.builds(_story, FILES, st.lists(STEPS, min_size=1, max_size=9))


@pytest.fixture(scope="module")
def quick() -> Iterator[Centre]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        configured = make_settings(root, {"months": 1})
        store = make_store("sqlite://")
        yield Centre(configured, make_keyring(root, configured, NOW), store)
        store.close()


def _empty(centre: Centre) -> None:
    with centre.store.transaction() as connection:
        for table in _TABLES:
            connection.execute(table.delete())


def _live(world: World, steps: list[tuple[Any, ...]]) -> None:
    for step in steps:
        match step:
            case ("hear", answers, times_over, is_timed):
                world.hear(answers, times_over, is_timed=is_timed)
            case ("wait", seconds):
                world.wall.pass_time(seconds)
            case ("limit", number, seconds):
                world.come_near_a_limit(number, seconds)
            case ("set", hours):
                world.wall.at += timedelta(hours=hours)
            case ("restart",):
                world.restart()
            case ("report", is_answered):
                world.report(is_answered=is_answered)
        world.tick()
        world.tick()


def _law(centre: Centre, steps: list[tuple[Any, ...]]) -> None:
    _empty(centre)
    world = World(centre)
    world.tick()
    _live(world, steps)
    assert world.faults == []
    ids = [order.id for _, order in world.orders]
    assert len(ids) == len(set(ids)), "one order left twice"


_SETTINGS: Final = {
    "deadline": None,
    "database": None,
    "derandomize": True,
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}


@given(steps=STORIES)
@settings(max_examples=30, **_SETTINGS)
def test_nothing_is_ever_asked_outside_its_window(quick: Centre, steps: list[tuple[Any, ...]]) -> None:
    _law(quick, steps)


def _ledger(centre: Centre, heard: list[list[Answer]]) -> tuple[Any, ...]:
    """What is left of these files when each was heard: what was said, what stands, what was asked for."""
    _empty(centre)
    world = World(centre)
    world.wall.at = START + 60 * SECOND
    world.restart()
    for answers in heard:
        world.hear(answers)
    for _ in range(2):
        world.wall.pass_time(3)
        world.tick()
    said = {(row["grant_id"], row["granted"], row["consented_at"], row["until"]) for row in centre.rows(grants)}
    held = [{key: value for key, value in row.items() if key != "fetch_at"} for row in centre.rows(standings)]
    names = ("request_id", "kind", "grant_id", "treatment_grant_id", "file_category", "period", "state")
    asked = sorted(tuple(str(row[name]) for name in names) for row in centre.rows(requests))
    return said, held, asked


@given(heard=st.lists(FILES, min_size=1, max_size=5), data=st.data())
@settings(max_examples=20, **_SETTINGS)
def test_same_answers_in_any_order_leave_the_same_ledger_and_the_same_requests(
    quick: Centre, heard: list[list[Answer]], data: st.DataObject
) -> None:
    expected = _ledger(quick, heard)
    assert _ledger(quick, data.draw(st.permutations([*heard, heard[0]]))) == expected


# The laws must be able to fail.


def _may_ask_too_long(grant: Grant, now: datetime) -> bool:
    if not (grant.granted and grant.may_request):
        return False
    return grant.consented_at - MARGIN <= now and (grant.until is None or now <= grant.until - MARGIN)


def _is_red(centre: Centre) -> bool:
    """Say whether the law of the windows fails now; the examples need not be made small."""

    @given(steps=STORIES)
    @settings(max_examples=300, phases=[Phase.generate], **_SETTINGS)
    def law(steps: list[tuple[Any, ...]]) -> None:
        _law(centre, steps)

    try:
        law()
    except AssertionError:
        return True
    return False


def test_limit_that_counts_as_inside_turns_the_law_red(quick: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests_module, "may_ask", _may_ask_too_long)
    monkeypatch.setattr(plan_module, "may_ask", _may_ask_too_long)
    assert _is_red(quick)


def test_japanese_time_read_as_utc_turns_the_law_red(quick: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(times, "JST", timezone(timedelta(0), "JST"))
    assert times.parse_instant("20260512100000") == datetime(2026, 5, 12, 10, 0, tzinfo=UTC)
    assert _is_red(quick)
