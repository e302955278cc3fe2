"""The runner: who acknowledges, what is repeated, what it does while something is away."""

import threading
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, func, select

from pipeline import outbox
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import BrokerAwayError, Subscription
from pipeline.clock import SystemClock
from pipeline.errors import TransientError
from pipeline.events import FileCaptured, FileStored
from pipeline.keyring import NewerRingError
from pipeline.outcome import Outcome
from pipeline.runner import Runner
from pipeline.storage import Store
from pipeline.storage.engine import StoreAwayError
from pipeline.storage.schema import decisions, inbox
from pipeline.storage.schema import outbox as outbox_table
from pipeline.topology import DELIVERY_LIMIT, Role, Tier, parked_queue, retry_queue, work_queue
from tests.support.answering import (
    NOW,
    ORDERS,
    Answering,
    answers,
    captured,
    count,
    parked_reasons,
    running,
    send,
)
from tests.support.eventually import eventually


def test_an_event_is_handled_answered_and_acknowledged(consumer, store, broker) -> None:
    send(broker, *(captured(f"c{n}") for n in range(30)))
    with running(consumer, store, broker):
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 30)
        eventually(lambda: broker.depth(ORDERS) > 0)
    assert sorted(answers(broker)) == sorted(f"c{n}" for n in range(30))
    assert broker.depth(work_queue(Role.PARSING)) == 0
    assert max(consumer.batches) > 1, "a backlog is worked off in batches"


def test_a_repeated_event_has_no_second_effect_but_its_answer_is_sent_again(consumer, store, broker) -> None:
    with running(consumer, store, broker):
        send(broker, captured("c1"))
        eventually(lambda: answers(broker) == ["c1"])
        send(broker, captured("c1"))
        eventually(lambda: answers(broker) == ["c1"])
    assert consumer.applied == ["c1"]


def test_what_died_between_commit_and_publish_is_sent_by_the_relay(consumer, store, broker) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    answer = FileStored(clinic="c001", edge="t1", file_id="f", copy_id="left", stored_at=NOW)
    with store.transaction() as connection:
        outbox.add(connection, Role.CONSENT, [(answer, None)], long_ago, timedelta(minutes=15))
    with running(consumer, store, broker):
        eventually(lambda: answers(broker) == ["left"])
        eventually(lambda: count(store, select(func.count()).where(outbox_table.c.sent_at.is_not(None))) == 1)


def test_a_bug_that_only_a_whole_batch_has_is_told_though_everything_is_done_one_by_one(
    consumer, store, broker, monkeypatch, caplog
) -> None:
    def apply(connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        if len(outcomes) > 1:
            raise RuntimeError("CANARY 見本　花子")
        Answering.apply(consumer, connection, outcomes, now)

    monkeypatch.setattr(consumer, "apply", apply)
    first = broker.subscribe(work_queue(Role.PARSING), 10)
    send(broker, captured("a"), captured("b"))
    taken = eventually(lambda: first.receive(2, timedelta(0)))
    runner = Runner(consumer, store, broker, SystemClock())
    runner._publisher = broker.publisher()
    with caplog.at_level("WARNING", "onshi.runner"):
        runner._handle(taken)
    assert sorted(consumer.applied) == ["a", "b"]
    (told,) = [one for one in caplog.records if one.message == "batch taken apart"]
    assert (told.consumer, told.count) == ("parsing", 2)
    first.close()


def test_a_transient_failure_that_lasts_goes_to_the_first_tier_and_is_not_lost(
    consumer, store, broker, monkeypatch
) -> None:
    monkeypatch.setattr("pipeline.runner.LOCAL_RETRY_SECONDS", 0.1)
    consumer.fail["later"] = lambda: TransientError("busy")
    send(broker, captured("later"))
    with running(consumer, store, broker):
        eventually(lambda: broker.depth(retry_queue(Role.PARSING, Tier.SECONDS_10)) == 1)
    assert parked_reasons(store) == {}
    assert broker.depth(work_queue(Role.PARSING)) == 0


def test_a_failure_that_passes_within_seconds_needs_no_tier(consumer, store, broker) -> None:
    tries: list[int] = []

    def once() -> Exception:
        tries.append(1)
        consumer.fail.clear()
        return TransientError("busy")

    consumer.fail["soon"] = once
    send(broker, captured("soon"))
    with running(consumer, store, broker):
        eventually(lambda: consumer.applied == ["soon"])
    assert tries == [1]


def test_two_instances_share_a_queue_and_each_event_has_one_effect(store, broker) -> None:
    first, second = Answering(), Answering()
    with running(first, store, broker), running(second, store, broker):
        for _ in range(3):
            send(broker, *(captured(f"c{n}") for n in range(60)))
        eventually(lambda: broker.depth(work_queue(Role.PARSING)) == 0)
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 60)
    with store.reading() as connection:
        effects = list(connection.scalars(select(decisions.c.action)))
    assert sorted(effects) == sorted(f"c{n}" for n in range(60))
    assert parked_reasons(store) == {}


