"""What may nobody do to what is another's, once let into a group's broker, and is it refused?"""

from collections.abc import Callable
from contextlib import suppress

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker

from tests.support.doors import Door, channel_as

EDGE, CHART, VENDOR, CENTRE = "edge.c001.t1", "edge.c001.chart", "vendor.acme", "service.centre"
Attempt = Callable[[BlockingChannel], object]
REFUSALS = (403, 406, 540)


class Intruder:
    """Tries things under anybody's name, over one connection for each: the broker lets a vendor have few."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self._open: dict[str, pika.BlockingConnection] = {}

    def is_refused(self, user: str, attempt: Attempt) -> bool:
        if user not in self._open or not self._open[user].is_open:
            self._open[user] = channel_as(self._door, self._door.certificates(user)).connection
        channel = self._open[user].channel()
        channel.confirm_delivery()
        try:
            attempt(channel)
        except (ChannelClosedByBroker, ConnectionClosedByBroker) as closed:
            return closed.reply_code in REFUSALS
        finally:
            with suppress(AMQPError):
                channel.close()
        return False

    def close(self) -> None:
        for connection in self._open.values():
            with suppress(AMQPError):
                connection.close()


def publish(exchange: str, key: str, **properties: object) -> Attempt:
    return lambda c: c.basic_publish(exchange, key, b"x", pika.BasicProperties(**properties))


def consume_stream(channel: BlockingChannel, stream: str) -> None:
    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(stream, lambda *_: None, arguments={"x-stream-offset": "first"})


def everything_but(own: str) -> dict[str, Attempt]:
    """What nobody at the edge or outside may do to any queue or exchange, except read from `own`."""
    others = {
        "parsing",
        "parsing.parked",
        "unrouted",
        "edge.c001.t1",
        "edge.c001.t2",
        "edge.c001.chart",
        "edge.c002.t1",
    }
    others |= {"vendor.acme", "vendor.beta"}
    found: dict[str, Attempt] = {}
    for queue in sorted(others - {own}):
        found[f"consume {queue}"] = lambda c, q=queue: c.basic_consume(q, lambda *_: None)  # type: ignore[misc]
        found[f"get {queue}"] = lambda c, q=queue: c.basic_get(q)  # type: ignore[misc]
        found[f"purge {queue}"] = lambda c, q=queue: c.queue_purge(q)  # type: ignore[misc]
    for queue in sorted(others):
        found[f"delete queue {queue}"] = lambda c, q=queue: c.queue_delete(q)  # type: ignore[misc]
        found[f"bind {queue}"] = lambda c, q=queue: c.queue_bind(q, "onshi.intake", "#")  # type: ignore[misc]
        found[f"publish by name to {queue}"] = publish("", queue)
    exchanges = ("onshi.events", "onshi.public", "onshi.retry", "onshi.return", "onshi.dead", "onshi.unrouted")
    for exchange in (*exchanges, "amq.topic", "amq.direct", "amq.fanout", "amq.headers"):
        found[f"publish to {exchange}"] = publish(exchange, "file.c001.t1.captured.v1")
    for exchange in ("onshi.intake", *exchanges):
        found[f"delete exchange {exchange}"] = lambda c, e=exchange: c.exchange_delete(e)  # type: ignore[misc]
        found[f"bind own to {exchange}"] = lambda c, e=exchange: c.queue_bind(own, e, "#")  # type: ignore[misc]
        found[f"unbind own from {exchange}"] = lambda c, e=exchange: c.queue_unbind(own, e, "#")  # type: ignore[misc]
        found[f"route {exchange} on"] = lambda c, e=exchange: c.exchange_bind("amq.fanout", e, "#")  # type: ignore[misc]
    found["declare a queue"] = lambda c: c.queue_declare("mine", durable=True)
    found["declare an exclusive queue"] = lambda c: c.queue_declare("", exclusive=True)
    found["declare a queue that dead-letters into the intake"] = lambda c: c.queue_declare(
        "mine", arguments={"x-dead-letter-exchange": "onshi.intake"}
    )
    found["declare an exchange"] = lambda c: c.exchange_declare("mine")
    found["declare an exchange whose rest goes to events"] = lambda c: c.exchange_declare(
        "mine", arguments={"alternate-exchange": "onshi.events"}
    )
    found["answer another's call"] = publish("", "amq.rabbitmq.reply-to.g1h2AA")
    return found


OF_AN_EDGE = {
    **everything_but(EDGE),
    "publish as another clinic": publish("onshi.intake", "file.c002.t1.captured.v1"),
    "publish as another terminal": publish("onshi.intake", "file.c001.t2.captured.v1"),
    "publish as the chart": publish("onshi.intake", "delivery.c001.chart.done.v1"),
    "publish what charts say": publish("onshi.intake", "patients.c001.t1.changed.v1"),
    "publish what the centre says": publish("onshi.intake", "record.c001.t1.parsed.v1"),
    "publish an order": publish("onshi.intake", "erasure.c001.t1.order.v1"),
    "publish a role's name as key": publish("onshi.intake", "parsing"),
    "publish a longer key": publish("onshi.intake", "file.c001.t1.captured.v1.file.c002.t1.captured.v1"),
    "publish a key of two lines": publish("onshi.intake", "file.c002.t1.captured.v1\nfile.c001.t1.captured.v1"),
    "publish a key with a wildcard": publish("onshi.intake", "file.*.*.captured.v1"),
    "publish without a key": publish("onshi.intake", ""),
    "publish under another's user id": publish("onshi.intake", "file.c001.t1.captured.v1", user_id="edge.c002.t1"),
    "publish under the centre's user id": publish("onshi.intake", "file.c001.t1.captured.v1", user_id=CENTRE),
}
OF_A_CHART = {
    "publish as another clinic's chart": publish("onshi.intake", "patients.c002.chart.changed.v1"),
    "publish as a terminal": publish("onshi.intake", "file.c001.t1.erased.v1"),
    "publish what terminals say": publish("onshi.intake", "file.c001.chart.captured.v1"),
    "consume the terminal's orders": lambda c: c.basic_consume(EDGE, lambda *_: None),
}
OF_A_VENDOR = {
    **everything_but(VENDOR),
    "publish to intake": publish("onshi.intake", "file.c001.t1.captured.v1"),
    "purge its own stream": lambda c: c.queue_purge(VENDOR),
}
OF_THE_CENTRE = {
    "publish as an edge": publish("onshi.intake", "file.c001.t1.captured.v1"),
    "declare a queue": lambda c: c.queue_declare("mine", durable=True),
    "delete a queue": lambda c: c.queue_delete("parsing"),
    "bind a queue": lambda c: c.queue_bind("parsing", "onshi.intake", "#"),
    "read an edge's orders": lambda c: c.basic_get(EDGE),
    "publish under an edge's user id": publish("onshi.events", "file.c001.t1.stored.v1", user_id=EDGE),
}
ATTEMPTS: dict[str, tuple[str, Attempt]] = {
    f"{user}: {name}": (user, attempt)
    for user, attempts in ((EDGE, OF_AN_EDGE), (CHART, OF_A_CHART), (VENDOR, OF_A_VENDOR), (CENTRE, OF_THE_CENTRE))
    for name, attempt in attempts.items()
}
