"""Events: one spelling of every name, nothing of a patient in sight."""

import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.broker.port import Delivery, OutMessage
from pipeline.envelope import (
    BATCH_MOST,
    UnreadableMessageError,
    enclose,
    pack,
    read,
    write,
)
from pipeline.events import (
    EVENTS,
    ErasureOrder,
    Event,
    FileCaptured,
    FileStored,
    HoldReleased,
    RecordParsed,
    RequestRefused,
)
from pipeline.topology import CENTRE_ROLES, LISTENS, Exchange

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)


def stored(number: int, edge: str = "t1") -> FileStored:
    return FileStored(clinic="c001", edge=edge, file_id=f"f{number}", copy_id=f"c{number}", stored_at=NOW)


def captured(sealed: bytes = b"\x00\xffCANARY") -> FileCaptured:
    return FileCaptured(
        clinic="c001",
        edge="t1",
        file_id="f",
        copy_id="c",
        kind="face",
        size=1,
        mac="00",
        sealed=sealed,
        seen_at=NOW,
        captured_at=NOW,
    )


def arrived(message: OutMessage) -> Delivery:
    return Delivery(
        "q",
        message.routing_key,
        message.message_id,
        message.body,
        message.headers,
        message.content_type,
        redelivered=False,
        tag=1,
    )


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type_name())
def test_the_class_name_is_the_type(event: type[Event]) -> None:
    words = re.findall(r"[A-Z][a-z]+", event.__name__)
    assert "".join(words).lower() == event.type_name().replace(".", "").replace("_", "")


def matches(pattern: str, key: str) -> bool:
    return bool(re.fullmatch(pattern.replace(".", r"\.").replace("*", r"[^.]+"), key))


def test_every_event_for_the_centre_has_exactly_the_bindings_that_hear_it() -> None:
    bindings = {binding for role in CENTRE_ROLES for binding in LISTENS[role]}
    keys = {(e.exchange, f"{e.subject}.c001.t1.{e.verb}.v{e.major}") for e in EVENTS}
    for exchange, pattern in bindings:
        assert any(matches(pattern, key) and of == exchange for of, key in keys), pattern
    for of, key in keys:
        if of is Exchange.INTAKE:
            assert any(matches(pattern, key) and exchange == of for exchange, pattern in bindings), key


def test_one_event_survives_the_wire_unchanged() -> None:
    envelope = enclose(captured(), NOW)
    (message,) = pack([write(envelope)])
    assert read(arrived(message)) == [envelope]
    assert message.headers["cloudEvents_type"] == "file.captured"
    assert message.message_id == envelope.id


def test_neighbours_of_one_edge_travel_together_and_keep_their_own_ids() -> None:
    envelopes = [enclose(stored(n), NOW) for n in range(BATCH_MOST + 1)] + [enclose(stored(1, edge="t2"), NOW)]
    messages = pack(write(envelope) for envelope in envelopes)
    assert [len(read(arrived(message))) for message in messages] == [BATCH_MOST, 1, 1]
    assert [e for message in messages for e in read(arrived(message))] == envelopes


def test_what_is_for_somebody_else_parts_no_neighbours() -> None:
    parsed = {"clinic": "c001", "revision": 1, "kind": "face", "terminal": "t1"}
    events = [e for n in range(3) for e in (stored(n), RecordParsed(file_id=f"f{n}", **parsed))]
    messages = pack(write(enclose(event, NOW)) for event in events)
    assert [len(read(arrived(message))) for message in messages] == [3, 1, 1, 1]


def test_no_event_overtakes_another_for_the_same_edge() -> None:
    about = {"clinic": "c001", "edge": "t1", "file_id": "f1", "until": NOW}
    orders = [ErasureOrder(copy_id=f"c{n}", order_id="o", preconditions=(), **about) for n in range(3)]
    released = HoldReleased(copy_id="c1", hold_id="h1", **about)
    events = [orders[0], released, orders[1], orders[2]]
    messages = pack(write(enclose(event, NOW)) for event in events)
    assert [e.event for message in messages for e in read(arrived(message))] == events
    assert len(messages) == 3


def test_an_event_repeated_has_the_same_id_and_another_has_another() -> None:
    assert stored(1).id == stored(1).id
    assert len({stored(1).id, stored(2).id, stored(1, edge="t2").id, captured().id}) == 4


def test_a_request_refused_for_another_reason_is_another_event() -> None:
    reasons = ("clock", "clock", "folder")
    made = [RequestRefused(clinic="c001", edge="t1", request_id="r1", reason=reason) for reason in reasons]
    assert len({event.id for event in made}) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda m: {"body": b"not json"},
        lambda m: {"body": b"[]"},
        lambda m: {"headers": {}},
        lambda m: {"headers": {**m.headers, "cloudEvents_type": "file.unheard_of"}},
        lambda m: {"body": m.body.replace(b'"c001"', b'"c002"')},
        lambda m: {"content_type": "application/cloudevents-batch+json", "body": b'[{"id":"x"}]'},
        lambda m: {"headers": {**m.headers, "cloudEvents_time": "2026-05-12T00:15:33"}},
        lambda m: {"headers": {**m.headers, "cloudEvents_causationid": "c" * 37}},
        lambda m: {"headers": {**m.headers, "cloudEvents_traceparent": "x"}},
    ],
    ids=[
        "no_json",
        "no_object",
        "no_attributes",
        "unknown_type",
        "another_clinic",
        "broken_batch",
        "time_of_no_zone",
        "long_cause",
        "no_trace",
    ],
)
def test_a_message_that_is_not_ours_is_refused_without_quoting_it(spoil) -> None:
    (message,) = pack([write(enclose(captured(), NOW))])
    delivery = arrived(message)
    fields = {"body": delivery.body, "headers": delivery.headers, "content_type": delivery.content_type}
    changed = Delivery("q", "k", "m", redelivered=False, tag=1, **{**fields, **spoil(message)})
    with pytest.raises(UnreadableMessageError) as refused:
        read(changed)
    assert "CANARY" not in str(refused.value)


def test_what_is_about_a_file_is_about_no_other_file_whatever_its_sender_says() -> None:
    (message,) = pack([write(enclose(captured(), NOW))])
    message = replace(message, headers={**message.headers, "cloudEvents_correlationid": "another-file"})
    assert read(arrived(message))[0].correlation == captured().file_id


def test_repr_of_event_and_message_shows_no_content() -> None:
    event = captured(b"CANARY")
    (message,) = pack([write(enclose(event, NOW))])
    assert "CANARY" not in f"{event!r}{event}{message!r}{arrived(message)!r}"
    assert "Q0FOQVJZ" not in f"{event!r}{message!r}"
