"""Where does a message go that waits for a retry, is refused, or comes back too often?"""

import time

import pytest

from pipeline.broker import Broker, UnroutableError
from tests.broker.builders import (
    DELIVERY_LIMIT,
    RETRY_DELAY,
    drain,
    ids,
    message,
    messages,
    publish,
    receive_all,
)
from tests.support.eventually import eventually


def test_a_retry_comes_back_after_its_delay_and_not_before(broker: Broker) -> None:
    started = time.monotonic()
    publish(broker, [message(exchange="retry", key="work.soon", headers={"x-attempt": 1}, body=b"kept")])
    (came,) = drain(broker, "work", 1)
    assert time.monotonic() - started >= RETRY_DELAY.total_seconds()
    assert (came.message_id, came.body, came.headers["x-attempt"]) == ("m1", b"kept", 1)
    assert came.headers["x-first-death-reason"] == "expired"
    assert not came.redelivered


def test_many_retries_come_back_all_and_in_order(broker: Broker) -> None:
    publish(broker, messages(600, exchange="retry", key="work.soon"))
    assert ids(drain(broker, "work", 600)) == [f"m{number}" for number in range(600)]


def test_a_retry_tier_that_is_missing_is_named(broker: Broker) -> None:
    with pytest.raises(UnroutableError):
        publish(broker, [message(exchange="retry", key="work.later")])


def test_a_rejected_message_is_parked_byte_for_byte(broker: Broker) -> None:
    publish(broker, [message(body=b"\x00\xff", headers={"a": 1}), message("m2")])
    subscription = broker.subscribe("work", 2)
    refused, good = receive_all(subscription, 2)
    subscription.reject([refused], requeue=False)
    subscription.ack([good])
    subscription.close()
    (parked,) = drain(broker, "work.parked", 1)
    assert (parked.message_id, parked.body, parked.headers["a"]) == ("m1", b"\x00\xff", 1)
    assert parked.headers["x-first-death-reason"] == "rejected"
    assert broker.depth("work") == 0


def test_a_message_that_comes_back_too_often_is_parked(broker: Broker) -> None:
    publish(broker, [message()])
    subscription = broker.subscribe("work", 1)
    for _ in range(DELIVERY_LIMIT + 1):
        subscription.reject(receive_all(subscription, 1), requeue=True)
    (parked,) = drain(broker, "work.parked", 1)
    assert parked.headers["x-first-death-reason"] == "delivery_limit"
    subscription.close()
    eventually(lambda: broker.depth("work") == 0)


def test_a_consumer_that_ends_with_it_again_and_again_counts_too(broker: Broker) -> None:
    publish(broker, [message()])
    for _ in range(DELIVERY_LIMIT + 1):
        subscription = broker.subscribe("work", 1)
        receive_all(subscription, 1)
        subscription.close()
    assert ids(drain(broker, "work.parked", 1)) == ["m1"]


def test_a_parked_message_may_come_back_as_often_as_it_likes(broker: Broker) -> None:
    publish(broker, [message(exchange="dead", key="work")])
    subscription = broker.subscribe("work.parked", 1)
    for _ in range(30):
        subscription.reject(receive_all(subscription, 1), requeue=True)
    subscription.ack(receive_all(subscription, 1))
    subscription.close()


def test_what_is_rejected_where_nothing_is_parked_is_gone(broker: Broker) -> None:
    publish(broker, [message(key="both")])
    subscription = broker.subscribe("other", 1)
    subscription.reject(receive_all(subscription, 1), requeue=False)
    subscription.close()
    eventually(lambda: broker.depth("other") == 0)
    assert broker.depth("work.parked") == 0
