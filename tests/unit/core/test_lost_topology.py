"""What is done when the broker has lost what was declared?"""

import threading
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import OutMessage, TopologyError, UnroutableError
from pipeline.broker.watched import WatchedBroker
from pipeline.sending import publish
from pipeline.topology import Exchange, ExchangeKind, ExchangeSpec, Topology, build
from tests.support.eventually import eventually


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[WatchedBroker]:
    made = WatchedBroker(EmbeddedBroker(tmp_path / "broker.db"))
    yield made
    made.close()


MESSAGE = OutMessage(Exchange.RETRY, "parsing.10s", "m1", b"{}")


def test_a_missing_queue_is_noted_and_one_that_is_there_is_not(broker: WatchedBroker) -> None:
    with pytest.raises(TopologyError):
        broker.subscribe("parsing", 1)
    assert broker.missed.is_set()
    broker.missed.clear()
    broker.declare(build(()))
    broker.subscribe("parsing", 1).close()
    assert not broker.missed.is_set()


@pytest.mark.parametrize(
    "topology", [Topology((), ()), Topology((ExchangeSpec(Exchange.RETRY, ExchangeKind.DIRECT),), ())]
)
def test_a_missing_exchange_or_binding_is_noted(broker: WatchedBroker, topology: Topology) -> None:
    broker.declare(topology)
    publisher = broker.publisher()
    with pytest.raises((TopologyError, UnroutableError)):
        publisher.publish_confirmed([MESSAGE])
    publisher.close()
    assert broker.missed.is_set()


class NowhereToGo:
    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        raise UnroutableError([message.message_id for message in batch])

    def close(self) -> None:
        return


def test_a_vendor_whose_stream_is_not_there_waits_alone() -> None:
    to_vendors = [OutMessage(Exchange.PUBLIC, f"file.c1.{name}.settled.face.v1", name, b"{}") for name in ("a", "b")]
    assert publish(NowhereToGo(), to_vendors) == {"a", "b"}
    with pytest.raises(TopologyError):
        publish(NowhereToGo(), [*to_vendors, MESSAGE])


def test_a_message_that_no_queue_takes_waits_like_for_a_broker_that_is_away() -> None:
    with pytest.raises(TopologyError):
        publish(NowhereToGo(), [MESSAGE])


def test_what_was_lost_is_declared_again_while_the_roles_run(tmp_path: Path) -> None:
    from pipeline.cli.init import configuration, make  # noqa: PLC0415
    from pipeline.cli.roles import Assembly  # noqa: PLC0415

    assembly = Assembly(make(tmp_path / "site", configuration()), [])
    declared: list[Topology] = []
    assembly._broker.declare = declared.append  # type: ignore[method-assign]
    stop = threading.Event()
    (part,) = assembly.parts()
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: len(declared) == 1)
        assembly._broker.missed.set()
        eventually(lambda: len(declared) == 2)
    finally:
        stop.set()
        thread.join()
        assembly.close()
