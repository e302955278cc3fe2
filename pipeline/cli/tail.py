"""`onshi vendors tail ID`: what does a vendor see? Its stream, read as the vendor reads it."""

import json
from argparse import Namespace
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any

from pipeline.broker.port import Delivery
from pipeline.broker.rabbitmq import RabbitBroker, Start
from pipeline.cli.instants import instant
from pipeline.cli.main import WrongUseError
from pipeline.oqs.times import JST
from pipeline.settings import Settings
from pipeline.topology import vendor_stream

PREFETCH = 100
WAIT = timedelta(seconds=1)


def tail(settings: Settings, arguments: Namespace) -> int:
    """Print each event of a stream as it comes, until `--count` are printed or somebody interrupts."""
    if settings.broker.url.startswith("embedded:"):
        raise WrongUseError("vendors: need RabbitMQ; broker.url is embedded:, which has no streams")
    if all(vendor.id != arguments.vendor for vendor in settings.vendors):
        raise WrongUseError(f"there is no vendor {arguments.vendor!r} in the configuration")
    show: Callable[[Delivery], str] = _as_json if arguments.json else _as_line
    try:
        for delivery in _read(settings, arguments.vendor, start_of(arguments.start), arguments.count):
            print(show(delivery), flush=True)
    except KeyboardInterrupt:
        return 0
    return 0


def start_of(text: str) -> Start:
    """Read `first`, `last`, `next`, `offset:N` or `time:T`.

    Raises:
        WrongUseError: it is none of them.
    """
    word, _, value = text.partition(":")
    if text in ("first", "last", "next"):
        return text
    if word == "offset" and value.isdecimal():
        return int(value)
    if word == "time" and value:
        return instant(value)
    raise WrongUseError(f"--from {text}: write first, last, next, offset:N or time:T")


def _read(settings: Settings, vendor: str, start: Start, count: int | None) -> Iterator[Delivery]:
    broker = RabbitBroker(settings.broker.url, settings.broker.certificates)
    subscription = broker.read_stream(vendor_stream(vendor), start, PREFETCH)
    left = count
    try:
        while left is None or left > 0:
            for delivery in subscription.receive(PREFETCH if left is None else min(left, PREFETCH), WAIT):
                # A chunk begins before the offset that was asked for, and an older broker hands out all of it.
                if isinstance(start, int) and _offset(delivery) < start:
                    subscription.ack([delivery])
                    continue
                yield delivery
                subscription.ack([delivery])
                left = None if left is None else left - 1
    finally:
        subscription.close()
        broker.close()


def _offset(delivery: Delivery) -> int:
    return int(delivery.headers.get("x-stream-offset", 0))


def _as_json(delivery: Delivery) -> str:
    event = {"offset": _offset(delivery), "routing_key": delivery.routing_key, "event": json.loads(delivery.body)}
    return json.dumps(event, ensure_ascii=False)


def _as_line(delivery: Delivery) -> str:
    body: dict[str, Any] = json.loads(delivery.body)
    at = datetime.fromisoformat(body["at"]).astimezone(JST)
    said = [f"{name}={_short(body[name])}" for name in _SHOWN if body.get(name) is not None]
    return f"{_offset(delivery):>8}  {at:%Y-%m-%d %H:%M:%S}  {body['type']}  {body['clinic']}  {' '.join(said)}"


_SHOWN = ("kind", "handle", "revision", "results", "record_state", "reason", "outcome", "category", "granted", "until")


def _short(value: Any) -> str:
    if isinstance(value, list):
        return ";".join(f"{row['patient'] or '-'}:{','.join(row['verdicts'])}" for row in value)
    return str(value)
