"""The runner: who acknowledges, what is repeated, where failures go."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import ClassVar
from uuid import uuid4

import pytest
from sqlalchemy import Connection, func, select, update

from pipeline import outbox, parking
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import BrokerAwayError, Delivery, OutMessage, Subscription
from pipeline.clock import SystemClock
from pipeline.consumer import Consumer
from pipeline.envelope import BATCH_TYPE, Envelope, enclose, pack, read, write
from pipeline.errors import PermanentError, TransientError
from pipeline.events import Event, FileCaptured, FileStored, FileVanished, RecordParsed, RecordReconciled
from pipeline.fuse import MOST_IN_A_ROW
from pipeline.keyring import NewerRingError
from pipeline.outcome import Outcome
from pipeline.runner import Runner
from pipeline.storage import Store
from pipeline.storage.engine import StoreAwayError
from pipeline.storage.schema import decisions, deliveries, files, inbox, parked, receipts
from pipeline.storage.schema import outbox as outbox_table
from pipeline.topology import DELIVERY_LIMIT, Edge, Role, Tier, orders_queue, parked_queue, retry_queue, work_queue
from tests.support.eventually import eventually

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
QUARTER = timedelta(minutes=15)
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


@pytest.fixture
def consumer() -> Answering:
    return Answering()


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
        return connection.scalar(query) or 0  # type: ignore[call-overload,no-any-return]


def file_row(file_id: str, outcome: str, revision: int = 1) -> dict[str, object]:
    about = {"file_id": file_id, "clinic": "c001", "terminal": "t1", "kind": "face", "outcome": outcome}
    return {**about, "revision": revision, "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}


def parked_reasons(store: Store) -> dict[str, str]:
    with store.reading() as connection:
        return {
            row.correlation: row.reason for row in connection.execute(select(parked).where(parked.c.state == "parked"))
        }


def test_an_event_is_handled_answered_and_acknowledged(consumer, store, broker) -> None:
    send(broker, *(captured(f"c{n}") for n in range(30)))
    with running(consumer, store, broker):
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 30)
        eventually(lambda: broker.depth(ORDERS) > 0)
    assert sorted(answers(broker)) == sorted(f"c{n}" for n in range(30))
    assert broker.depth(work_queue(Role.PARSING)) == 0
    assert max(consumer.batches) > 1, "a backlog is worked off in batches"


def test_a_repeated_event_has_no_second_effect_but_its_answer_is_sent_again(consumer, store, broker) -> None:
    with running(consumer, store, broker):
        send(broker, captured("c1"))
        eventually(lambda: answers(broker) == ["c1"])
        send(broker, captured("c1"))
        eventually(lambda: answers(broker) == ["c1"])
    assert consumer.applied == ["c1"]


def test_what_died_between_commit_and_publish_is_sent_by_the_relay(consumer, store, broker) -> None:
    long_ago = datetime.now(UTC) - timedelta(minutes=1)
    answer = FileStored(clinic="c001", edge="t1", file_id="f", copy_id="left", stored_at=NOW)
    with store.transaction() as connection:
        outbox.add(connection, Role.CONSENT, [(answer, None)], long_ago, timedelta(minutes=15))
    with running(consumer, store, broker):
        eventually(lambda: answers(broker) == ["left"])
        eventually(lambda: count(store, select(func.count()).where(outbox_table.c.sent_at.is_not(None))) == 1)


@pytest.mark.parametrize("in_prepare", [True, False], ids=["in_prepare", "in_decide"])
def test_one_poison_event_is_parked_byte_for_byte_and_takes_no_neighbour_along(
    consumer, store, broker, in_prepare
) -> None:
    consumer.in_prepare = in_prepare
    consumer.fail["poison"] = lambda: PermanentError("poison")
    send(broker, captured("a"), captured("poison"), captured("b"))
    with running(consumer, store, broker):
        eventually(lambda: parked_reasons(store) == {"file-poison": "poison"})
        eventually(lambda: sorted(consumer.applied) == ["a", "b"])
    with store.reading() as connection:
        row = connection.execute(select(parked)).one()
    assert row.body == captured("poison").model_dump_json().encode()


def test_a_bug_is_parked_under_its_name_and_never_under_its_text(consumer, store, broker) -> None:
    consumer.fail["bug"] = lambda: RuntimeError("CANARY 見本　花子")
    send(broker, captured("bug"))
    with running(consumer, store, broker):
        eventually(lambda: parked_reasons(store) == {"file-bug": "bug_RuntimeError"})
    with store.reading() as connection:
        assert "CANARY" not in connection.execute(select(parked)).one().headers


def test_a_bug_that_only_a_whole_batch_has_is_told_though_everything_is_done_one_by_one(
    consumer, store, broker, monkeypatch, caplog
) -> None:
    def apply(connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        if len(outcomes) > 1:
            raise RuntimeError("CANARY 見本　花子")
        Answering.apply(consumer, connection, outcomes, now)

    monkeypatch.setattr(consumer, "apply", apply)
    first = broker.subscribe(work_queue(Role.PARSING), 10)
    send(broker, captured("a"), captured("b"))
    taken = eventually(lambda: first.receive(2, timedelta(0)))
    runner = Runner(consumer, store, broker, SystemClock())
    runner._publisher = broker.publisher()
    with caplog.at_level("WARNING", "onshi.runner"):
        runner._handle(taken)
    assert sorted(consumer.applied) == ["a", "b"]
    (told,) = [one for one in caplog.records if one.message == "batch taken apart"]
    assert (told.consumer, told.count) == ("parsing", 2)
    first.close()


def test_a_transient_failure_that_lasts_goes_to_the_first_tier_and_is_not_lost(
    consumer, store, broker, monkeypatch
) -> None:
    monkeypatch.setattr("pipeline.runner.LOCAL_RETRY_SECONDS", 0.1)
    consumer.fail["later"] = lambda: TransientError("busy")
    send(broker, captured("later"))
    with running(consumer, store, broker):
        eventually(lambda: broker.depth(retry_queue(Role.PARSING, Tier.SECONDS_10)) == 1)
    assert parked_reasons(store) == {}
    assert broker.depth(work_queue(Role.PARSING)) == 0


def test_a_failure_that_passes_within_seconds_needs_no_tier(consumer, store, broker) -> None:
    tries: list[int] = []

    def once() -> Exception:
        tries.append(1)
        consumer.fail.clear()
        return TransientError("busy")

    consumer.fail["soon"] = once
    send(broker, captured("soon"))
    with running(consumer, store, broker):
        eventually(lambda: consumer.applied == ["soon"])
    assert tries == [1]


def test_a_parked_event_that_is_replayed_is_handled_once_more_from_the_start(consumer, store, broker) -> None:
    consumer.fail["mended"] = lambda: PermanentError("parser_too_old")
    send(broker, captured("mended"))
    with running(consumer, store, broker):
        eventually(lambda: "file-mended" in parked_reasons(store))
        consumer.fail.clear()
        with store.transaction() as connection:
            ids = connection.scalars(select(parked.c.parked_id)).all()
            assert parking.ask_replay(connection, ids) == 1
        eventually(lambda: consumer.applied == ["mended"])
        eventually(lambda: count(store, select(func.count()).where(parked.c.state == "replayed")) == 1)


def test_what_is_decided_to_be_parked_is_written_and_answered_and_new_again_on_replay(consumer, store, broker) -> None:
    consumer.park["half"] = "chart_refused"
    send(broker, captured("half"))
    with running(consumer, store, broker):
        eventually(lambda: parked_reasons(store) == {"file-half": "chart_refused"})
        assert consumer.applied == ["half"]
        assert count(store, select(func.count()).select_from(inbox)) == 0


def test_a_message_that_is_no_event_is_parked_too(consumer, store, broker) -> None:
    publisher = broker.publisher()
    publisher.publish_confirmed([OutMessage("onshi.intake", "file.c001.t1.captured.v1", "m1", b"\x00garbage")])
    publisher.close()
    send(broker, captured("good"))
    with running(consumer, store, broker):
        eventually(lambda: count(store, select(func.count()).where(parked.c.type == "unreadable")) == 1)
        eventually(lambda: consumer.applied == ["good"])


HOSTILE = {
    "counts its own attempts": {"headers": {"x-attempt": "many", "x-reason": "r" * 99, "x-routing-key": "k" * 999}},
    "nested too deep": {"content_type": BATCH_TYPE, "body": b'[{"data":' + b"[" * 200_000},
    "of a strange type": {"content_type": "t" * 900},
}


@pytest.mark.parametrize("fields", HOSTILE.values(), ids=HOSTILE)
def test_a_message_made_to_break_a_role_is_parked_and_the_next_is_handled(consumer, store, broker, fields) -> None:
    publisher = broker.publisher()
    key, body = captured("x").routing_key, fields.get("body", b"\x00garbage")
    publisher.publish_confirmed([OutMessage("onshi.intake", key, "m1", **{**fields, "body": body})])
    publisher.close()
    send(broker, captured("good"))
    with running(consumer, store, broker):
        eventually(lambda: consumer.applied == ["good"])
        eventually(lambda: count(store, select(func.count()).where(parked.c.type == "unreadable")) == 1)
    with store.reading() as connection:
        row = connection.execute(select(parked)).one()
    assert (row.reason, row.attempts, row.routing_key) == ("unreadable_message", 1, key)
    assert len(row.content_type) <= 60


def test_a_copy_of_ones_own_event_sent_to_another_role_is_no_bug_of_that_role(consumer, store, broker) -> None:
    (message,) = pack([write(enclose(RecordParsed(**PARSED), NOW))])
    publisher = broker.publisher()
    publisher.publish_confirmed([replace(message, exchange="onshi.return", routing_key="parsing")])
    publisher.close()
    with running(consumer, store, broker):
        eventually(lambda: list(parked_reasons(store).values()) == ["unreadable_message"])


PARSED = {"clinic": "c001", "file_id": "f", "revision": 1, "kind": "face", "terminal": "t1"}


def test_a_forged_message_that_is_replayed_is_still_forged(consumer, store, broker) -> None:
    (message,) = pack([write(enclose(captured("forged"), NOW))])
    forged = replace(message, routing_key="file.c002.t1.captured.v1", headers={**message.headers, **TRUE_KEY})
    publisher = broker.publisher()
    publisher.publish_confirmed([forged])
    publisher.close()
    with running(consumer, store, broker):
        is_parked = select(func.count()).where(parked.c.state == "parked")
        eventually(lambda: count(store, is_parked) == 1)
        with store.transaction() as connection:
            assert parking.ask_replay(connection, connection.scalars(select(parked.c.parked_id)).all()) == 1
        eventually(lambda: count(store, is_parked) == 1 or consumer.applied)
    assert consumer.applied == []


TRUE_KEY = {"x-routing-key": "file.c001.t1.captured.v1"}


def test_giving_up_what_one_clinic_said_of_another_s_file_ends_nothing_there(store) -> None:
    message = {"consumer": "forwarding", "correlation": "f", "type": "delivery.done", "reason": "foreign_clinic"}
    kept = {"attempts": 1, "routing_key": "k", "content_type": "", "headers": "{}", "body": b"", "parked_at": NOW}
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("f", "pending")))
        for clinic in ("c002", "c001"):
            row = {"parked_id": clinic, "event_id": clinic, "clinic": clinic, "state": "parked"}
            connection.execute(parked.insert().values(**message, **kept, **row))
            parking.discard(connection, [clinic], "s1", lambda _: b"", NOW)
            outcome = connection.scalar(select(files.c.outcome))
            assert outcome == ("pending" if clinic == "c002" else "rejected")


def test_a_consumer_that_parks_everything_stops_and_keeps_the_rest_in_its_queue(consumer, store, broker) -> None:
    names = [f"c{n}" for n in range(MOST_IN_A_ROW * 4)]
    consumer.fail = dict.fromkeys(names, lambda: RuntimeError("bad release"))
    send(broker, *(captured(name) for name in names))
    with running(consumer, store, broker) as runner:
        eventually(lambda: runner.pulse.why_not_ready == "fuse")
        eventually(lambda: len(parked_reasons(store)) == MOST_IN_A_ROW)
    assert broker.depth(work_queue(Role.PARSING)) == len(names) - MOST_IN_A_ROW


def test_two_instances_share_a_queue_and_each_event_has_one_effect(store, broker) -> None:
    first, second = Answering(), Answering()
    with running(first, store, broker), running(second, store, broker):
        for _ in range(3):
            send(broker, *(captured(f"c{n}") for n in range(60)))
        eventually(lambda: broker.depth(work_queue(Role.PARSING)) == 0)
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 60)
    with store.reading() as connection:
        effects = list(connection.scalars(select(decisions.c.action)))
    assert sorted(effects) == sorted(f"c{n}" for n in range(60))
    assert parked_reasons(store) == {}


def test_two_events_of_one_key_never_share_a_batch(store, broker) -> None:
    class OneKey(Answering):
        def key(self, prepared: FileCaptured) -> str:
            return "same"

    consumer = OneKey()
    send(broker, *(captured(f"c{n}") for n in range(10)))
    with running(consumer, store, broker):
        eventually(lambda: len(consumer.applied) == 10)
    assert set(consumer.batches) == {1}


def test_an_open_file_is_spoken_of_again_and_a_finished_one_is_not(store) -> None:
    events = [
        RecordParsed(clinic="c001", file_id=name, revision=1, kind="face", terminal="t1") for name in ("open", "done")
    ]
    with store.transaction() as connection:
        connection.execute(files.insert(), [file_row("open", "pending"), file_row("done", "delivered")])
        connection.execute(receipts.insert().values(file_id="done", consumer="consent", result="done", at=NOW))
        outbox.add(connection, Role.PARSING, [(event, None) for event in events], NOW, timedelta(minutes=15))
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=14), QUARTER) == []
        again = outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=16), QUARTER)
        assert [event.correlation for event in again] == ["open"]
        assert outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=30), QUARTER) == []
        assert len(outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=80), QUARTER)) == 1


def test_a_clock_that_was_set_back_a_day_delays_neither_the_unsent_nor_the_repetitions(store) -> None:
    from pipeline.events import RecordParsed  # noqa: PLC0415
    from pipeline.storage.schema import files  # noqa: PLC0415

    about = {"clinic": "c001", "terminal": "t1", "kind": "face", "outcome": "pending", "revision": 1, "suffix": ".xml"}
    event = RecordParsed(clinic="c001", file_id="open", revision=1, kind="face", terminal="t1")
    yesterday = NOW - timedelta(hours=25)
    with store.transaction() as connection:
        connection.execute(files.insert(), [{"file_id": "open", "captured_at": NOW, "stored_at": NOW, **about}])
        outbox.add(connection, Role.PARSING, [(event, None)], NOW, QUARTER)
        assert len(outbox.claim_unsent(connection, yesterday)) == 1
        assert outbox.claim_unsent(connection, yesterday) == []
        outbox.mark_sent(connection, list(connection.scalars(select(outbox_table.c.event_id))), yesterday)
        assert len(outbox.to_repeat(connection, Role.PARSING, yesterday, QUARTER)) == 1
        assert outbox.to_repeat(connection, Role.PARSING, yesterday, QUARTER) == []


def test_what_was_sent_long_ago_is_purged_unless_its_file_is_still_open(store) -> None:
    about = {
        "clinic": "c001",
        "terminal": "t1",
        "kind": "face",
        "outcome": "delivered",
        "revision": 1,
        "suffix": ".xml",
    }
    times = {"captured_at": NOW, "stored_at": NOW}
    events = [
        FileStored(clinic="c001", edge="t1", file_id=name, copy_id=name, stored_at=NOW) for name in ("open", "settled")
    ]
    with store.transaction() as connection:
        connection.execute(
            files.insert(),
            [
                {**about, **times, "file_id": "open", "settled_at": None},
                {**about, **times, "file_id": "settled", "settled_at": NOW},
            ],
        )
        outbox.add(connection, Role.PARSING, [(event, None) for event in events], NOW, timedelta(minutes=15))
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=30)) == 0, "never sent"
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=13)) == 0
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=15)) == 1
        assert connection.scalar(select(outbox_table.c.correlation)) == "open"


@pytest.mark.parametrize("outcome", ["delivered", "not_due"])
def test_a_record_that_consent_never_heard_of_is_said_again_though_the_chart_has_it(store, outcome: str) -> None:
    event = RecordParsed(clinic="c001", file_id="f1", revision=1, kind="face", terminal="t1")
    later = [NOW + timedelta(minutes=minutes) for minutes in (16, 80, 150)]
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("f1", outcome, revision=1)))
        outbox.add(connection, Role.PARSING, [(event, None)], NOW, timedelta(minutes=15))
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert len(outbox.to_repeat(connection, Role.PARSING, later[0], QUARTER)) == 1
        assert len(outbox.to_repeat(connection, Role.PARSING, later[1], QUARTER)) == 1
        connection.execute(receipts.insert().values(file_id="f1", consumer="consent", result="done", at=NOW))
        assert outbox.to_repeat(connection, Role.PARSING, later[2], QUARTER) == []


def test_a_decision_that_the_chart_has_not_confirmed_is_said_again_though_an_older_one_was_delivered(store) -> None:
    event = RecordReconciled(clinic="c001", file_id="f1", revision=2, needs_review=False)
    delivery = {"file_id": "f1", "clinic": "c001", "wanted_revision": 1, "state": "done", "wanted_at": NOW}
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("f1", "delivered", revision=2)))
        connection.execute(receipts.insert().values(file_id="f1", consumer="consent", result="done", at=NOW))
        connection.execute(deliveries.insert().values(**delivery, done_revision=1))
        outbox.add(connection, Role.RECONCILIATION, [(event, None)], NOW, timedelta(minutes=15))
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert len(outbox.to_repeat(connection, Role.RECONCILIATION, NOW + timedelta(minutes=16), QUARTER)) == 1
        connection.execute(update(deliveries).values(done_revision=2))
        assert outbox.to_repeat(connection, Role.RECONCILIATION, NOW + timedelta(minutes=80), QUARTER) == []


def test_a_store_that_is_away_for_long_burns_no_attempt(consumer, store, broker, monkeypatch) -> None:
    probes = 0

    def away() -> Exception:
        nonlocal probes
        probes += 1
        return StoreAwayError("locked")

    monkeypatch.setattr("pipeline.runner.FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr("pipeline.runner.PROBE_MOST_SECONDS", 0.002)
    consumer.fail = {"c1": away}
    send(broker, captured("c1"))
    with running(consumer, store, broker):
        eventually(lambda: probes > 3 * DELIVERY_LIMIT, 20)
        consumer.fail = {}
        eventually(lambda: consumer.applied == ["c1"], 20)
    assert parked_reasons(store) == {}
    assert broker.depth(parked_queue(Role.PARSING)) == 0


def test_a_batch_that_the_broker_parked_stays_whole_when_its_first_event_is_parked_alone(store) -> None:
    def set_aside(*names: str) -> Delivery:
        events = [FileVanished(clinic="c001", edge="t1", file_id=n, copy_id=n, noticed_at=NOW) for n in names]
        (message,) = pack(write(enclose(event, NOW)) for event in events)
        return Delivery(
            queue=parked_queue(Role.DELETION),
            routing_key=Role.DELETION,
            message_id=message.message_id,
            body=message.body,
            headers=message.headers,
            content_type=message.content_type,
            redelivered=False,
            tag=1,
        )

    for delivery in (set_aside("a", "b"), set_aside("a")):
        with store.transaction() as connection:
            parking.keep(connection, Role.DELETION, [delivery], NOW)
    with store.reading() as connection:
        bodies = b"".join(connection.scalars(select(parked.c.body)))
    assert b'"copy_id":"b"' in bodies


def test_a_broker_that_is_away_for_long_is_no_reason_to_restart_the_process(
    consumer, store, broker, monkeypatch
) -> None:
    def away(queue: str, prefetch: int) -> Subscription:
        raise BrokerAwayError("no node")

    monkeypatch.setattr("pipeline.runner.FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(broker, "subscribe", away)
    with running(consumer, store, broker) as runner:
        for _ in range(3):
            since = runner.pulse._beat_at
            eventually(lambda since=since: runner.pulse._beat_at > since, 5)


def test_a_message_in_hand_while_the_store_is_away_is_given_back_at_a_stop(consumer, store, broker) -> None:
    consumer.fail = {"c1": lambda: StoreAwayError("locked")}
    send(broker, captured("c1"))
    with running(consumer, store, broker) as runner:
        eventually(lambda: runner.pulse.why_not_ready == "away")
    assert broker.depth(work_queue(Role.PARSING)) == 1


def test_what_another_release_wrote_ends_the_consumer_and_parks_nothing(
    consumer: Answering, store: Store, broker: EmbeddedBroker
) -> None:
    send(broker, captured("a"))
    consumer.fail = {"a": NewerRingError}
    for consumer.in_prepare in (True, False):
        stop = threading.Event()
        threading.Timer(5, stop.set).start()
        with pytest.raises(NewerRingError):
            Runner(consumer, store, broker, SystemClock()).run(stop)
        assert broker.depth(parked_queue(Role.PARSING)) == 0
        assert broker.depth(work_queue(Role.PARSING)) == 1
