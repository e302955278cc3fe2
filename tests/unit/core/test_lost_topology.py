"""What is done when the broker has not got what is declared: not yet, or not any more?"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker import watched
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.embedded_tables import Tables
from pipeline.broker.port import BrokerAwayError, OutMessage, TopologyError, UnroutableError
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


@pytest.fixture
def declaring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedBroker]:
    """A broker that stands whole, and a process that has not declared anything on it itself."""
    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    embedded = EmbeddedBroker(tmp_path / "broker.db")
    embedded.declare(build(()))
    made = WatchedBroker(embedded, declares=True)
    yield made
    made.close()


def test_who_declares_publishes_nothing_before_it_has(declaring: WatchedBroker) -> None:
    publisher = declaring.publisher()
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([MESSAGE])
    assert declaring.depth("parsing.retry.10s") == 0
    assert not declaring.missed.is_set()
    declaring.declare(build(()))
    publisher.publish_confirmed([MESSAGE])
    assert declaring.depth("parsing.retry.10s") == 1


def test_a_publisher_waits_for_a_declaration_that_is_under_way(
    declaring: WatchedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "GATE_SECONDS", 60.0)
    sent = threading.Thread(target=declaring.publisher().publish_confirmed, args=([MESSAGE],))
    sent.start()
    declaring.declare(build(()))
    sent.join(60)
    assert declaring.depth("parsing.retry.10s") == 1


def test_who_may_not_declare_waits_for_nobody(tmp_path: Path) -> None:
    embedded = EmbeddedBroker(tmp_path / "broker.db")
    embedded.declare(build(()))
    broker = WatchedBroker(embedded)
    broker.publisher().publish_confirmed([MESSAGE])
    assert broker.depth("parsing.retry.10s") == 1
    broker.close()


class Answering(EmbeddedBroker):
    """Declares nothing, and answers what it is told to."""

    answer: BrokerAwayError | None = None

    def declare(self, topology: Topology) -> None:
        if self.answer is None:
            return super().declare(topology)
        raise self.answer


@pytest.mark.parametrize(
    ("answer", "publishes"), [(TopologyError("it is otherwise"), True), (BrokerAwayError("away"), False)]
)
def test_a_queue_that_stands_otherwise_stops_nobody_and_an_absent_broker_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, answer: BrokerAwayError, publishes: bool
) -> None:
    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    embedded = Answering(tmp_path / "broker.db")
    embedded.declare(build(()))
    embedded.answer = answer
    broker = WatchedBroker(embedded, declares=True)
    with pytest.raises(BrokerAwayError):
        broker.declare(build(()))
    if publishes:
        broker.publisher().publish_confirmed([MESSAGE])
    else:
        with pytest.raises(BrokerAwayError):
            broker.publisher().publish_confirmed([MESSAGE])
    broker.close()


def test_after_an_exchange_was_gone_all_wait_until_everything_is_declared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    broker = WatchedBroker(EmbeddedBroker(tmp_path / "broker.db"), declares=True)
    broker.declare(Topology((), ()))
    first, second = broker.publisher(), broker.publisher()
    with pytest.raises(TopologyError):
        first.publish_confirmed([MESSAGE])
    EmbeddedBroker.declare(broker._broker, build(()))  # type: ignore[arg-type]  # another process, half way
    with pytest.raises(BrokerAwayError, match="not declared yet"):
        second.publish_confirmed([MESSAGE])
    broker.declare(build(()))
    second.publish_confirmed([MESSAGE])
    broker.close()


PARSED = OutMessage(Exchange.EVENTS, "record.c001.f1.parsed.v1", "p1", b"{}")


def wipe(tables: Tables) -> None:
    tables._begin()
    for table in ("exchange", "queue", "binding"):
        tables._db.execute(f"DELETE FROM {table}")
    tables.reload()


def test_who_finds_its_queue_gone_publishes_nothing_into_what_another_process_has_made_by_half(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    whole, embedded = build(()), EmbeddedBroker(tmp_path / "broker.db")
    broker = WatchedBroker(embedded, declares=True)
    broker.declare(whole)
    embedded._writer.do(wipe)
    with pytest.raises(TopologyError):
        broker.subscribe("reconciliation", 1)
    embedded.declare(replace(whole, bindings=tuple(one for one in whole.bindings if one.queue == "reconciliation")))
    broker.subscribe("reconciliation", 1).close()
    with pytest.raises(BrokerAwayError, match="not declared yet"):
        broker.publisher().publish_confirmed([PARSED])
    broker.declare(whole)
    broker.publisher().publish_confirmed([PARSED])
    assert [broker.depth(queue) for queue in ("reconciliation", "consent")] == [1, 1]
    broker.close()


def test_a_queue_that_nobody_declares_any_more_stops_nobody(declaring: WatchedBroker) -> None:
    declaring.declare(build(()))
    with pytest.raises(TopologyError):
        declaring.subscribe("edge.c009.t1", 1)
    declaring.publisher().publish_confirmed([MESSAGE])


def test_what_cannot_be_declared_stops_nobody_however_often_it_is_missed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    embedded = Answering(tmp_path / "broker.db")
    whole = build(())
    embedded.declare(replace(whole, exchanges=tuple(one for one in whole.exchanges if one.name != Exchange.PUBLIC)))
    embedded.answer = TopologyError("it is otherwise")
    broker = WatchedBroker(embedded, declares=True)
    with pytest.raises(TopologyError, match="otherwise"):
        broker.declare(whole)
    with pytest.raises(TopologyError, match=Exchange.PUBLIC):
        broker.publisher().publish_confirmed([OutMessage(Exchange.PUBLIC, "file", "v1", b"{}")])
    broker.publisher().publish_confirmed([MESSAGE])
    assert broker.depth("parsing.retry.10s") == 1
    broker.close()


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


@pytest.mark.parametrize("declares", [True, False])
def test_a_role_publishes_first_when_its_own_process_has_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, declares: bool
) -> None:
    from pipeline.cli.init import configuration, make  # noqa: PLC0415
    from pipeline.cli.roles import Assembly  # noqa: PLC0415

    monkeypatch.setattr(watched, "GATE_SECONDS", 0.05)
    settings = make(tmp_path / "site", configuration())
    broker = settings.broker.model_copy(update={"declare": declares})
    assembly = Assembly(settings.model_copy(update={"broker": broker}), [])
    with pytest.raises(BrokerAwayError, match="not declared yet" if declares else "onshi.retry"):
        assembly._broker.publisher().publish_confirmed([MESSAGE])
    assembly.close()


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
