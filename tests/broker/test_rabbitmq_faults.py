"""What does the RabbitMQ adapter do when the node is killed, deaf, full, or takes the queue away?"""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import pytest

from pipeline.broker import BrokerAwayError, Delivery, Publisher, Subscription
from pipeline.broker import rabbitmq as adapter
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.broker.rabbitmq_subscription import contiguous
from tests.broker.builders import (
    AT_ONCE,
    SOON,
    TOPOLOGY,
    drain,
    ids,
    message,
    messages,
    publish,
    receive_all,
)
from tests.support.eventually import eventually
from tests.support.rabbit import RabbitNode

pytestmark = pytest.mark.rabbitmq


@pytest.fixture
def rabbit(rabbit_url: str) -> RabbitBroker:
    broker = RabbitBroker(rabbit_url)
    broker.declare(TOPOLOGY)
    return broker


def test_confirmed_messages_survive_a_kill_and_those_in_hand_come_again_flagged(
    rabbit: RabbitBroker, rabbit_node: RabbitNode
) -> None:
    publisher, subscription = rabbit.publisher(), rabbit.subscribe("work", 3)
    publisher.publish_confirmed(messages(500))
    held = receive_all(subscription, 3)
    rabbit_node.kill()
    try:
        _everything_says_away(rabbit, publisher, subscription)
        with pytest.raises(BrokerAwayError):
            subscription.ack(held)
    finally:
        rabbit_node.start()
    publisher.publish_confirmed([message("after")])
    publisher.close()
    subscription.close()
    came = list(drain(rabbit, "work", 501))
    assert set(ids(came)) == {f"m{number}" for number in range(500)} | {"after"}
    assert {delivery.message_id for delivery in came if delivery.redelivered} == set(ids(held))


def _everything_says_away(broker: RabbitBroker, publisher: Publisher, subscription: Subscription) -> None:
    started = time.monotonic()
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([message("lost")], timedelta(seconds=5))
    with pytest.raises(BrokerAwayError):
        subscription.receive(1, SOON)
    with pytest.raises(BrokerAwayError):
        broker.subscribe("work", 1)
    with pytest.raises(BrokerAwayError):
        broker.depth("work")
    assert time.monotonic() - started < 25


def test_a_node_that_hears_nothing_costs_no_more_than_the_deadline(
    rabbit: RabbitBroker, rabbit_node: RabbitNode
) -> None:
    publisher = rabbit.publisher()
    publisher.publish_confirmed([message("before")])
    with _deaf(rabbit_node):
        started = time.monotonic()
        with pytest.raises(BrokerAwayError):
            publisher.publish_confirmed(messages(300), timedelta(seconds=1))
        assert time.monotonic() - started < 10
    publisher.publish_confirmed([message("after")])
    publisher.close()
    subscription = rabbit.subscribe("work", 400)
    eventually(lambda: "after" in ids(_settled(subscription)))
    subscription.close()


def test_a_node_gone_deaf_is_noticed_by_the_heartbeat_and_no_thread_stays(
    rabbit_node: RabbitNode, rabbit_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "HEARTBEAT_SECONDS", 1)
    rabbit = RabbitBroker(rabbit_url)
    rabbit.declare(TOPOLOGY)
    publisher, subscription = rabbit.publisher(), rabbit.subscribe("work", 1)
    publisher.publish_confirmed([message("before")])
    subscription.ack(receive_all(subscription, 1))
    with _deaf(rabbit_node):
        with pytest.raises(BrokerAwayError):
            publisher.publish_confirmed([message("lost")], timedelta(seconds=0.1))
        with pytest.raises(BrokerAwayError):
            subscription.receive(1, timedelta(seconds=20))
        eventually(lambda: not [t for t in threading.enumerate() if t.name == "onshi-amqp"], seconds=15)
        started = time.monotonic()
        with pytest.raises(BrokerAwayError):
            publisher.publish_confirmed([message("lost")], timedelta(seconds=0.5))
        assert time.monotonic() - started < 10
    publisher.close()
    subscription.close()


def _settled(subscription: Subscription) -> list[Delivery]:
    some = subscription.receive(400, AT_ONCE)
    subscription.ack(some)
    return some


@contextmanager
def _deaf(node: RabbitNode) -> Iterator[None]:
    node.pause()
    try:
        yield
    finally:
        node.resume()