def test_two_events_of_one_key_never_share_a_batch(store, broker) -> None:
    class OneKey(Answering):
        def key(self, prepared: FileCaptured) -> str:
            return "same"

    consumer = OneKey()
    send(broker, *(captured(f"c{n}") for n in range(10)))
    with running(consumer, store, broker):
        eventually(lambda: len(consumer.applied) == 10)
    assert set(consumer.batches) == {1}


def test_a_store_that_is_away_for_long_burns_no_attempt(consumer, store, broker, monkeypatch) -> None:
    probes = 0

    def away() -> Exception:
        nonlocal probes
        probes += 1
        return StoreAwayError("locked")

    monkeypatch.setattr("pipeline.runner.FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("pipeline.runner.PROBE_MOST_SECONDS", 0.002)
    consumer.fail = {"c1": away}
    send(broker, captured("c1"))
    with running(consumer, store, broker):
        eventually(lambda: probes > 3 * DELIVERY_LIMIT, 20)
        consumer.fail = {}
        eventually(lambda: consumer.applied == ["c1"], 20)
    assert parked_reasons(store) == {}
    assert broker.depth(parked_queue(Role.PARSING)) == 0


def test_a_broker_that_is_away_for_long_is_no_reason_to_restart_the_process(
    consumer, store, broker, monkeypatch
) -> None:
    def away(queue: str, prefetch: int) -> Subscription:
        raise BrokerAwayError("no node")

    monkeypatch.setattr("pipeline.runner.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(broker, "subscribe", away)
    with running(consumer, store, broker) as runner:
        for _ in range(3):
            since = runner.pulse._beat_at
            eventually(lambda since=since: runner.pulse._beat_at > since, 5)


def test_a_message_in_hand_while_the_store_is_away_is_given_back_at_a_stop(consumer, store, broker) -> None:
    consumer.fail = {"c1": lambda: StoreAwayError("locked")}
    send(broker, captured("c1"))
    with running(consumer, store, broker) as runner:
        eventually(lambda: runner.pulse.why_not_ready == "away")
    assert broker.depth(work_queue(Role.PARSING)) == 1


def test_what_another_release_wrote_ends_the_consumer_and_parks_nothing(
    consumer: Answering, store: Store, broker: EmbeddedBroker
) -> None:
    send(broker, captured("a"))
    consumer.fail = {"a": NewerRingError}
    for consumer.in_prepare in (True, False):
        stop = threading.Event()
        threading.Timer(5, stop.set).start()
        with pytest.raises(NewerRingError):
            Runner(consumer, store, broker, SystemClock()).run(stop)
        assert broker.depth(parked_queue(Role.PARSING)) == 0
        assert broker.depth(work_queue(Role.PARSING)) == 1
