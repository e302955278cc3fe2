"""Who notices that the broker has not got its topology: not yet, or not any more?

Its data was wiped, or somebody deleted a queue. Whoever meets that can only pause; this wraps a broker and sets
`missed`, so that the part that declares does it again. Nothing is published before it did: an event that reaches
one of its queues and is too early for another is heard by the other when its sender repeats it, a quarter of an
hour later.
"""

import threading
from collections.abc import Sequence
from datetime import timedelta

from pipeline.broker.port import (
    Broker,
    BrokerAwayError,
    OutMessage,
    Publisher,
    Subscription,
    TopologyError,
    UnroutableError,
)
from pipeline.topology import Topology

GATE_SECONDS = 2.0
"""How long a publisher waits for the topology before it says that the broker is away."""


class WatchedBroker:
    """A `Broker` in front of another. `missed` is set whenever an exchange, a queue or a binding was not there.

    `declares`: this process declares the topology, so its publishers wait until it has. One that may not declare
    waits for nothing: provisioning gives its user the right to publish after everything else is there.
    """

    def __init__(self, broker: Broker, *, declares: bool = False) -> None:
        self._broker = broker
        self.missed = threading.Event()
        self._gate = _Gate(declares=declares)
        self._made: frozenset[str] = frozenset()

    def declare(self, topology: Topology) -> None:
        try:
            self._broker.declare(topology)
        except TopologyError:
            # Something stands otherwise than we would make it. What works goes on; the warning calls the operator.
            self._gate.stay_open()
            raise
        self._made = frozenset(queue.name for queue in topology.queues)
        self._gate.open()

    def check(self, topology: Topology) -> bool:
        return self._broker.check(topology)

    def publisher(self) -> Publisher:
        return _WatchedPublisher(self._broker.publisher(), self.missed, self._gate)

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        try:
            return self._broker.subscribe(queue, prefetch)
        except TopologyError:
            # Whoever loses its data loses all of it, and who consumes notices first. Another process may be half way.
            if queue in self._made:
                self._gate.shut()
            self.missed.set()
            raise

    def depth(self, queue: str) -> int:
        return self._broker.depth(queue)

    def close(self) -> None:
        self._broker.close()


class _Gate:
    """Closed until the topology was declared, and again when an exchange or a queue of it turns out to be gone."""

    def __init__(self, *, declares: bool) -> None:
        self._declares = declares
        self._is_kept = declares
        self._opened = threading.Event()
        if not declares:
            self._opened.set()

    def open(self) -> None:
        self._is_kept = self._declares
        self._opened.set()

    def stay_open(self) -> None:
        """Let through what works, whatever is missing: no declaration makes it before somebody has seen to it."""
        self._is_kept = False
        self._opened.set()

    def shut(self) -> None:
        if self._is_kept:
            self._opened.clear()

    def pass_through(self) -> None:
        if not self._opened.wait(GATE_SECONDS):
            raise BrokerAwayError("the topology is not declared yet")


class _WatchedPublisher:
    def __init__(self, publisher: Publisher, missed: threading.Event, gate: _Gate) -> None:
        self._publisher = publisher
        self._missed = missed
        self._gate = gate

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        self._gate.pass_through()
        try:
            self._publisher.publish_confirmed(batch, deadline)
        except TopologyError:
            self._gate.shut()
            self._missed.set()
            raise
        except UnroutableError:
            self._missed.set()
            raise

    def close(self) -> None:
        self._publisher.close()
