"""What topology and messages do the broker tests speak about? Small and fast: a retry takes 0.3 s."""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Any

from pipeline.broker import Broker, Delivery, OutMessage, Subscription
from pipeline.topology import Binding, ExchangeKind, ExchangeSpec, QueueSpec, Topology

RETRY_DELAY = timedelta(milliseconds=300)
DELIVERY_LIMIT = 3
SOON = timedelta(seconds=30)
AT_ONCE = timedelta(milliseconds=250)

TOPOLOGY = Topology(
    exchanges=(
        ExchangeSpec("in", ExchangeKind.TOPIC, alternate="lost"),
        ExchangeSpec("public", ExchangeKind.TOPIC),
        ExchangeSpec("retry", ExchangeKind.DIRECT),
        ExchangeSpec("return", ExchangeKind.DIRECT, alternate="lost"),
        ExchangeSpec("dead", ExchangeKind.DIRECT, alternate="lost"),
        ExchangeSpec("lost", ExchangeKind.FANOUT),
    ),
    queues=(
        QueueSpec("work", "dead", "work", delivery_limit=DELIVERY_LIMIT),
        QueueSpec("other"),
        QueueSpec("work.retry", "return", "work", ttl=RETRY_DELAY),
        QueueSpec("work.parked", delivery_limit=-1),
        QueueSpec("lost"),
    ),
    bindings=(
        Binding("in", "work", "file.*.new"),
        Binding("in", "work", "both"),
        Binding("in", "other", "both"),
        Binding("retry", "work.retry", "work.soon"),
        Binding("return", "work", "work"),
        Binding("dead", "work.parked", "work"),
        Binding("lost", "lost", ""),
    ),
)


def message(message_id: str = "m1", key: str = "file.c001.new", exchange: str = "in", **fields: Any) -> OutMessage:
    return OutMessage(exchange, key, message_id, fields.pop("body", b"{}"), **fields)


def messages(count: int, **fields: Any) -> list[OutMessage]:
    return [message(f"m{number}", **fields) for number in range(count)]


def publish(broker: Broker, batch: Iterable[OutMessage]) -> None:
    publisher = broker.publisher()
    try:
        publisher.publish_confirmed(list(batch))
    finally:
        publisher.close()


def ids(deliveries: Iterable[Delivery]) -> list[str]:
    return [delivery.message_id for delivery in deliveries]


def receive_all(subscription: Subscription, count: int) -> list[Delivery]:
    """Receive until there are `count`, without settling; fail when they do not come."""
    got: list[Delivery] = []
    while len(got) < count:
        some = subscription.receive(count - len(got), SOON)
        assert some, f"{len(got)} of {count} came"
        got += some
    return got


def drain(broker: Broker, queue: str, count: int, batch: int = 100) -> Iterator[Delivery]:
    """Receive and settle `count` messages."""
    subscription = broker.subscribe(queue, batch)
    try:
        while count:
            some = subscription.receive(min(batch, count), SOON)
            assert some, f"{count} did not come"
            subscription.ack(some)
            count -= len(some)
            yield from some
    finally:
        subscription.close()
