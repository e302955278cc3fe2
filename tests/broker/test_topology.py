"""What happens when the broker has something, nothing, or something else than is declared?"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker import Broker, TopologyError
from pipeline.broker.open import open_broker
from pipeline.errors import PermanentError
from pipeline.topology import CHART_EDGE, Edge, build
from tests.broker.builders import TOPOLOGY, drain, ids, message, publish

PRODUCT = build([Edge("c001", "t1"), Edge("c001", CHART_EDGE)])


def test_the_product_s_topology_can_be_declared_twice(empty_broker: Broker) -> None:
    empty_broker.declare(PRODUCT)
    empty_broker.declare(PRODUCT)
    empty_broker.check(PRODUCT)


def test_declaring_again_keeps_the_messages(broker: Broker) -> None:
    publish(broker, [message()])
    broker.declare(TOPOLOGY)
    assert ids(drain(broker, "work", 1)) == ["m1"]


def test_a_queue_that_exists_otherwise_is_named(broker: Broker) -> None:
    queues = tuple(replace(q, ttl=timedelta(hours=1)) if q.name == "work.retry" else q for q in TOPOLOGY.queues)
    with pytest.raises(TopologyError, match=r"work\.retry"):
        broker.declare(replace(TOPOLOGY, queues=queues))


def test_an_exchange_that_exists_otherwise_is_named(broker: Broker) -> None:
    exchanges = tuple(replace(e, alternate=None) if e.name == "return" else e for e in TOPOLOGY.exchanges)
    with pytest.raises(TopologyError, match="return"):
        broker.declare(replace(TOPOLOGY, exchanges=exchanges))


def test_what_is_missing_is_named_and_not_made(empty_broker: Broker) -> None:
    empty_broker.declare(replace(TOPOLOGY, queues=TOPOLOGY.queues[:-1], bindings=TOPOLOGY.bindings[:-1]))
    for _ in range(2):
        with pytest.raises(TopologyError, match="lost"):
            empty_broker.check(TOPOLOGY)


@pytest.mark.parametrize("url", ["redis://u:hunter2@h/0", "", "amqp", "amqp://u:hunter2@h:hunter2/x"])
def test_a_url_of_no_known_broker_is_a_fault_of_the_configuration(url: str, tmp_path: Path) -> None:
    with pytest.raises(PermanentError) as caught:
        open_broker(url, tmp_path)
    assert caught.value.reason == "configuration"
    assert "hunter2" not in str(caught.value)
