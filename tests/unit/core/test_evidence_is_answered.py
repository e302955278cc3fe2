"""Whatever becomes of an edge's evidence, the edge is told that the centre has it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.deletion import Deletion
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.clock import SystemClock
from pipeline.envelope import enclose, pack, read, write
from pipeline.events import EVENTS, Event, EvidenceStored, FileErased, FileRefused, FileVanished
from pipeline.runner import Runner
from pipeline.storage.schema import parked
from pipeline.topology import Edge, Exchange, build, orders_queue
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.copies import FILE, add_copy, add_file, copy_id, erased
from tests.support.edge_report import edge_report
from tests.support.eventually import eventually

NOW = datetime.now(UTC)


class Desk:
    def __init__(self, root: Path) -> None:
        settings = make_settings(root)
        self.centre = Centre(settings, make_keyring(root, settings, NOW), make_store(f"sqlite:///{root}/onshi.db"))
        self.broker = EmbeddedBroker(root / "broker.db")
        self.broker.declare(build(settings.edges))
        self.answered: list[str] = []

    def say(self, *events: Event) -> None:
        publisher = self.broker.publisher()
        publisher.publish_confirmed(pack(write(enclose(event, NOW)) for event in events))
        publisher.close()

    def hear(self) -> list[str]:
        ear = self.broker.subscribe(orders_queue(Edge("c1", "t1")), 100)
        deliveries = ear.receive(100, timedelta(0))
        heard = [envelope.event for one in deliveries for envelope in read(one)]
        self.answered += [event.evidence_id for event in heard if isinstance(event, EvidenceStored)]
        ear.ack(deliveries)
        ear.close()
        return self.answered

    @contextmanager
    def open(self) -> Iterator[None]:
        stop = threading.Event()
        deletion = Deletion(self.centre.settings, self.centre.keyring)
        runner = Runner(deletion, self.centre.store, self.broker, SystemClock())
        thread = threading.Thread(target=runner.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(20)
            assert not thread.is_alive()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path)
    yield made
    made.broker.close()
    made.centre.store.close()


def refused() -> FileRefused:
    place = {"clinic": "c1", "edge": "t1", "file_id": FILE, "copy_id": copy_id("a")}
    return FileRefused(**place, reason="too_large", size=9, sealed_name=b"", seen_at=NOW)


def test_evidence_is_answered_each_time_it_is_said(desk: Desk) -> None:
    with desk.open():
        desk.say(refused())
        eventually(lambda: desk.hear() == [refused().id])
        desk.say(refused())
        eventually(lambda: desk.hear() == [refused().id] * 2)


def test_evidence_that_is_set_aside_is_answered_when_it_is_in_the_store(desk: Desk) -> None:
    add_file(desk.centre)
    add_copy(desk.centre)
    foreign = FileVanished(clinic="c1", edge="t1", file_id="another", copy_id=copy_id("a"), noticed_at=NOW)
    with desk.open():
        desk.say(foreign)
        eventually(lambda: desk.hear() == [foreign.id])
    assert desk.centre.row(parked)["reason"] == "foreign_copy"


def test_a_report_is_no_evidence_and_is_not_answered(desk: Desk) -> None:
    add_file(desk.centre)
    add_copy(desk.centre)
    with desk.open():
        desk.say(edge_report(NOW), erased())
        eventually(lambda: desk.hear() == [erased().id])


def test_what_an_edge_keeps_until_it_is_answered_is_said_to_the_centre() -> None:
    """And by nobody else: an order is never evidence."""
    kinds = {event.type_name() for event in EVENTS if event.is_evidence}
    assert kinds == {
        *("file.refused", "file.erased", "file.vanished", "erasure.failed", "hold.kept", "hold.missed"),
        *("request.placed", "request.refused", "request.withdrawn"),
    }
    assert {event.exchange for event in EVENTS if event.is_evidence} == {Exchange.INTAKE}
    assert FileErased.is_evidence
