"""Poison in every queue, and every event again in any order: good messages flow, and nothing changes twice."""

from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker.port import Delivery, OutMessage, TopologyError
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.topology import (
    Binding,
    Edge,
    Exchange,
    QueueSpec,
    Role,
    Tier,
    Topology,
    orders_queue,
    parked_queue,
    retry_queue,
    work_queue,
)
from tests.support.eventually import eventually
from tests.support.scenario import scenario
from tests.support.site import ROLES_OF_A_CENTRE

pytestmark = [pytest.mark.rabbitmq, pytest.mark.takes(30), pytest.mark.timeout(600)]
EAR = "test.ear"
EDGES = (orders_queue(Edge("c001", "t1")), orders_queue(Edge("c001", "chart")))
POISON = (
    OutMessage("", "", "", b"\x00\xff not ours", {}, "application/octet-stream"),
    OutMessage("", "", "", b"[]", {}, "application/json"),
    OutMessage("", "", "twisted", b'{"clinic": "c001"}', {"cloudEvents_type": "file.captured"}, "application/json"),
)


def test_poison_in_every_queue_is_parked_and_no_neighbour_goes_with_it(tmp_path: Path, rabbit_url: str) -> None:
    with scenario("poison in every queue", tmp_path, broker=rabbit_url) as run:
        run.made.start()
        run.arrive(20)
        run.taken(20)
        publisher = RabbitBroker(rabbit_url).publisher()
        places = [*EDGES, *(name(role) for name in (work_queue, parked_queue) for role in ROLES_OF_A_CENTRE)]
        places += [retry_queue(role, Tier.SECONDS_10) for role in ROLES_OF_A_CENTRE]
        for place in places:
            publisher.publish_confirmed(
                [OutMessage("", place, m.message_id, m.body, m.headers, m.content_type) for m in POISON]
            )
            run.fault()
        publisher.close()
        run.arrive(20)
        # Straight, by way of the retry tier, and by way of the parked queue: what has an id of its own once.
        parked = {role.value: 7 for role in ROLES_OF_A_CENTRE}
        run.healed()
        eventually(lambda: run.made.state()["parked"] == parked, 150, "the poison's parking")
        run.finish(parked=parked)


def hears_everything(broker: RabbitBroker) -> bool:
    """Bind a queue of our own to all that is said; false while the exchanges are not there yet."""
    bindings = [Binding(exchange, EAR, "#") for exchange in (Exchange.INTAKE, Exchange.EVENTS)]
    try:
        broker.declare(Topology((), (QueueSpec(EAR),), tuple(bindings)))
    except TopologyError:
        return False
    return True


def heard(broker: RabbitBroker) -> list[Delivery]:
    ear = broker.subscribe(EAR, 5000)
    found: list[Delivery] = []
    while some := ear.receive(5000, timedelta(seconds=2)):
        found += some
    ear.close()
    return found


def again(delivery: Delivery) -> OutMessage:
    own = {name: value for name, value in delivery.headers.items() if not name.startswith("x-")}
    exchange = Exchange.INTAKE if delivery.routing_key.split(".")[-2] in HEARD_AT_INTAKE else Exchange.EVENTS
    return OutMessage(exchange, delivery.routing_key, delivery.message_id, delivery.body, own, delivery.content_type)


HEARD_AT_INTAKE = {"captured", "changed", "done", "refused", "erased", "vanished", "failed", "kept", "missed"} | {
    "reported",
    "placed",
    "withdrawn",
}


def test_every_event_again_twice_and_in_any_order_changes_nothing(tmp_path: Path, rabbit_url: str) -> None:
    broker = RabbitBroker(rabbit_url)
    with scenario("redelivery and reordering", tmp_path, broker=rabbit_url) as run:
        run.made.start()
        eventually(lambda: hears_everything(broker), 150, "the topology")
        run.arrive(40)
        run.made.wait_until_final(40)
        before = run.made.ask("status")
        messages = [again(delivery) for delivery in heard(broker)] * 2
        assert len(messages) > 100
        run.dice.shuffle(messages)
        publisher = broker.publisher()
        publisher.publish_confirmed(messages)
        publisher.close()
        run.faults = len(messages)
        run.healed()
        queues = [*(work_queue(role) for role in ROLES_OF_A_CENTRE), *EDGES]
        eventually(lambda: not any(broker.depth(queue) for queue in queues), 150, "empty queues")
        # An edge that ends still reports, and may be answered: what waits after the end waits for the next start.
        run.finish()
        after = run.made.ask("status")
        for key in ("files", "outcomes", "certificates"):
            assert after[key] == before[key]


@pytest.mark.soak
@pytest.mark.takes(40)
def test_events_that_come_twice_and_shuffled_while_files_flow_have_one_effect(tmp_path: Path, rabbit_url: str) -> None:
    broker = RabbitBroker(rabbit_url)
    with scenario("redelivery under load", tmp_path, broker=rabbit_url) as run:
        processes = {role: run.made.start(role.value) for role in (Role.TERMINAL, Role.CHART, *ROLES_OF_A_CENTRE)}
        eventually(lambda: hears_everything(broker), 150, "the topology")
        run.arrive(60)
        publisher = broker.publisher()
        while sum(run.taker.taken.values()) < 120:
            messages = [again(delivery) for delivery in heard(broker)]
            run.dice.shuffle(messages)
            publisher.publish_confirmed(messages[:200])
            run.faults += len(messages[:200])
        publisher.close()
        run.healed()
        run.finish()
        assert {process.returncode for process in processes.values()} == {0}
