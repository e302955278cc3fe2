"""However large the messages are: a batch fits into memory, and a batch taken apart loses nothing."""

import gc
import tempfile
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, func, insert, select
from sqlalchemy.exc import DBAPIError

from consumers.consent import Consent
from consumers.forwarding import Forwarding
from consumers.reconciliation import Reconciliation
from pipeline import budget, outbox, parking
from pipeline.broker.arrivals import Arrivals
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import Delivery
from pipeline.cli import session
from pipeline.cli.init import configuration, make
from pipeline.cli.main import RUBBISH
from pipeline.cli.supervise import Part
from pipeline.envelope import enclose
from pipeline.errors import AwayError
from pipeline.events import DeliveryWanted, FileCaptured, RecordParsed, RecordReconciled
from pipeline.storage import Store, open_store, sizes
from pipeline.storage.schema import decisions, files, inbox, parked
from pipeline.topology import Edge, Role, build
from tests.support.answering import Answering, captured, running, send
from tests.support.centre import make_keyring, make_settings
from tests.support.eventually import eventually

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
LARGE = 12_000


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of the real budget."""
    monkeypatch.setattr(budget, "BYTES", 32_000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    opened = open_store(f"sqlite:///{tmp_path}/onshi.db")
    opened.make_schema()
    return opened


def delivery(number: int, body: bytes) -> Delivery:
    return Delivery("q", "k", f"m{number}", body, {}, "application/json", redelivered=False, tag=number)


@pytest.mark.parametrize(
    ("given", "most", "expected"),
    [
        ([], 10, 0),
        ([4, 4, 4], 10, 2),
        ([4, 6, 1], 10, 2),
        ([50, 1], 10, 1),
        ([1, 50, 1], 10, 1),
    ],
    ids=["none", "third-too-many", "exactly-full", "one-larger-passes-alone", "larger-one-waits"],
)
def test_a_batch_takes_what_fits_together_and_always_one(given: list[int], most: int, expected: int) -> None:
    assert list(budget.fitting(enumerate(given), most)) == list(range(expected))


def test_parts_fit_and_leave_nothing_out() -> None:
    given = [20_000, 12_000, 1, 50_000, 5]
    assert list(budget.parts(enumerate(given))) == [[0, 1], [2], [3], [4]]


def test_only_a_batch_of_several_is_too_heavy() -> None:
    budget.check([50], 10)
    budget.check([5, 5], 10)
    with pytest.raises(budget.TooHeavyError):
        budget.check([5, 6], 10)


def test_what_waits_to_be_taken_is_in_memory_only_as_far_as_the_budget_goes() -> None:
    arrivals, held = Arrivals(most=100), 0
    bodies = [bytes([number]) * 60 for number in range(10)]
    for number, body in enumerate(bodies):
        arrivals.put(delivery(number, body))
        held = max(held, arrivals.in_memory)
    assert (len(arrivals), held) == (10, 60)
    assert [one.body for _ in range(10) for one in arrivals.take(1)] == bodies
    assert (len(arrivals), arrivals.in_memory) == (0, 0)
    arrivals.put(delivery(11, b"again"))
    assert arrivals.take(5)[0].body == b"again"
    arrivals.close()


def test_a_full_disk_keeps_waiting_messages_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    arrivals = Arrivals(most=10)
    for number in range(3):
        arrivals.put(delivery(number, b"x" * 10))
    assert [one.body for one in arrivals.take(3)] == [b"x" * 10] * 3


def wanted(number: int) -> DeliveryWanted:
    return DeliveryWanted(clinic="c001", file_id=f"f{number}", revision=1, sealed=b"x" * (LARGE * 3 // 4))


def test_what_was_left_unsent_is_claimed_in_parts_that_fit(store: Store) -> None:
    with store.transaction() as connection:
        outbox.add(connection, Role.FORWARDING, [(wanted(n), None) for n in range(4)], NOW - MINUTE, MINUTE)
    claimed: list[list[str]] = []
    for _ in range(2):
        with store.transaction() as connection:
            events = outbox.claim_unsent(connection, NOW)
            outbox.mark_sent(connection, [event.id for event in events], NOW)
        assert sum(len(event.body) for event in events) <= budget.BYTES
        claimed.append([event.id for event in events])
    assert [one for part in claimed for one in part] == [wanted(n).id for n in range(4)]


def test_what_known_events_led_to_is_too_heavy_for_a_batch_and_not_for_one(store: Store) -> None:
    causes = [enclose(captured(f"c{n}"), NOW) for n in range(3)]
    with store.transaction() as connection:
        pairs = [(wanted(n), cause) for n, cause in enumerate(causes)]
        outbox.add(connection, Role.FORWARDING, pairs, NOW, MINUTE)
    ids = [cause.id for cause in causes]
    with store.reading() as connection, pytest.raises(budget.TooHeavyError):
        outbox.of_causes(connection, Role.FORWARDING, ids, is_alone=False)
    with store.reading() as connection:
        assert len(outbox.of_causes(connection, Role.FORWARDING, ids[:1], is_alone=True)) == 1


def test_replays_come_in_parts_that_fit(store: Store) -> None:
    with store.transaction() as connection:
        for number in range(4):
            row = {"parked_id": f"p{number}", "event_id": f"e{number}", "body": b"x" * LARGE, "state": "replaying"}
            about = {"consumer": "parsing", "type": "t", "reason": "r", "attempts": 1, "routing_key": "k"}
            form = {"content_type": "application/json", "headers": "{}", "parked_at": NOW + number * MINUTE}
            connection.execute(insert(parked).values(**row, **about, **form))
    replayed: list[str] = []
    for _ in range(2):
        with store.transaction() as connection:
            found = parking.replays(connection, Role.PARSING)
            assert sum(len(message.body) for message in found.values()) <= budget.BYTES
            parking.mark_replayed(connection, list(found), NOW)
        replayed += found
    assert replayed == ["p0", "p1", "p2", "p3"]


def test_files_are_weighed_before_their_contents_are_read(store: Store) -> None:
    about = {"clinic": "c1", "terminal": "t1", "kind": "face", "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}
    with store.transaction() as connection:
        for number in range(3):
            content = b"x" * LARGE if number < 2 else None
            row = {"file_id": f"f{number}", "outcome": "pending", "sealed_original": content, "sealed_record": content}
            connection.execute(insert(files).values(**row, **about))
    with store.reading() as connection:
        sizes.check(connection, ["f0"], files.c.sealed_original, files.c.sealed_record)
        sizes.check(connection, ["f0", "f1", "f2"], files.c.sealed_original)
        with pytest.raises(budget.TooHeavyError):
            sizes.check(connection, ["f0", "f1", "f2"], files.c.sealed_original, files.c.sealed_record)


@dataclass
class Weighing(Answering):
    """Its facts are a third of the budget for each event."""

    tried: list[int] = field(default_factory=list)

    def gather(self, connection: Connection, batch: Sequence[FileCaptured]) -> None:
        self.tried.append(len(batch))
        budget.check([10_000] * len(batch))
        super().gather(connection, batch)


def test_a_batch_whose_facts_are_too_heavy_is_halved_and_loses_nothing(tmp_path: Path, store: Store) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    broker.declare(build([Edge("c001", "t1")]))
    consumer = Weighing()
    send(broker, *(captured(f"c{n}") for n in range(40)))
    with running(consumer, store, broker):
        eventually(lambda: handled(store) == 40)
    broker.close()
    store.close()
    assert sorted(consumer.applied) == sorted(f"c{n}" for n in range(40))
    assert max(consumer.tried) > 3
    assert max(consumer.batches) <= 3


def handled(store: Store) -> int:
    with store.reading() as connection:
        return connection.scalar(select(func.count()).select_from(inbox)) or 0


@pytest.mark.parametrize("role", [Forwarding, Reconciliation, Consent])
def test_a_consumer_weighs_the_files_of_its_batch_before_it_reads_them(
    role: type[Forwarding] | type[Reconciliation] | type[Consent], tmp_path: Path, store: Store
) -> None:
    settings = make_settings(tmp_path)
    consumer = role(settings, make_keyring(tmp_path, settings, NOW))
    about = {"clinic": "c1", "terminal": "t1", "kind": "face", "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}
    with store.transaction() as connection:
        for number in range(3):
            row = {"file_id": f"f{number}", "outcome": "pending", "sealed_record": b"x" * LARGE}
            connection.execute(insert(files).values(**row, **about))
    with store.reading() as connection, pytest.raises(budget.TooHeavyError):
        consumer.gather(connection, [about_file(role, number) for number in range(3)])


def about_file(role: object, number: int) -> Any:
    if role is Forwarding:
        return RecordReconciled(clinic="c1", file_id=f"f{number}", revision=1, needs_review=False)
    return RecordParsed(clinic="c1", file_id=f"f{number}", revision=1, kind="face", terminal="t1")


@pytest.fixture
def as_started() -> Iterator[None]:
    """What `onshi` sets before anything else."""
    before = gc.get_threshold()
    gc.set_threshold(RUBBISH)
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("as_started")
def test_while_the_disk_is_full_only_a_few_failed_attempts_are_in_memory(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    about = {"file_id": "f", "result": 0, "clinic": "c1", "action": "confirm", "staff": "s", "at": NOW}

    def write() -> None:
        with store.transaction() as connection:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")
            connection.execute(insert(decisions).values(decision_id="d", sealed_reason=b"x" * LARGE, **about))

    def fail(stop: threading.Event) -> None:
        for _ in range(200):
            with pytest.raises(AwayError):
                write()
        held.append(sum(isinstance(one, DBAPIError) for one in gc.get_objects()))
        stop.set()

    monkeypatch.setattr(session.Assembly, "parts", lambda _: [Part("failing", fail)])
    session.work(make(tmp_path / "site", configuration()), [], threading.Event())
    assert held[0] < 50, "each holds the batch that it failed with"
