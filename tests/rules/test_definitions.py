"""Is the definitions file what the code declares, and does a real node take it?"""

import json
from pathlib import Path

import pytest

from pipeline.broker.definitions import EXAMPLE_EDGES, NO_LIMIT, definitions, example, queue_arguments
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.topology import QueueSpec, build
from tests.support.rabbit import RabbitNode

FILE = Path(__file__).parents[2] / "infra" / "rabbitmq" / "definitions.json"


def test_the_file_is_what_the_topology_renders() -> None:
    assert FILE.read_text(encoding="utf-8") == example()


def test_every_queue_is_a_durable_quorum_queue() -> None:
    for queue in definitions(build(EXAMPLE_EDGES))["queues"]:
        assert queue["durable"]
        assert queue["arguments"]["x-queue-type"] == "quorum"


def test_every_dead_letter_leaves_at_least_once() -> None:
    for queue in definitions(build(EXAMPLE_EDGES))["queues"]:
        arguments = queue["arguments"]
        if "x-dead-letter-exchange" in arguments:
            assert arguments["x-dead-letter-strategy"] == "at-least-once"
            assert arguments["x-overflow"] == "reject-publish"


def test_no_limit_is_never_written_as_minus_one() -> None:
    assert queue_arguments(QueueSpec("parked", delivery_limit=-1))["x-delivery-limit"] == NO_LIMIT


def test_the_file_holds_no_secret() -> None:
    assert not {"users", "permissions"} & definitions(build(EXAMPLE_EDGES)).keys()


@pytest.mark.rabbitmq
def test_a_node_booted_with_the_file_has_the_topology_and_declaring_is_harmless() -> None:
    topology = build(EXAMPLE_EDGES)
    with RabbitNode(definitions=json.loads(FILE.read_text(encoding="utf-8"))) as node:
        broker = RabbitBroker(node.url("onshi"))
        broker.check(topology)
        broker.declare(topology)
