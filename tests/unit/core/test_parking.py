"""What is parked, byte for byte and under which name, and what follows when it is replayed or given up?"""

from dataclasses import replace

import pytest
from sqlalchemy import func, select

from pipeline import parking
from pipeline.broker.port import Delivery, OutMessage
from pipeline.envelope import BATCH_TYPE, enclose, pack, write
from pipeline.errors import PermanentError
from pipeline.events import FileVanished, RecordParsed
from pipeline.fuse import MOST_IN_A_ROW
from pipeline.storage.schema import files, inbox, parked
from pipeline.topology import Role, parked_queue, work_queue
from tests.support.answering import NOW, captured, count, file_row, parked_reasons, running, send
from tests.support.eventually import eventually

HOSTILE = {
    "counts its own attempts": {"headers": {"x-attempt": "many", "x-reason": "r" * 99, "x-routing-key": "k" * 999}},
    "nested too deep": {"content_type": BATCH_TYPE, "body": b'[{"data":' + b"[" * 200_000},
    "of a strange type": {"content_type": "t" * 900},
}
PARSED = {"clinic": "c001", "file_id": "f", "revision": 1, "kind": "face", "terminal": "t1"}
TRUE_KEY = {"x-routing-key": "file.c001.t1.captured.v1"}


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
