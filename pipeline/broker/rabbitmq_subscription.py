"""How do messages of one RabbitMQ queue reach one thread, and how are they settled?

The link's thread receives, the owner's thread takes and settles. A settlement is sent by the link's thread in the
order asked. Broker-side cancel (the queue was deleted, its node has gone) is a fault like a lost connection.
"""

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import islice

from pika import URLParameters
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from pipeline.broker.arrivals import Arrivals
from pipeline.broker.port import BrokerAwayError, Delivery
from pipeline.broker.rabbitmq_headers import scalars, text
from pipeline.broker.rabbitmq_link import Link, Ready
from pipeline.errors import PermanentError


class RabbitSubscription:
    """`Subscription` over a connection of its own.

    Prefetch is raised by one more consumer with the missing credit and lowered by handing out less. A consumer is
    never cancelled: what is on its way to a cancelled consumer would go back flagged redelivered though nobody saw it.
    So a subscription opened with 1 holds exactly 1 at the broker, which is what recovery needs, and one lowered later
    may hold its former number unseen. With two consumers, messages that wait together may arrive out of order.
    """

    def __init__(
        self, parameters: URLParameters, queue: str, prefetch: int, arguments: Mapping[str, object] | None = None
    ) -> None:
        self._queue = queue
        self._arguments = dict(arguments or {})
        self._most_held = prefetch
        self._credit = prefetch
        self._arrived = Arrivals()
        self._held: dict[int, None] = {}
        self._changed = threading.Condition()
        self._link = Link(parameters, self._start, self._wake)

    def receive(self, most: int, wait: timedelta) -> list[Delivery]:
        until = time.monotonic() + wait.total_seconds()
        with self._changed:
            while not self._link_is_gone() and not self._available(most):
                left = until - time.monotonic()
                if left <= 0:
                    break
                self._changed.wait(left)
            self._raise_if_away()
            return self._arrived.take(self._available(most))

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        with self._changed:
            settlements = contiguous(self._held, [delivery.tag for delivery in deliveries])
            self._let_go(deliveries)
            self._do(partial(self._send_acks, settlements))

    def reject(self, deliveries: Sequence[Delivery], *, requeue: bool) -> None:
        with self._changed:
            self._let_go(deliveries)
            self._do(partial(self._send_rejects, [delivery.tag for delivery in deliveries], requeue=requeue))

    def prefetch(self, most: int) -> None:
        with self._changed:
            self._most_held = most
            missing = most - self._credit
            if missing > 0:
                self._credit = most
                self._do(partial(self._consume, missing))
            self._changed.notify_all()

    def finish(self, deliveries: Sequence[Delivery]) -> None:
        with self._changed:
            self._most_held = 0
            settlements = contiguous(self._held, [delivery.tag for delivery in deliveries])
            self._let_go(deliveries)
            # Settled first, the broker would send more, which would come back behind what the next one gets.
            self._do(self._cancel)
            self._do(partial(self._send_acks, settlements))

    def close(self) -> None:
        self._link.close()
        with self._changed:
            self._arrived.close()

    def _available(self, most: int) -> int:
        seen = len(self._held) - len(self._arrived)
        return max(0, min(most, len(self._arrived), self._most_held - seen))

    def _let_go(self, deliveries: Sequence[Delivery]) -> None:
        self._raise_if_away()
        for delivery in deliveries:
            if delivery.tag not in self._held:
                raise ValueError("a delivery was settled twice or belongs to another subscription")
            del self._held[delivery.tag]

    def _raise_if_away(self) -> None:
        # Whatever closed a channel that once worked (acknowledged too late, queue deleted) is mended by a new one.
        try:
            self._link.raise_if_gone()
        except PermanentError as fault:
            raise BrokerAwayError("the broker closed the channel") from fault

    def _do(self, work: Callable[[], None]) -> None:
        self._raise_if_away()
        self._link.do(work)

    def _link_is_gone(self) -> bool:
        return self._link.is_gone

    # What follows runs on the link's thread.

    def _start(self, channel: Channel, ready: Ready) -> None:
        channel.add_on_cancel_callback(lambda _frame: self._link.fail(BrokerAwayError("the broker ended the consumer")))
        channel.basic_qos(prefetch_count=self._credit)
        channel.basic_consume(self._queue, self._on_message, arguments=self._arguments, callback=lambda _frame: ready())

    def _consume(self, credit: int) -> None:
        # On quorum queues prefetch is per consumer: it counts for those that start after it was said.
        channel = self._link.channel
        channel.basic_qos(prefetch_count=credit)
        channel.basic_consume(self._queue, self._on_message, arguments=self._arguments)

    def _on_message(self, _channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        delivery = Delivery(
            queue=self._queue,
            routing_key=method.routing_key,
            message_id=text(properties.message_id),
            body=body,
            headers=scalars(properties.headers or {}),
            content_type=text(properties.content_type),
            redelivered=bool(method.redelivered),
            tag=method.delivery_tag,
        )
        with self._changed:
            self._held[delivery.tag] = None
            self._arrived.put(delivery)
            self._changed.notify_all()

    def _cancel(self) -> None:
        for tag in list(self._link.channel.consumer_tags):
            self._link.channel.basic_cancel(tag)

    def _send_acks(self, settlements: Iterable[tuple[int, bool]]) -> None:
        for tag, multiple in settlements:
            self._link.channel.basic_ack(tag, multiple=multiple)

    def _send_rejects(self, tags: Iterable[int], *, requeue: bool) -> None:
        # Never nack: from 4.3 a nacked message does not count towards the delivery limit and comes back for ever.
        for tag in tags:
            self._link.channel.basic_reject(tag, requeue=requeue)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()


def contiguous(held: Mapping[int, None], tags: Sequence[int]) -> list[tuple[int, bool]]:
    """Turn tags to settle into (tag, multiple): one multiple for those that are all of the oldest held, in order."""
    wanted = set(tags)
    prefix: list[int] = []
    for tag in islice(held, len(wanted)):
        if tag not in wanted:
            break
        prefix.append(tag)
    rest = sorted(wanted.difference(prefix))
    first = [(prefix[-1], len(prefix) > 1)] if prefix else []
    return first + [(tag, False) for tag in rest]
