"""Which consumer does a test give the runner, and how does it look at what came of it?"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import uuid4

from sqlalchemy import Connection, select

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.clock import SystemClock
from pipeline.consumer import Consumer
from pipeline.envelope import Envelope, enclose, pack, read, write
from pipeline.events import Event, FileCaptured, FileStored
from pipeline.outcome import Outcome
from pipeline.runner import Runner
from pipeline.storage import Store
from pipeline.storage.schema import decisions, parked
from pipeline.topology import Edge, Role, orders_queue

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
ORDERS = orders_queue(Edge("c001", "t1"))


def captured(name: str) -> FileCaptured:
    return FileCaptured(
        clinic="c001",
        edge="t1",
        file_id=f"file-{name}",
        copy_id=name,
        kind="face",
        size=1,
        mac="00",
        sealed=b"x",
        seen_at=NOW,
        captured_at=NOW,
    )


@dataclass
class Answering(Consumer[FileCaptured, None]):
    """Answers file.captured with file.stored; a test plants failures by copy id."""

    role: ClassVar[Role] = Role.PARSING
    listens: ClassVar[tuple[type[Event], ...]] = (FileCaptured,)

    fail: dict[str, Callable[[], Exception]] = field(default_factory=dict)
    park: dict[str, str] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    in_prepare: bool = False

    def prepare(self, envelope: Envelope) -> FileCaptured:
        assert isinstance(envelope.event, FileCaptured)
        if self.in_prepare and envelope.event.copy_id in self.fail:
            error = self.fail[envelope.event.copy_id]()
            raise error
        return envelope.event

    def gather(self, connection: Connection, batch: Sequence[FileCaptured]) -> None:
        self.batches.append(len(batch))

    def decide(self, prepared: FileCaptured, facts: None, now: datetime) -> Outcome:
        if prepared.copy_id in self.fail:
            error = self.fail[prepared.copy_id]()
            raise error
        answer = FileStored(clinic="c001", edge="t1", file_id=prepared.file_id, copy_id=prepared.copy_id, stored_at=NOW)
        return Outcome("stored", (answer,), (prepared.copy_id,), self.park.get(prepared.copy_id))

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        done = [str(write_) for outcome in outcomes for write_ in outcome.writes]
        self.applied.extend(done)
        # Rows without a natural key: an effect that happens twice is seen twice.
        about = {"file_id": "f", "result": 0, "clinic": "c001", "staff": "s", "sealed_reason": b"", "at": now}
        for copy_id in done:
            connection.execute(decisions.insert().values(decision_id=str(uuid4()), action=copy_id[:10], **about))


def send(broker: EmbeddedBroker, *events: Event) -> None:
    publisher = broker.publisher()
    publisher.publish_confirmed(pack(write(enclose(event, NOW)) for event in events))
    publisher.close()


@contextmanager
def running(consumer: Answering, store: Store, broker: EmbeddedBroker, *, is_shared: bool = False) -> Iterator[Runner]:
    stop = threading.Event()
    runner = Runner(consumer, store, broker, SystemClock(), is_shared=is_shared)
    thread = threading.Thread(target=runner.run, args=(stop,))
    thread.start()
    try:
        yield runner
    finally:
        stop.set()
        thread.join(10)
        assert not thread.is_alive()


def answers(broker: EmbeddedBroker) -> list[str]:
    """Take what lies in the terminal's orders."""
    subscription = broker.subscribe(ORDERS, 1000)
    deliveries = subscription.receive(1000, timedelta(0))
    subscription.ack(deliveries)
    subscription.close()
    return [e.event.copy_id for d in deliveries for e in read(d) if isinstance(e.event, FileStored)]


def count(store: Store, query: object) -> int:
    with store.reading() as connection:
        return connection.scalar(query) or 0  # type: ignore[call-overload]


def file_row(file_id: str, outcome: str, revision: int = 1) -> dict[str, object]:
    about = {"file_id": file_id, "clinic": "c001", "terminal": "t1", "kind": "face", "outcome": outcome}
    return {**about, "revision": revision, "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}


def parked_reasons(store: Store) -> dict[str, str]:
    with store.reading() as connection:
        return {
            row.correlation: row.reason for row in connection.execute(select(parked).where(parked.c.state == "parked"))
        }
