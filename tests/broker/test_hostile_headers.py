"""A header that was made to break whoever reads it breaks nobody: real bytes, on a real broker."""

import struct
from collections.abc import Iterator, Mapping
from pathlib import Path

import pika
import pytest
from pika.spec import BasicProperties

from pipeline.broker import Broker, Delivery
from pipeline.broker.open import open_broker
from tests.broker.builders import SOON, TOPOLOGY, ids, message, publish

pytestmark = pytest.mark.rabbitmq


class Raw(BasicProperties):
    """Properties with one header whose bytes the client's library would never write."""

    def __init__(self, name: str, entry: bytes) -> None:
        super().__init__(message_id=name)
        self._entry = entry

    def encode(self) -> list[bytes]:
        flags = BasicProperties.FLAG_HEADERS | BasicProperties.FLAG_MESSAGE_ID
        name = str(self.message_id).encode()
        return [
            struct.pack(">H", flags),
            struct.pack(">I", len(self._entry)) + self._entry,
            bytes((len(name),)) + name,
        ]


def nested(depth: int) -> bytes:
    entry = b"\x01at\x01"
    for _ in range(depth):
        entry = b"\x01aF" + struct.pack(">I", len(entry)) + entry
    return entry


HOSTILE: Mapping[str, bytes] = {
    "a time that no calendar has": b"\x01aT" + struct.pack(">Q", 2**63),
    "a name that is no text": b"\x02\xff\xfeS" + struct.pack(">I", 1) + b"x",
    "tables in tables": nested(3000),
}


@pytest.fixture
def broker(rabbit_url: str, tmp_path: Path) -> Iterator[Broker]:
    broker = open_broker(rabbit_url, tmp_path)
    broker.declare(TOPOLOGY)
    yield broker
    broker.close()


def test_a_header_made_to_break_its_reader_is_a_message_like_any_other(broker: Broker, rabbit_url: str) -> None:
    connection = pika.BlockingConnection(pika.URLParameters(rabbit_url))
    channel = connection.channel()
    for name, entry in HOSTILE.items():
        channel.basic_publish("in", "file.c001.new", b"{}", Raw(name, entry))
    connection.close()
    # A version that counts what it hands out again writes its counts between the sender's headers.
    counted = {"x-attempt": 2, "x-delivery-count": 3, "x-acquired-count": 4}
    publish(broker, [message("the next one", headers=counted)])
    subscription = broker.subscribe("work", 10)
    came: list[Delivery] = []
    try:
        while len(came) <= len(HOSTILE) and (more := subscription.receive(10, SOON)):
            subscription.ack(more)
            came += more
    finally:
        subscription.close()
    assert ids(came) == [*HOSTILE, "the next one"]
    assert came[-1].headers == {"x-attempt": 2}
