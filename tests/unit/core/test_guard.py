"""Whom a consumer believes: one edge that sends nothing usable stops being heard, and stops nobody else."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import BrokerAwayError
from pipeline.clock import SystemClock
from pipeline.envelope import Envelope, enclose
from pipeline.events import FileCaptured, RecordParsed
from pipeline.fuse import MOST_IN_A_ROW, PROBE_SECONDS, Fuse, Origin
from pipeline.guard import PUT_OFF, Guard, origin_of
from pipeline.metrics import DOUBTED
from pipeline.runner import Runner
from pipeline.storage import Store
from pipeline.topology import Edge, Role, build, retry_queue, work_queue
from tests.support.answering import Answering, captured, parked_reasons, running, send
from tests.support.eventually import eventually

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
HOSTILE, OTHER, THIRD = Origin("c001", "t1"), Origin("c002", "t1"), Origin("c003", "t1")


def park(fuse: Fuse, origin: Origin, count: int, start: int = 0, now: float = 0.0) -> list[bool]:
    return [fuse.parked(f"{origin.clinic}-{number}", origin, now) for number in range(start, start + count)]


def test_one_clinic_alone_never_stops_a_consumer_that_others_share() -> None:
    fuse = Fuse(is_shared=True)
    park(fuse, HOSTILE, 10 * MOST_IN_A_ROW)
    park(fuse, Origin("c001", "chart"), 10 * MOST_IN_A_ROW)
    assert not fuse.is_blown


def test_what_one_clinic_sent_leaves_room_for_another_clinic_s_own_faults() -> None:
    fuse = Fuse(is_shared=True)
    park(fuse, HOSTILE, 10 * MOST_IN_A_ROW)
    park(fuse, OTHER, MOST_IN_A_ROW // 2 - 1)
    assert not fuse.is_blown


@pytest.mark.parametrize("clinics", [[HOSTILE, OTHER], [HOSTILE, OTHER, THIRD]], ids=["two", "three"])
def test_a_bad_release_stops_a_shared_consumer_as_soon_as_two_clinics_meet_it(clinics: list[Origin]) -> None:
    fuse = Fuse(is_shared=True)
    for number in range(MOST_IN_A_ROW - 1):
        park(fuse, clinics[number % len(clinics)], 1, number)
    assert not fuse.is_blown
    park(fuse, OTHER, 1, MOST_IN_A_ROW)
    assert fuse.is_blown


def test_where_one_clinic_is_all_there_is_it_stops_as_ever_and_nobody_is_doubted() -> None:
    fuse = Fuse()
    assert not any(park(fuse, HOSTILE, MOST_IN_A_ROW))
    assert fuse.is_blown
    assert not fuse.doubts(HOSTILE, "next", 0)


def test_an_edge_is_doubted_once_whatever_others_send_between() -> None:
    fuse = Fuse(is_shared=True)
    told = []
    for number in range(MOST_IN_A_ROW + 5):
        told += park(fuse, HOSTILE, 1, number)
        fuse.passed(OTHER)
    assert told == [number == MOST_IN_A_ROW - 1 for number in range(MOST_IN_A_ROW + 5)]
    assert fuse.doubts(HOSTILE, "next", 0)
    assert not fuse.doubts(OTHER, "next", 0)
    assert not fuse.doubts(Origin("c001", "t2"), "next", 0)


def test_an_edge_that_sends_something_usable_between_is_never_doubted() -> None:
    fuse = Fuse(is_shared=True)
    for round_ in range(5):
        park(fuse, HOSTILE, MOST_IN_A_ROW - 1, 100 * round_)
        fuse.passed(HOSTILE)
    assert not fuse.doubts(HOSTILE, "next", 0)


def test_one_event_in_ten_minutes_is_tried_and_ends_the_doubt_when_it_can_be_used() -> None:
    fuse = Fuse(is_shared=True)
    park(fuse, HOSTILE, MOST_IN_A_ROW)
    assert fuse.doubts(HOSTILE, "a", PROBE_SECONDS - 1)
    assert not fuse.doubts(HOSTILE, "a", PROBE_SECONDS)
    assert not fuse.doubts(HOSTILE, "a", PROBE_SECONDS + 1), "the same one is asked about at every step"
    assert fuse.doubts(HOSTILE, "b", PROBE_SECONDS + 1)
    fuse.parked("a", HOSTILE, PROBE_SECONDS + 2)
    assert fuse.doubts(HOSTILE, "b", 2 * PROBE_SECONDS)
    assert not fuse.doubts(HOSTILE, "b", 2 * PROBE_SECONDS + 2)
    fuse.passed(HOSTILE)
    assert not fuse.doubts(HOSTILE, "c", 2 * PROBE_SECONDS + 3)


def test_what_an_edge_says_anew_is_tried_though_a_week_of_useless_events_comes_round_first() -> None:
    fuse = Fuse(is_shared=True)
    park(fuse, HOSTILE, MOST_IN_A_ROW)
    for number in range(100):
        fuse.sent_round(HOSTILE, f"old{number}", 0)
    tried = []
    for turn in range(1, 4):
        now = turn * (PROBE_SECONDS + 1)
        for name in (*(f"old{number}" for number in range(turn - 1, 100)), f"new{turn}"):
            if fuse.doubts(HOSTILE, name, now):
                fuse.sent_round(HOSTILE, name, now)
            else:
                tried.append(name)
                fuse.parked(name, HOSTILE, now)
    assert tried == ["old0", "new1", "old1", "new2", "old2", "new3"]


def test_an_edge_answers_for_itself_and_no_word_in_a_body_points_at_another() -> None:
    assert origin_of(captured("x")) == Origin("c001", "t1")
    parsed = RecordParsed(clinic="c001", file_id="f", revision=1, kind="face", terminal="t2")
    assert origin_of(parsed) == Origin("c001", "t2")
    assert origin_of(parsed.model_copy(update={"edge": "t1"})) == Origin("c001", "t1")


# What people see


@dataclass
class Seconds:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def shown(clinic: str = "c001") -> float:
    return DOUBTED.labels(Role.PARSING, clinic, "t1")._value.get()  # type: ignore[no-any-return]


def envelope(name: str) -> Envelope:
    return enclose(captured(name), NOW)


def test_the_gauge_says_whom_it_doubts_until_it_does_no_more() -> None:
    seconds = Seconds()
    guard = Guard(Role.PARSING, is_shared=True, seconds=seconds)
    for number in range(MOST_IN_A_ROW):
        guard.parked(envelope(f"g{number}"))
    assert (shown(), guard.doubts(envelope("next"))) == (1, True)
    seconds.now = PROBE_SECONDS
    assert not guard.doubts(envelope("next"))
    guard.passed([envelope("next")])
    assert (shown(), guard.doubts(envelope("another"))) == (0, False)


def test_a_role_that_begins_anew_believes_everybody_again() -> None:
    guard = Guard(Role.PARSING, is_shared=True)
    for number in range(MOST_IN_A_ROW):
        guard.parked(envelope(f"a{number}"))
    assert shown() == 1
    assert not Guard(Role.PARSING, is_shared=True).doubts(envelope("next"))
    assert shown() == 0


# The runner


def of(clinic: str, name: str) -> FileCaptured:
    return captured(f"{clinic}-{name}").model_copy(update={"clinic": clinic, "file_id": f"file-{clinic}-{name}"})


@pytest.fixture
def shared(broker: EmbeddedBroker) -> EmbeddedBroker:
    broker.declare(build([Edge("c001", "t1"), Edge("c002", "t1")]))
    return broker


def fails(consumer: Answering, *events: FileCaptured) -> None:
    error: Callable[[], Exception] = lambda: RuntimeError("cannot be used")  # noqa: E731
    consumer.fail = dict.fromkeys((event.copy_id for event in events), error)


def test_a_hostile_edge_is_put_off_byte_for_byte_and_the_neighbour_is_served(
    store: Store, shared: EmbeddedBroker
) -> None:
    consumer = Answering()
    hostile = [of("c001", f"h{number}") for number in range(3 * MOST_IN_A_ROW)]
    good = [of("c002", f"g{number}") for number in range(10)]
    fails(consumer, *hostile)
    send(shared, *hostile, *good)
    later = retry_queue(Role.PARSING, PUT_OFF)
    with running(consumer, store, shared, is_shared=True) as runner:
        eventually(lambda: sorted(consumer.applied) == sorted(event.copy_id for event in good))
        eventually(lambda: shared.depth(later) == 2 * MOST_IN_A_ROW)
        eventually(lambda: len(parked_reasons(store)) == MOST_IN_A_ROW)
        assert runner.pulse.why_not_ready is None
        assert (shown(), shown("c002")) == (1, 0)
    subscription = shared.subscribe(later, 1)
    (one,) = subscription.receive(1, NOW - NOW)
    subscription.close()
    assert one.headers["x-routing-key"] == "file.c001.t1.captured.v1"
    assert one.headers["x-attempt"] == 1, "waiting is no attempt"


def test_what_a_doubted_edge_says_again_goes_round_once(store: Store, shared: EmbeddedBroker) -> None:
    consumer = Answering()
    hostile = [of("c001", f"h{number}") for number in range(2 * MOST_IN_A_ROW)]
    fails(consumer, *hostile)
    send(shared, *hostile)
    later = retry_queue(Role.PARSING, PUT_OFF)
    with running(consumer, store, shared, is_shared=True):
        eventually(lambda: shared.depth(later) == MOST_IN_A_ROW)
        eventually(lambda: shared.depth(work_queue(Role.PARSING)) == 0)
        # Nobody answered, so its spool says everything again.
        for number in range(3):
            send(shared, *hostile[MOST_IN_A_ROW:], of("c002", f"after{number}"))
            eventually(lambda: len(consumer.applied) == number + 1)  # noqa: B023 - called at once
    assert shared.depth(later) == MOST_IN_A_ROW


def test_what_is_put_off_and_could_not_be_sent_round_is_not_taken_for_sent(
    store: Store, shared: EmbeddedBroker
) -> None:
    consumer = Answering()
    hostile = [of("c001", f"h{number}") for number in range(MOST_IN_A_ROW + 1)]
    fails(consumer, *hostile)
    runner = Runner(consumer, store, shared, SystemClock(), is_shared=True)
    send(shared, *hostile)
    subscription = shared.subscribe(work_queue(Role.PARSING), 100)
    taken = eventually(lambda: subscription.receive(100, timedelta(0)))
    runner._publisher = shared.publisher()
    runner._publisher.close()
    for delivery in taken[:-1]:
        with pytest.raises(BrokerAwayError):
            runner._handle([delivery])
    with pytest.raises(BrokerAwayError):
        runner._handle(taken[-1:])
    runner._publisher = shared.publisher()
    runner._handle(taken[-1:])
    subscription.close()
    assert shared.depth(retry_queue(Role.PARSING, PUT_OFF)) == 1


def test_a_bad_release_stops_a_shared_consumer_with_the_rest_in_its_queue(store: Store, shared: EmbeddedBroker) -> None:
    consumer = Answering()
    events = [of(clinic, f"b{number}") for number in range(2 * MOST_IN_A_ROW) for clinic in ("c001", "c002")]
    fails(consumer, *events)
    send(shared, *events)
    with running(consumer, store, shared, is_shared=True) as runner:
        eventually(lambda: runner.pulse.why_not_ready == "fuse")
        eventually(lambda: len(parked_reasons(store)) == MOST_IN_A_ROW)
    assert shared.depth(work_queue(Role.PARSING)) == len(events) - MOST_IN_A_ROW
