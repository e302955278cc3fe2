"""Which messages of a batch are on the broker's disk, which had no queue, and when may more be sent?

A window of unconfirmed messages slides over the batch: one confirm at a time costs a flush each, a window shares
them. Lives on the link's I/O thread; `done` is what the caller waits on.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from pipeline.broker.port import BrokerAwayError, OutMessage, UnroutableError

WINDOW_MESSAGES = 256
WINDOW_BYTES = 32 * 1024 * 1024
"""What may be unconfirmed at once. The bytes bound what pika buffers when bodies are large."""

PERSISTENT = 2
TYPE_HEADER = "cloudEvents_type"


class Batch:
    """One `publish_confirmed` call. Changed by the I/O thread only, until `done`."""

    def __init__(self, messages: Sequence[OutMessage]) -> None:
        self.waiting = deque(messages)
        self.returned: list[str] = []
        self.refused = 0
        self.is_settled = False
        """Every message was answered for. `done` alone may also mean that the link has gone."""
        self.done = threading.Event()

    def raise_for_outcome(self) -> None:
        if self.refused:
            raise BrokerAwayError(f"the broker refused {self.refused} messages")
        if self.returned:
            raise UnroutableError(self.returned)


class Window:
    """The confirms of one channel. Delivery tags count from 1 for the channel's life."""

    def __init__(self, channel: Channel, ready: Callable[[], None]) -> None:
        self._channel = channel
        self._next_tag = 1
        self._unconfirmed: dict[int, int] = {}
        self._bytes = 0
        self._batch: Batch | None = None
        channel.add_on_return_callback(self._on_return)
        channel.confirm_delivery(self._on_confirm, callback=lambda _frame: ready())

    def send(self, batch: Batch) -> None:
        self._batch = batch
        self._fill(batch)

    def _fill(self, batch: Batch) -> None:
        while batch.waiting and self._has_room():
            self._publish(batch.waiting.popleft())
        if not batch.waiting and not self._unconfirmed:
            batch.is_settled = True
            batch.done.set()

    def _has_room(self) -> bool:
        return len(self._unconfirmed) < WINDOW_MESSAGES and (self._bytes < WINDOW_BYTES or not self._unconfirmed)

    def _publish(self, message: OutMessage) -> None:
        self._channel.basic_publish(
            message.exchange, message.routing_key, message.body, _properties(message), mandatory=message.mandatory
        )
        self._unconfirmed[self._next_tag] = len(message.body)
        self._bytes += len(message.body)
        self._next_tag += 1

    def _on_confirm(self, frame: Method) -> None:
        method = frame.method
        settled = self._settle(method.delivery_tag, multiple=method.multiple)
        if self._batch is None:
            return
        if isinstance(method, Basic.Nack):
            self._batch.refused += settled
        self._fill(self._batch)

    def _settle(self, tag: int, *, multiple: bool) -> int:
        # Tags are in sending order, so everything up to `tag` stands at the front.
        tags = [tag]
        if multiple:
            tags = []
            for unconfirmed in self._unconfirmed:
                if unconfirmed > tag:
                    break
                tags.append(unconfirmed)
        for each in tags:
            self._bytes -= self._unconfirmed.pop(each, 0)
        return len(tags)

    def _on_return(self, _channel: Channel, _method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        # The return of an unroutable message comes before its confirm.
        if self._batch is not None:
            self._batch.returned.append(str(properties.message_id))


def _properties(message: OutMessage) -> BasicProperties:
    kind = message.headers.get(TYPE_HEADER)
    return BasicProperties(
        content_type=message.content_type,
        headers=dict(message.headers),
        delivery_mode=PERSISTENT,
        message_id=message.message_id,
        timestamp=int(time.time()),
        type=None if kind is None else str(kind),
    )
