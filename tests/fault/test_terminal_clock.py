"""A terminal whose clock was wrong and is set right: nothing waits for a day that never comes, nothing goes early."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.events import ErasureFailed, FileCaptured, FileErased
from tests.support.terminal import BenchMaker, SteppingClock, benches

A_DAY = timedelta(hours=25)


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BenchMaker]:
    with benches(tmp_path) as make:
        yield make


def test_what_was_published_by_a_clock_a_day_ahead_is_published_again_when_it_is_set_back(bench: BenchMaker) -> None:
    clock = SteppingClock()
    clock.shift = A_DAY
    terminal = bench(clock=clock)
    terminal.drop(1)
    terminal.captured()
    clock.shift = timedelta()
    again = terminal.wait_for(FileCaptured, 2)
    assert len({event.copy_id for event in again}) == 1


def test_what_was_seen_by_a_clock_a_day_ahead_may_be_erased_when_it_is_right_again(bench: BenchMaker) -> None:
    clock = SteppingClock()
    clock.shift = A_DAY
    terminal = bench(clock=clock)
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.stop()
    clock.shift = timedelta()
    terminal.start()
    terminal.store(event)
    terminal.order(terminal.erasure(event))
    assert terminal.wait_for(FileErased)


def test_what_was_seen_by_a_clock_a_day_behind_is_not_older_for_it(bench: BenchMaker) -> None:
    clock = SteppingClock()
    clock.shift = -A_DAY
    terminal = bench(clock=clock, centre={"minimum_age_seconds": 3600.0})
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.stop()
    clock.shift = timedelta()
    terminal.start()
    terminal.store(event)
    terminal.order(terminal.erasure(event))
    (failed,) = terminal.wait_for(ErasureFailed)
    assert failed.reason == "too_young"
