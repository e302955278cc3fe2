"""What does the topology look like to RabbitMQ: as declaration arguments, and as a definitions file?

Everything stands in the queues' arguments and nothing in policies, although policies could be changed later: the
services must be able to declare by AMQP alone, and AMQP cannot set a policy. So a changed limit means a new queue.
Print the example file with `python -m pipeline.broker.definitions`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.topology import CHART_EDGE, Edge, ExchangeSpec, QueueSpec, StreamSpec, Topology, build

EXAMPLE_EDGES = (Edge("c001", "t1"), Edge("c001", CHART_EDGE))

NO_LIMIT = 2**31 - 1
"""Stands for `delivery_limit=-1`. 3.10 takes -1 at its word and drops at the first return; none means 20 from 4.0."""

SEGMENT_BYTES = 4 << 20
"""Of a vendor's stream; the broker's own default of 500 MB would keep a quiet vendor's events for years."""

Arguments = dict[str, Any]


def exchange_arguments(spec: ExchangeSpec) -> Arguments:
    return {} if spec.alternate is None else {"alternate-exchange": str(spec.alternate)}


def queue_arguments(spec: QueueSpec) -> Arguments:
    """Render a quorum queue. Dead letters leave at least once, for which the broker wants reject-publish overflow.

    Source: RabbitMQ, "Quorum Queues", sections "Activating at-least-once dead-lettering" and "Poison Message Handling".
    """
    arguments: Arguments = {"x-queue-type": "quorum"}
    if spec.dead_exchange is not None:
        arguments |= {
            "x-dead-letter-exchange": str(spec.dead_exchange),
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        }
    if spec.dead_key is not None:
        arguments["x-dead-letter-routing-key"] = spec.dead_key
    if spec.ttl is not None:
        arguments["x-message-ttl"] = round(spec.ttl.total_seconds() * 1000)
    if spec.delivery_limit is not None:
        arguments["x-delivery-limit"] = NO_LIMIT if spec.delivery_limit < 0 else spec.delivery_limit
    if spec.is_ordered:
        arguments["x-single-active-consumer"] = True
    return arguments


def stream_arguments(spec: StreamSpec) -> Arguments:
    """Render a stream. A segment goes as a whole, and never the last one: small ones let the retention be meant."""
    return {
        "x-queue-type": "stream",
        "x-max-age": f"{max(1, round(spec.retention.total_seconds()))}s",
        "x-stream-max-segment-size-bytes": SEGMENT_BYTES,
    }


def definitions(topology: Topology, vhost: str = "onshi") -> Mapping[str, Any]:
    """Render a definitions file for `load_definitions`. Users and permissions are not in it: they are secrets."""
    return {
        "vhosts": [{"name": vhost}],
        "policies": [],
        "exchanges": [
            {
                "name": str(spec.name),
                "vhost": vhost,
                "type": spec.kind.value,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": exchange_arguments(spec),
            }
            for spec in topology.exchanges
        ],
        "queues": [
            {
                "name": name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": arguments,
            }
            for name, arguments in _queues(topology)
        ],
        "bindings": [
            {
                "source": str(binding.exchange),
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.key,
                "arguments": {},
            }
            for binding in topology.bindings
        ],
    }


def _queues(topology: Topology) -> Iterator[tuple[str, Arguments]]:
    yield from ((spec.name, queue_arguments(spec)) for spec in topology.queues)
    yield from ((spec.name, stream_arguments(spec)) for spec in topology.streams)


def example() -> str:
    """Return the text of `infra/rabbitmq/definitions.json`: one clinic with one terminal and a chart."""
    return json.dumps(definitions(build(EXAMPLE_EDGES)), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(example())