def test_a_memory_alarm_ends_in_the_deadline_and_not_in_a_hang(rabbit: RabbitBroker, rabbit_node: RabbitNode) -> None:
    publisher = rabbit.publisher()
    publisher.publish_confirmed([message("before")])
    alarm = "{resource_limit,memory,node()}"
    rabbit_node.control("eval", f"rabbit_alarm:set_alarm({{{alarm},[]}}).")
    try:
        started = time.monotonic()
        with pytest.raises(BrokerAwayError):
            publisher.publish_confirmed([message("during")], timedelta(seconds=1))
        assert time.monotonic() - started < 10
        # What is already there still flows, for the alarm blocks only publishers.
        assert ids(drain(rabbit, "work", 1)) == ["before"]
    finally:
        rabbit_node.control("eval", f"rabbit_alarm:clear_alarm({alarm}).")
    publisher.publish_confirmed([message("after")])
    publisher.close()


def test_a_queue_that_is_taken_away_is_a_fault_and_not_silence(
    rabbit: RabbitBroker, rabbit_node: RabbitNode, rabbit_vhost: str
) -> None:
    publish(rabbit, [message()])
    subscription = rabbit.subscribe("work", 1)
    held = receive_all(subscription, 1)
    deletion = threading.Timer(0.2, rabbit_node.delete_queue, (rabbit_vhost, "work"))
    deletion.start()
    started = time.monotonic()
    with pytest.raises(BrokerAwayError):
        subscription.receive(1, SOON)
    assert time.monotonic() - started < SOON.total_seconds() * 2 / 3, "a waiting receiver was not woken"
    deletion.join()
    with pytest.raises(BrokerAwayError):
        subscription.ack(held)
    subscription.close()


def test_the_connection_lives_while_a_handler_works_longer_than_the_heartbeat(
    rabbit: RabbitBroker, monkeypatch: pytest.MonkeyPatch, rabbit_url: str
) -> None:
    monkeypatch.setattr(adapter, "HEARTBEAT_SECONDS", 1)
    hasty = RabbitBroker(rabbit_url)
    publish(rabbit, [message()])
    subscription = hasty.subscribe("work", 1)
    held = receive_all(subscription, 1)
    threading.Event().wait(4)  # the handler's work: the broker gives up after two heartbeats
    subscription.ack(held)
    subscription.close()
    eventually(lambda: rabbit.depth("work") == 0)
    publish(rabbit, [message("next")])
    assert [delivery.message_id for delivery in drain(rabbit, "work", 1)] == ["next"]


def test_no_password_and_no_body_is_shown_when_it_fails(
    rabbit_node: RabbitNode, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = RabbitBroker(f"amqp://canary-user:canary-word@127.0.0.1:{rabbit_node.port}/%2F")
    absent = RabbitBroker("amqp://canary-user:canary-word@127.0.0.1:1/%2F")
    shown = repr(wrong) + str(vars(vars(wrong)["_hosts"]))
    for broker in (wrong, absent):
        with pytest.raises(BrokerAwayError) as caught:
            publish(broker, [message(body=b"canary-kana")])
        shown += "".join(_told(caught.value))
    assert "canary" not in shown + caplog.text


def _told(fault: BaseException | None) -> Iterator[str]:
    while fault is not None:
        yield f"{fault} {fault!r}"
        fault = fault.__cause__ or fault.__context__


def test_the_server_says_which_version_it_is(rabbit: RabbitBroker) -> None:
    assert int(rabbit.server_version().split(".")[0]) >= 3


CASES = [
    ([1, 2, 3], [1, 2, 3], [(3, True)]),
    ([1, 2, 3], [2, 1], [(2, True)]),
    ([1, 2, 3], [1], [(1, False)]),
    ([1, 2, 3], [2, 3], [(2, False), (3, False)]),
    ([1, 3, 4, 9], [1, 3, 9], [(3, True), (9, False)]),
    ([5], [], []),
]


@pytest.mark.parametrize(("held", "tags", "settlements"), CASES)
def test_many_are_acknowledged_at_once_only_when_they_are_the_oldest_held(
    held: list[int], tags: list[int], settlements: list[tuple[int, bool]]
) -> None:
    assert contiguous(dict.fromkeys(held), tags) == settlements


@pytest.mark.parametrize(("query", "seconds"), [("", adapter.HEARTBEAT_SECONDS), ("?heartbeat=2", 2)])
def test_the_heartbeat_is_the_configured_one_unless_the_url_names_another(query: str, seconds: int) -> None:
    assert RabbitBroker(f"amqp://127.0.0.1/v{query}")._hosts._hosts[0].heartbeat == seconds
