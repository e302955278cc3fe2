"""What does `publish_confirmed` promise when it returns, and what does it say when it does not?"""

import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from pipeline.broker import Broker, BrokerAwayError, OutMessage, Publisher, TopologyError, UnroutableError
from pipeline.topology import Binding, ExchangeKind, ExchangeSpec, QueueSpec, Topology
from tests.broker.builders import AT_ONCE, drain, ids, message, messages, publish, receive_all
from tests.support.eventually import eventually


def test_a_message_arrives_as_it_was_sent(broker: Broker) -> None:
    sent = message(body="資格".encode(), headers={"cloudEvents_type": "file.captured", "x-attempt": 2})
    publish(broker, [sent])
    (came,) = drain(broker, "work", 1)
    assert (came.message_id, came.body, came.routing_key, came.queue) == ("m1", sent.body, "file.c001.new", "work")
    assert dict(came.headers) == {"cloudEvents_type": "file.captured", "x-attempt": 2}
    assert came.content_type == "application/json"
    assert not came.redelivered


def test_a_message_for_two_queues_is_in_both_when_confirmed(broker: Broker) -> None:
    publish(broker, [message(key="both")])
    assert ids(drain(broker, "work", 1)) == ids(drain(broker, "other", 1)) == ["m1"]


def test_an_empty_batch_is_confirmed_without_a_broker(broker: Broker) -> None:
    publish(broker, [])


def test_an_unroutable_message_is_named_and_the_others_are_confirmed(broker: Broker) -> None:
    batch = messages(400)
    batch[7] = message("lone", exchange="retry", key="work.never")
    batch[399] = message("last", exchange="public", key="nobody")
    with pytest.raises(UnroutableError) as caught:
        publish(broker, batch)
    assert caught.value.message_ids == ("lone", "last")
    assert len(set(ids(drain(broker, "work", 398)))) == 398


def test_a_publisher_works_on_after_an_unroutable_message(broker: Broker) -> None:
    publisher = broker.publisher()
    with pytest.raises(UnroutableError):
        publisher.publish_confirmed([message(exchange="retry", key="work.never")])
    publisher.publish_confirmed([message("m2")])
    publisher.close()
    assert ids(drain(broker, "work", 1)) == ["m2"]


def test_an_alternate_exchange_takes_what_no_binding_takes(broker: Broker) -> None:
    publish(broker, [message(key="file.unheard")])
    (came,) = drain(broker, "lost", 1)
    assert (came.message_id, came.routing_key) == ("m1", "file.unheard")


def test_a_public_event_nobody_hears_is_dropped_in_silence(broker: Broker) -> None:
    publish(broker, [message(exchange="public", key="nobody", mandatory=False), message("m2")])
    assert ids(drain(broker, "work", 1)) == ["m2"]
    assert broker.depth("lost") == 0


def test_an_exchange_nobody_declared_is_a_fault_of_the_topology(broker: Broker) -> None:
    publisher = broker.publisher()
    with pytest.raises(TopologyError):
        publisher.publish_confirmed([message(exchange="nowhere")])
    publisher.publish_confirmed([message("m2")])
    publisher.close()
    assert ids(drain(broker, "work", 1)) == ["m2"]


def test_a_closed_publisher_says_so(broker: Broker) -> None:
    publisher = broker.publisher()
    publisher.publish_confirmed([message()])
    publisher.close()
    publisher.close()
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([message()])


PATTERNS = [
    ("#", ["", "a", "a.b.c"], []),
    ("a", ["a"], ["", "b", "a.b"]),
    ("*", ["a"], ["", "a.b"]),
    ("a.*", ["a.b", "a.c"], ["a", "a.b.c", "b.a"]),
    ("a.#", ["a", "a.b", "a.b.c"], ["b", "b.a"]),
    ("*.b.#", ["a.b", "a.b.c.d"], ["b", "a.c"]),
    ("a.#.z", ["a.z", "a.b.z", "a.b.c.z"], ["a", "a.z.b"]),
    ("#.z", ["z", "a.z", "a.b.z"], ["z.a"]),
    ("a.*.#", ["a.b", "a.b.c"], ["a"]),
]


