"""Streams of vendors on RabbitMQ: kept as declared first, read from any place, each its own."""

import subprocess
import sys
from datetime import timedelta

import pytest

from pipeline.broker import OutMessage, TopologyError, UnroutableError
from pipeline.broker.rabbitmq import RabbitBroker, Start
from pipeline.topology import Exchange, Reader, build

pytestmark = pytest.mark.rabbitmq
WEEK = timedelta(days=7)


def out(vendor: str, number: int) -> OutMessage:
    return OutMessage(Exchange.PUBLIC, f"file.c001.{vendor}.settled.face.v1", f"{vendor}-{number}", b"{}")


def read(broker: RabbitBroker, stream: str, start: Start, most: int) -> list[str]:
    subscription = broker.read_stream(stream, start, 10)
    found: list[str] = []
    while len(found) < most and (deliveries := subscription.receive(most - len(found), timedelta(seconds=10))):
        found += [delivery.message_id for delivery in deliveries]
        subscription.ack(deliveries)
    subscription.close()
    return found


@pytest.fixture
def filled(rabbit_url: str) -> RabbitBroker:
    broker = RabbitBroker(rabbit_url)
    broker.declare(build((), [Reader("acme", WEEK), Reader("beta", WEEK)]))
    publisher = broker.publisher()
    publisher.publish_confirmed([out(vendor, number) for number in range(3) for vendor in ("acme", "beta")])
    publisher.close()
    return broker


def test_a_stream_has_its_vendor_s_events_only_and_can_be_read_again(filled: RabbitBroker) -> None:
    for _ in range(2):
        assert read(filled, "vendor.acme", "first", 3) == ["acme-0", "acme-1", "acme-2"]
    assert read(filled, "vendor.beta", "first", 3) == ["beta-0", "beta-1", "beta-2"]


def test_another_retention_leaves_the_stream_and_its_events_as_they_are(filled: RabbitBroker) -> None:
    filled.declare(build((), [Reader("acme", WEEK * 2), Reader("beta", WEEK)]))
    assert read(filled, "vendor.acme", "first", 3) == ["acme-0", "acme-1", "acme-2"]


def test_an_event_for_a_vendor_without_a_stream_comes_back(filled: RabbitBroker) -> None:
    publisher = filled.publisher()
    with pytest.raises(UnroutableError):
        publisher.publish_confirmed([out("gamma", 1)])
    publisher.close()
    with pytest.raises(TopologyError):
        filled.read_stream("vendor.gamma", "first", 1).receive(1, timedelta(seconds=1))
    with pytest.raises(TopologyError):
        filled.check(build((), [Reader("gamma", WEEK)]))


TAKER = """
import sys
from datetime import timedelta
from pipeline.broker.rabbitmq import RabbitBroker
subscription = RabbitBroker(sys.argv[1]).subscribe("publication", 2)
taken = []
while len(taken) < 2:
    taken += subscription.receive(2, timedelta(seconds=1))
print(*(each.message_id for each in taken), flush=True)
sys.stdin.read()
"""


def test_publication_s_queue_serves_one_instance_and_after_its_death_the_next_in_order(
    filled: RabbitBroker, rabbit_url: str
) -> None:
    publisher = filled.publisher()
    messages = [OutMessage(Exchange.EVENTS, "file.c001.t1.settled.v1", f"m{number}", b"{}") for number in range(4)]
    publisher.publish_confirmed(messages)
    publisher.close()
    command = [sys.executable, "-c", TAKER, rabbit_url]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout
        assert first.stdout.readline() == "m0 m1\n"
        second = filled.subscribe("publication", 4)
        assert second.receive(1, timedelta(milliseconds=300)) == []
        first.kill()
    found: list[str] = []
    while len(found) < 4:
        found += [each.message_id for each in second.receive(4, timedelta(seconds=10))]
    second.close()
    assert found == ["m0", "m1", "m2", "m3"]


def test_who_finishes_hands_over_behind_what_it_has_done(filled: RabbitBroker) -> None:
    publisher = filled.publisher()
    messages = [OutMessage(Exchange.EVENTS, "file.c001.t1.settled.v1", f"m{number}", b"{}") for number in range(6)]
    first, second = filled.subscribe("publication", 2), filled.subscribe("publication", 2)
    publisher.publish_confirmed(messages)
    publisher.close()
    held = first.receive(2, timedelta(seconds=10))
    held += first.receive(2 - len(held), timedelta(seconds=10)) if len(held) < 2 else []
    first.finish(held)
    found: list[str] = []
    while len(found) < 4:
        deliveries = second.receive(4, timedelta(seconds=10))
        assert not [each for each in deliveries if each.redelivered]
        found += [each.message_id for each in deliveries]
        second.ack(deliveries)
    first.close()
    second.close()
    assert found == ["m2", "m3", "m4", "m5"]
