"""What does a subscription hand out, what does it hold, and what comes again?"""

import pytest

from pipeline import budget
from pipeline.broker import Broker, BrokerAwayError, Delivery, TopologyError
from tests.broker.builders import AT_ONCE, SOON, drain, ids, message, messages, publish, receive_all
from tests.support.eventually import eventually


def test_messages_come_in_the_order_they_were_sent(broker: Broker) -> None:
    publish(broker, messages(300))
    assert ids(drain(broker, "work", 300, batch=7)) == [f"m{number}" for number in range(300)]


def test_what_is_acknowledged_never_comes_again(broker: Broker) -> None:
    publish(broker, messages(10))
    subscription = broker.subscribe("work", 10)
    got = receive_all(subscription, 10)
    subscription.ack([got[3], got[1]])
    subscription.ack([got[0]])
    subscription.ack([got[4], got[2]])
    subscription.close()
    assert ids(drain(broker, "work", 5)) == [f"m{number}" for number in range(5, 10)]


def test_acknowledging_later_messages_leaves_the_earlier_unsettled(broker: Broker) -> None:
    publish(broker, messages(6))
    subscription = broker.subscribe("work", 6)
    got = receive_all(subscription, 6)
    subscription.ack(got[3:])
    subscription.close()
    assert ids(drain(broker, "work", 3)) == ["m0", "m1", "m2"]


def test_what_is_given_back_comes_again_flagged(broker: Broker) -> None:
    publish(broker, [message()])
    subscription = broker.subscribe("work", 5)
    (first,) = receive_all(subscription, 1)
    subscription.reject([first], requeue=True)
    (second,) = receive_all(subscription, 1)
    assert (first.redelivered, second.redelivered) == (False, True)
    assert second.message_id == "m1"
    subscription.ack([second])
    subscription.close()


def test_closing_with_work_in_hand_gives_it_back_flagged(broker: Broker) -> None:
    publish(broker, messages(3))
    subscription = broker.subscribe("work", 10)
    done, *_ = receive_all(subscription, 3)
    subscription.ack([done])
    subscription.close()
    subscription.close()
    again = list(drain(broker, "work", 2))
    assert ids(again) == ["m1", "m2"]
    assert all(delivery.redelivered for delivery in again)


def test_a_closed_subscription_says_so(broker: Broker) -> None:
    publish(broker, [message()])
    subscription = broker.subscribe("work", 1)
    (held,) = receive_all(subscription, 1)
    subscription.close()
    with pytest.raises(BrokerAwayError):
        subscription.receive(1, AT_ONCE)
    with pytest.raises(BrokerAwayError):
        subscription.ack([held])


def test_settling_twice_is_a_bug_and_says_so(broker: Broker) -> None:
    publish(broker, [message()])
    subscription = broker.subscribe("work", 1)
    held = receive_all(subscription, 1)
    subscription.ack(held)
    with pytest.raises(ValueError, match="settled twice"):
        subscription.ack(held)
    subscription.close()


def test_prefetch_bounds_what_is_unsettled(broker: Broker) -> None:
    publish(broker, messages(9))
    subscription = broker.subscribe("work", 4)
    held = receive_all(subscription, 4)
    assert subscription.receive(10, AT_ONCE) == []
    eventually(lambda: broker.depth("work") == 5, what="five messages left to others")
    subscription.ack(held[:1])
    assert ids(receive_all(subscription, 1)) == ["m4"]
    assert subscription.receive(10, AT_ONCE) == []
    subscription.close()


def test_in_recovery_a_message_takes_no_neighbour_along(broker: Broker) -> None:
    publish(broker, messages(5))
    subscription = broker.subscribe("work", 1)
    receive_all(subscription, 1)
    eventually(lambda: broker.depth("work") == 4)
    subscription.close()
    assert [delivery.redelivered for delivery in drain(broker, "work", 5)] == [True, False, False, False, False]


def test_prefetch_can_be_raised_and_nothing_is_lost_or_falsely_flagged(broker: Broker) -> None:
    publish(broker, messages(50))
    subscription = broker.subscribe("work", 1)
    first = receive_all(subscription, 1)
    subscription.prefetch(20)
    rest = receive_all(subscription, 19)
    assert subscription.receive(50, AT_ONCE) == []
    subscription.ack(first + rest)
    more = receive_all(subscription, 20)
    subscription.ack(more)
    last = receive_all(subscription, 10)
    subscription.ack(last)
    everything = first + rest + more + last
    assert sorted(ids(everything)) == sorted(f"m{number}" for number in range(50))
    assert not any(delivery.redelivered for delivery in everything)
    subscription.close()


def test_prefetch_can_be_lowered_and_nothing_is_lost_or_falsely_flagged(broker: Broker) -> None:
    publish(broker, messages(30))
    subscription = broker.subscribe("work", 10)
    got = receive_all(subscription, 4)
    subscription.prefetch(1)
    assert subscription.receive(10, AT_ONCE) == []
    subscription.ack(got)
    while len(got) < 30:
        some = subscription.receive(10, SOON)
        assert len(some) == 1
        assert subscription.receive(10, AT_ONCE / 10) == []
        subscription.ack(some)
        got += some
    assert ids(got) == [f"m{number}" for number in range(30)]
    assert not any(delivery.redelivered for delivery in got)
    subscription.close()


def test_two_subscriptions_share_a_queue(broker: Broker) -> None:
    one, two = broker.subscribe("work", 5), broker.subscribe("work", 5)
    publish(broker, messages(10))
    shares = [receive_all(one, 5), receive_all(two, 5)]
    assert sorted(ids(shares[0] + shares[1])) == sorted(f"m{number}" for number in range(10))
    one.ack(shares[0])
    one.close()
    two.close()
    assert ids(drain(broker, "work", 5)) == ids(shares[1])


def test_a_paused_consumer_receives_nothing_and_loses_nothing(broker: Broker) -> None:
    publish(broker, [message()])
    subscription = broker.subscribe("work", 5)
    assert subscription.receive(0, AT_ONCE) == []
    assert ids(receive_all(subscription, 1)) == ["m1"]
    subscription.close()


def test_a_queue_nobody_declared_is_a_fault_of_the_topology(broker: Broker) -> None:
    with pytest.raises(TopologyError):
        broker.subscribe("nowhere", 1)
    with pytest.raises(TopologyError):
        broker.depth("nowhere")


def test_what_is_handed_out_together_fits_into_memory_and_nothing_is_lost(
    broker: Broker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "BYTES", 30_000)
    sent = [message(f"m{number}", body=bytes([number]) * 8_000) for number in range(10)]
    sent[4] = message("m4", body=b"L" * 90_000)
    publish(broker, sent)
    subscription = broker.subscribe("work", 20)
    subscription.receive(0, AT_ONCE)
    batches: list[list[Delivery]] = []
    while sum(len(batch) for batch in batches) < len(sent):
        batch = subscription.receive(20, SOON)
        assert batch
        batches.append(batch)
    assert all(len(batch) == 1 or sum(len(one.body) for one in batch) <= 30_000 for batch in batches)
    got = [one for batch in batches for one in batch]
    assert [(one.message_id, one.body) for one in got] == [(one.message_id, one.body) for one in sent]
    subscription.ack(got)
    subscription.close()