@pytest.mark.parametrize(("pattern", "fit", "miss"), PATTERNS, ids=[row[0] for row in PATTERNS])
def test_a_topic_pattern_takes_these_keys_and_no_others(
    empty_broker: Broker, pattern: str, fit: list[str], miss: list[str]
) -> None:
    exchange = ExchangeSpec("t", ExchangeKind.TOPIC)
    empty_broker.declare(Topology((exchange,), (QueueSpec("q"),), (Binding("t", "q", pattern),)))
    batch = [message(key or "none", exchange="t", key=key) for key in fit + miss]
    if miss:
        with pytest.raises(UnroutableError) as caught:
            publish(empty_broker, batch)
        assert caught.value.message_ids == tuple(key or "none" for key in miss)
    else:
        publish(empty_broker, batch)
    assert ids(drain(empty_broker, "q", len(fit))) == [key or "none" for key in fit]


def test_a_sealed_body_of_eleven_megabytes_passes(broker: Broker) -> None:
    body = bytes(range(256)) * (int(8 * 1024 * 1024 * 1.4) // 256)
    publish(broker, [message(body=body), message("m2", body=body)])
    first, second = drain(broker, "work", 2)
    assert first.body == second.body == body


def test_a_batch_confirmed_together_is_much_faster_than_one_by_one(
    broker: Broker, capsys: pytest.CaptureFixture[str]
) -> None:
    publisher = broker.publisher()
    body = b"x" * 2000
    publisher.publish_confirmed(messages(200, body=body))
    one_by_one = _seconds(lambda: _each(publisher, messages(200, body=body), 1)) / 200
    together = _seconds(lambda: _each(publisher, messages(5000, body=body), 100)) / 5000
    publisher.close()
    with capsys.disabled():
        sys.stdout.write(f" [{1 / together:.0f}/s in hundreds, {one_by_one / together:.1f} times one by one]")
    assert one_by_one / together > 2
    came = ids(drain(broker, "work", 5400))
    assert len(came) == 5400


def test_eight_threads_publish_each_with_its_own_publisher(broker: Broker) -> None:
    faults: list[BaseException] = []

    def work(name: str) -> None:
        publisher = broker.publisher()
        try:
            for number in range(25):
                publisher.publish_confirmed([message(f"{name}-{number}")])
        except BaseException as fault:  # noqa: BLE001
            faults.append(fault)
        finally:
            publisher.close()

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not faults
    assert len(set(ids(drain(broker, "work", 200)))) == 200


def test_depth_counts_what_is_ready_and_not_what_is_held(broker: Broker) -> None:
    publish(broker, messages(5))
    eventually(lambda: broker.depth("work") == 5)
    subscription = broker.subscribe("work", 2)
    receive_all(subscription, 2)
    eventually(lambda: broker.depth("work") == 3)
    subscription.close()


def test_a_message_wakes_a_waiting_receiver(broker: Broker) -> None:
    subscription = broker.subscribe("work", 10)
    publisher = broker.publisher()
    publisher.publish_confirmed([message("first")])
    subscription.ack(receive_all(subscription, 1))
    timer = threading.Timer(0.3, lambda: publisher.publish_confirmed([message("second")]))
    timer.start()
    started = time.monotonic()
    assert ids(subscription.receive(10, timedelta(seconds=60))) == ["second"]
    assert time.monotonic() - started < 30
    timer.join()
    publisher.close()
    subscription.close()


def test_no_body_is_shown_by_a_message_or_a_delivery(broker: Broker) -> None:
    publish(broker, [message(body=b"canary-kana")])
    (came,) = drain(broker, "work", 1)
    assert "canary" not in repr(came) + repr(OutMessage("in", "k", "m", b"canary-kana"))


def test_nothing_comes_from_an_empty_queue(broker: Broker) -> None:
    subscription = broker.subscribe("work", 10)
    assert subscription.receive(10, AT_ONCE) == []
    subscription.close()


def _each(publisher: Publisher, batch: list[OutMessage], size: int) -> None:
    for start in range(0, len(batch), size):
        publisher.publish_confirmed(batch[start : start + size])


def _seconds(work: Callable[[], None]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started
