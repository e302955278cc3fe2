"""A chart that is away is tried again ever more rarely, by one worker at a time."""

from datetime import UTC, datetime

from producers.chart.breaker import Breaker, Leave


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def now(self) -> datetime:
        return datetime(2026, 5, 12, tzinfo=UTC)

    def monotonic(self) -> float:
        return self.seconds


def test_one_worker_probes_and_the_others_wait() -> None:
    clock = Hand()
    breaker = Breaker(clock, lambda: 1.0)
    breaker.failed()
    assert breaker.leave() is Leave.WAIT
    clock.seconds += 1.0
    assert [breaker.leave(), breaker.leave()] == [Leave.PROBE, Leave.WAIT]


def test_the_pause_doubles_and_stays_at_thirty_seconds() -> None:
    clock = Hand()
    breaker = Breaker(clock, lambda: 1.0)
    for seconds in (1, 2, 4, 8, 16, 30, 30):
        breaker.failed()
        clock.seconds += seconds - 0.01
        assert breaker.leave() is Leave.WAIT
        clock.seconds += 0.01
        assert breaker.leave() is Leave.PROBE


def test_an_answer_lets_everybody_work_and_the_pause_begins_anew() -> None:
    clock = Hand()
    breaker = Breaker(clock, lambda: 1.0)
    for _ in range(5):
        breaker.failed()
    breaker.succeeded()
    assert (breaker.leave(), breaker.is_open) == (Leave.WORK, False)
    breaker.failed()
    clock.seconds += 1.0
    assert breaker.leave() is Leave.PROBE


def test_a_probe_without_a_result_is_given_to_the_next() -> None:
    clock = Hand()
    breaker = Breaker(clock, lambda: 0.0)
    breaker.failed()
    assert breaker.leave() is Leave.PROBE
    breaker.unused()
    assert breaker.leave() is Leave.PROBE
