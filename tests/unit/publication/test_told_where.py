"""Events for vendors: said where there are vendors, sent once, and configured without contradiction."""

from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection, func, select

from pipeline import outbox
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import TopologyError
from pipeline.cli.main import main
from pipeline.clock import SystemClock
from pipeline.consumer import Consumer
from pipeline.envelope import Envelope, enclose
from pipeline.events import Event, FileRejected, RecordParsed
from pipeline.outcome import Outcome
from pipeline.runner import Runner
from pipeline.settings import SettingsError, load
from pipeline.storage import Store
from pipeline.storage.schema import outbox as outbox_table
from pipeline.topology import LISTENS, Exchange, Reader, Role, build, work_queue
from pipeline.vendors import Vendor
from tests.support.publication import CONFIGURATION
from tests.support.vendors import table

NOW = datetime(2026, 5, 12, tzinfo=UTC)


class Rejecting(Consumer[Event, None]):
    role: ClassVar[Role] = Role.PARSING
    listens: ClassVar[tuple[type[Event], ...]] = (RecordParsed,)

    def prepare(self, envelope: Envelope) -> Event:
        return envelope.event

    def gather(self, connection: Connection, batch: object) -> None:
        return None

    def decide(self, prepared: Event, facts: None, now: datetime) -> Outcome:
        return Outcome("rejected", (FileRejected(clinic="c1", file_id="f", reason="empty"),))

    def apply(self, connection: Connection, outcomes: object, now: datetime) -> None:
        pass


@pytest.mark.parametrize(("has_vendors", "said"), [(False, 0), (True, 1)])
def test_what_only_vendors_hear_is_said_only_where_there_are_some(
    tmp_path: Path, store: Store, *, has_vendors: bool, said: int
) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    broker.declare(build(()))
    runner = Runner(Rejecting(), store, broker, SystemClock(), has_vendors=has_vendors)
    runner._publisher = broker.publisher()
    event = RecordParsed(clinic="c1", file_id="f", revision=1, kind="face", terminal="t1")
    runner._transact([(enclose(event, NOW), event)])
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(outbox_table)) == said
    broker.close()


def test_what_was_sent_to_vendors_is_not_sent_again_for_a_known_event(store: Store) -> None:
    cause = enclose(RecordParsed(clinic="c1", file_id="f", revision=1, kind="face", terminal="t1"), NOW)
    events = [(FileRejected(clinic="c1", file_id=name, reason="empty"), cause) for name in ("one", "two")]
    with store.transaction() as connection:
        written = outbox.add(connection, Role.PUBLICATION, events, NOW, SystemClock().now() - NOW)
        outbox.mark_sent(connection, [written[0].id], NOW)
        left = outbox.of_causes(connection, Role.PUBLICATION, [cause.id], is_alone=True, only_unsent=True)
    assert [each.id for each in left] == [written[1].id]


def test_publication_hears_nothing_where_there_are_no_vendors() -> None:
    def heard(*readers: Reader) -> set[tuple[str, str]]:
        bindings = build((), readers).bindings
        return {(b.exchange, b.key) for b in bindings if b.queue == work_queue(Role.PUBLICATION)}

    events = set(LISTENS[Role.PUBLICATION])
    assert not heard() & events
    assert events <= heard(Reader("acme", Vendor(id="acme", clinics="*").retention))


def test_a_vendor_s_stream_takes_only_what_carries_its_name() -> None:
    topology = build((), [Reader(name, Vendor(id=name, clinics="*").retention) for name in ("acme", "beta")])
    bindings = {b.queue: b.key for b in topology.bindings if b.exchange == Exchange.PUBLIC}
    assert bindings == {"vendor.acme": "*.*.acme.*.*.*", "vendor.beta": "*.*.beta.*.*.*"}


def test_the_embedded_broker_has_no_streams(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path / "broker.db")
    with pytest.raises(TopologyError):
        broker.declare(build((), [Reader("acme", Vendor(id="acme", clinics="*").retention)]))
    broker.close()


@pytest.mark.parametrize(
    ("tables", "fault"),
    [
        (table("a") + table("a"), "vendors: id 'a' is given twice"),
        (table("a", clinics=["c9"]), "vendors.a: there is no clinic 'c9'"),
        (table("a", records=["face"]), "vendors.a: records are granted, but no public_key_file is named"),
        (table("a", events=["file.captured"]), "is none of"),
        (table("a", kinds=["OQSsiquc"]), "is none of"),
        (table("a", retention="1 week"), "must be like 90s"),
    ],
    ids=["twice", "clinic", "key", "event", "kind", "retention"],
)
def test_a_vendor_that_cannot_be_meant_is_named(tmp_path: Path, tables: str, fault: str) -> None:
    (tmp_path / "onshi.toml").write_text(CONFIGURATION + tables)
    with pytest.raises(SettingsError, match=fault.replace("(", r"\(")):
        load(tmp_path / "onshi.toml")


def test_vendors_without_rabbitmq_are_a_fault_of_the_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "onshi.toml"
    config.write_text(CONFIGURATION.replace("amqp://127.0.0.1:1/", "embedded:") + table("acme"))
    assert main(["run", "-c", str(config)]) == 2
    assert "vendors: need RabbitMQ" in capsys.readouterr().err
