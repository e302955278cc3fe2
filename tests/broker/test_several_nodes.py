"""A URL of several nodes on a real broker: whoever is away is passed over by every connection."""

import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pipeline.broker import BrokerAwayError
from pipeline.broker import rabbitmq as adapter
from pipeline.broker.rabbitmq import RabbitBroker
from tests.broker.builders import TOPOLOGY, drain, ids, messages, publish
from tests.support.ports import free_port
from tests.support.rabbit import USER, RabbitNode

pytestmark = pytest.mark.rabbitmq


class MuteNode:
    """Takes connections and says nothing, as a machine that hangs. `asked` counts them."""

    def __init__(self) -> None:
        self.asked = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take)
        self._thread.start()

    def _take(self) -> None:
        while True:
            line, _ = self._listener.accept()
            self._taken.append(line)
            if self._taken[-1].recv(1) == b"!":
                return
            self.asked += 1

    def close(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as last:
            last.sendall(b"!")
            self._thread.join()
        for line in (*self._taken, self._listener):
            line.close()


@pytest.fixture
def mute() -> Iterator[MuteNode]:
    node = MuteNode()
    yield node
    node.close()


def url(node: RabbitNode, vhost: str, *ports: int) -> str:
    hosts = ",".join(f"127.0.0.1:{port}" for port in ports)
    return f"amqp://{USER}:{node.password}@{hosts}/{vhost}"


def test_nodes_that_are_away_are_passed_over_by_who_declares_publishes_counts_and_receives(
    rabbit_node: RabbitNode, rabbit_vhost: str
) -> None:
    broker = RabbitBroker(url(rabbit_node, rabbit_vhost, free_port(), rabbit_node.port, free_port()))
    broker.declare(TOPOLOGY)
    for _ in range(5):
        publish(broker, messages(2))
        assert broker.depth("work") == 2
        assert ids(drain(broker, "work", 2)) == ["m0", "m1"]


def test_a_node_that_says_nothing_is_waited_for_once_and_then_left_alone(
    rabbit_node: RabbitNode, rabbit_vhost: str, mute: MuteNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adapter, "CONNECT_SECONDS", 0.3)
    broker = RabbitBroker(url(rabbit_node, rabbit_vhost, mute.port, rabbit_node.port))
    broker.declare(TOPOLOGY)
    while mute.asked == 0:
        broker.depth("work")
    for _ in range(10):
        broker.depth("work")
    assert mute.asked == 1


def test_when_all_are_away_nobody_hangs_and_no_password_is_shown() -> None:
    broker = RabbitBroker(f"amqp://canary:canary@127.0.0.1:{free_port()},127.0.0.1:{free_port()}/v")
    started = time.monotonic()
    with pytest.raises(BrokerAwayError) as away:
        publish(broker, messages(1))
    assert time.monotonic() - started < 20
    assert "canary" not in f"{away.value}{broker!r}"
