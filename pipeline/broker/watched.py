"""Who notices that the broker has lost its topology?

Its data was wiped, or somebody deleted a queue. Whoever meets that can only pause; this wraps a broker and sets
`missed`, so that the part that declares does it again.
"""

import threading
from collections.abc import Sequence
from datetime import timedelta

from pipeline.broker.port import Broker, OutMessage, Publisher, Subscription, TopologyError, UnroutableError
from pipeline.topology import Topology


class WatchedBroker:
    """A `Broker` in front of another. `missed` is set whenever an exchange, a queue or a binding was not there."""

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self.missed = threading.Event()

    def declare(self, topology: Topology) -> None:
        self._broker.declare(topology)

    def check(self, topology: Topology) -> None:
        self._broker.check(topology)

    def publisher(self) -> Publisher:
        return _WatchedPublisher(self._broker.publisher(), self.missed)

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        try:
            return self._broker.subscribe(queue, prefetch)
        except TopologyError:
            self.missed.set()
            raise

    def depth(self, queue: str) -> int:
        return self._broker.depth(queue)

    def close(self) -> None:
        self._broker.close()


class _WatchedPublisher:
    def __init__(self, publisher: Publisher, missed: threading.Event) -> None:
        self._publisher = publisher
        self._missed = missed

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        try:
            self._publisher.publish_confirmed(batch, deadline)
        except (TopologyError, UnroutableError):
            self._missed.set()
            raise

    def close(self) -> None:
        self._publisher.close()
