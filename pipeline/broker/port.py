"""What the runner and the edges ask of a broker, and what a broker promises.

Both adapters (`pipeline.broker.rabbitmq`, `pipeline.broker.embedded`) pass `tests/broker`, the one contract suite.
Nothing outside `pipeline.broker` imports pika.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from pipeline.errors import AwayError, PermanentError
from pipeline.topology import Topology

Headers = Mapping[str, str | int]


class BrokerAwayError(AwayError):
    """The broker cannot be reached, refused, blocked or did not confirm in time. Nothing is known of what was sent."""


class UnroutableError(PermanentError):
    """A mandatory message had no queue: the topology is not what the code was built with."""

    def __init__(self, message_ids: Sequence[str]) -> None:
        self.message_ids = tuple(message_ids)
        super().__init__("unroutable", f"{len(self.message_ids)} messages had no queue")


class TopologyError(BrokerAwayError):
    """An exchange or a queue is missing or not as declared. Until it is made, the broker is as good as away.

    The text names the object, nothing of its messages.
    """


class NotAllowedError(PermanentError):
    """This user may not ask for an exchange or a queue: whether it is there, and how full, is unknown.

    RabbitMQ wants a right for such a question from 4.2.6 on, and gives `404` only to who has it. What needs no
    question, to publish and to consume, is not touched. The text names the object, nothing of its messages.
    """

    def __init__(self, name: str) -> None:
        super().__init__("refused", f"{name}: this user may not ask for it")


@dataclass(frozen=True, slots=True)
class OutMessage:
    """One message to publish: always persistent. `repr` shows no body."""

    exchange: str
    routing_key: str
    message_id: str
    body: bytes = field(repr=False)
    headers: Headers = field(default_factory=dict)
    content_type: str = "application/json"
    mandatory: bool = True


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message received and not yet settled. `tag` means something only to the subscription it came from."""

    queue: str
    routing_key: str
    message_id: str
    body: bytes = field(repr=False)
    headers: Headers
    content_type: str
    redelivered: bool
    tag: int


class Publisher(Protocol):
    """Publishes from one thread. Confirmed means: on the broker's disk, in every queue it was routed to."""

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        """Publish all, pipelined, and return when every one is confirmed. Blocks at most `deadline`.

        Raises:
            BrokerAwayError: some may have arrived: publish all again with the same ids.
            TopologyError: an exchange is missing.
            UnroutableError: the named ones had no queue; every other one is confirmed.
            PermanentError: `refused`, no right to publish there, or too large; nothing is known of the others.
        """

    def close(self) -> None:
        """Let go of the connection. May be called twice."""


class Subscription(Protocol):
    """Receives from one queue in one thread. What is not settled when it closes comes again, flagged redelivered."""

    def receive(self, most: int, wait: timedelta) -> list[Delivery]:
        """Return what has arrived, at most `most`, waiting at most `wait` for the first and not at all for more.

        What is returned together fits into memory (`pipeline.budget`), and so does what waits here to be taken.
        Also keeps the connection alive; with `most=0` it waits the whole `wait`.

        Raises:
            BrokerAwayError: the connection ended or the broker cancelled the consumer: subscribe again.
        """

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Settle these; they never come again.

        Raises:
            BrokerAwayError: they may come again.
        """

    def reject(self, deliveries: Sequence[Delivery], *, requeue: bool) -> None:
        """Give these back: requeued (to come again), or dead-lettered to the queue's parked queue."""

    def prefetch(self, most: int) -> None:
        """Hold at most this many unsettled from now on (1 in recovery)."""

    def finish(self, deliveries: Sequence[Delivery]) -> None:
        """Take nothing more, and only then settle these: the next in line for an ordered queue goes on behind them.

        Raises:
            BrokerAwayError: they may come again.
        """

    def close(self) -> None:
        """Let go; unsettled messages go back to the queue. May be called twice."""


class Broker(Protocol):
    """Opens publishers and subscriptions, each with a connection of its own where the broker has connections.

    Thread-safe; publishers and subscriptions are not.
    """

    def declare(self, topology: Topology) -> None:
        """Make every exchange, queue and binding; harmless when they exist as declared.

        Raises:
            TopologyError: one exists otherwise.
            BrokerAwayError: not reachable.
        """

    def check(self, topology: Topology) -> bool:
        """Like `declare` but makes nothing: raises `TopologyError` when an exchange or queue is missing.

        Returns whether all could be asked for. What this user may not ask for is unknown; whoever needs it meets it.
        """
        ...

    def publisher(self) -> Publisher: ...

    def subscribe(self, queue: str, prefetch: int) -> Subscription:
        """Start to consume a queue.

        Raises:
            TopologyError: there is no such queue (yet).
            BrokerAwayError: not reachable.
        """

    def depth(self, queue: str) -> int:
        """Count the messages ready in a queue. For status and tests; may lag.

        Raises:
            TopologyError: there is no such queue.
            NotAllowedError: this user may not ask.
        """

    def close(self) -> None: ...
