"""How is an event written on the wire, and read back?

CloudEvents 1.0: one event in binary mode (attributes in `cloudEvents_*` headers), several of one routing key in the
JSON batch format. A message is at most 100 events and about 1 MiB.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from secrets import token_hex
from typing import Any

from pydantic import ValidationError

from pipeline.broker.port import Delivery, OutMessage
from pipeline.errors import PermanentError
from pipeline.events import BY_TYPE, Event, derive_id
from pipeline.topology import Exchange

BATCH_MOST = 100
BATCH_BYTES = 1 << 20
BATCH_TYPE = "application/cloudevents-batch+json"
SINGLE_TYPE = "application/json"
ATTEMPT_HEADER = "x-attempt"
"""How often a centre consumer has tried this message; our own count, for the broker's differs between versions."""
ATTEMPTS_MOST = 1000
ROUTING_KEY_HEADER = "x-routing-key"
"""Under which key a message came that now goes by its consumer's name (`pipeline.redirection`)."""

UNREADABLE = "unreadable_message"

_PREFIX = "cloudEvents_"
_ID = re.compile(r"[!-~]{1,36}")
_TRACE = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")


class UnreadableMessageError(PermanentError):
    """A message that is no event of ours. Nothing of its body is quoted."""

    def __init__(self, detail: str) -> None:
        super().__init__(UNREADABLE, detail)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An event on its way. `cause` is the id of the event that led to it, `correlation` the file (or its own id)."""

    event: Event
    at: datetime
    cause: str
    correlation: str
    traceparent: str
    id: str = field(init=False)
    """The event's, made once: it is a hash, and everybody who touches an envelope asks for it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", self.event.id)


def enclose(event: Event, at: datetime, cause: Envelope | None = None) -> Envelope:
    """Put an event into its envelope, continuing the trace of what caused it."""
    event_id = event.id
    correlation = getattr(event, "file_id", None) or (cause.correlation if cause else event_id)
    trace = cause.traceparent.split("-")[1] if cause else hashlib.sha256(correlation.encode()).hexdigest()[:32]
    return Envelope(event, at, cause.id if cause else event_id, correlation, f"00-{trace}-{token_hex(8)}-01")


@dataclass(frozen=True, slots=True)
class WireEvent:
    """An event as written: what the outbox keeps and the relay sends, without knowing what it means."""

    id: str
    type: str
    exchange: str
    routing_key: str
    batched: bool
    body: bytes
    at: datetime
    cause: str
    correlation: str
    traceparent: str


def write(envelope: Envelope) -> WireEvent:
    event = envelope.event
    return WireEvent(
        id=envelope.id,
        type=event.type_name(),
        exchange=event.exchange,
        routing_key=event.routing_key,
        batched=event.batched,
        body=event.model_dump_json().encode(),
        at=envelope.at,
        cause=envelope.cause,
        correlation=envelope.correlation,
        traceparent=envelope.traceparent,
    )


def pack(events: Iterable[WireEvent]) -> list[OutMessage]:
    """Turn written events into messages, joining those that may travel together.

    What is for one clinic and edge, or comes from it, keeps its order; only others' events are overtaken.
    """
    return [_message(group) for group in _groups(events)]


def _groups(events: Iterable[WireEvent]) -> Iterable[list[WireEvent]]:
    groups: list[list[WireEvent]] = []
    last: dict[tuple[str, ...], tuple[list[WireEvent], int]] = {}
    for event in events:
        whose = tuple(event.routing_key.split(".")[1:3])
        group, size = last.get(whose, ([], 0))
        joins = bool(group) and event.batched and event.routing_key == group[0].routing_key
        if not joins or len(group) >= BATCH_MOST or size + len(event.body) > BATCH_BYTES:
            group, size = [], 0
            groups.append(group)
        group.append(event)
        last[whose] = (group, size + len(event.body))
    return groups


def _message(group: Sequence[WireEvent]) -> OutMessage:
    first = group[0]
    if not first.batched:
        headers = {f"{_PREFIX}{key}": value for key, value in _attributes(first).items()}
        return OutMessage(first.exchange, first.routing_key, first.id, first.body, headers, SINGLE_TYPE)
    entries = [b'%s,"data":%s}' % (json.dumps(_attributes(e)).encode()[:-1], e.body) for e in group]
    message_id = first.id if len(group) == 1 else derive_id("batch", *(event.id for event in group))
    headers = {f"{_PREFIX}type": first.type}
    body = b"[" + b",".join(entries) + b"]"
    return OutMessage(first.exchange, first.routing_key, message_id, body, headers, BATCH_TYPE)


def _attributes(event: WireEvent) -> dict[str, str]:
    public = {
        "specversion": "1.0",
        "id": event.id,
        "source": f"/onshi/{event.routing_key.split('.')[1]}",
        "type": event.type,
        "time": event.at.astimezone(UTC).isoformat(),
    }
    if event.exchange == Exchange.PUBLIC:
        # What ties events together inside would let two vendors put theirs side by side.
        return public
    return {
        **public,
        "correlationid": event.correlation,
        "causationid": event.cause,
        "traceparent": event.traceparent,
    }


def is_first_hand(delivery: Delivery | OutMessage) -> bool:
    """Say whether it comes from its sender; what the centre sends to itself goes by a consumer's name.

    The headers of the one are anybody's, those of the other are ours.
    """
    return "." in delivery.routing_key


def attempt_of(delivery: Delivery) -> int:
    """Say how often a message has been tried, this time included."""
    count = 1 if is_first_hand(delivery) else delivery.headers.get(ATTEMPT_HEADER, 1)
    # A message that the broker set aside has its sender's own headers.
    return count if isinstance(count, int) and 1 <= count <= ATTEMPTS_MOST else 1


def read(delivery: Delivery) -> list[Envelope]:
    """Read every event of a message. The routing key under which it was first sent must be the events' own.

    Raises:
        UnreadableMessageError: the message is not ours, or of a kind this version does not know.
    """
    try:
        envelopes = list(_envelopes(delivery))
    except (KeyError, TypeError, ValueError, RecursionError, ValidationError) as error:
        # A validation error quotes its input, which may be anybody's: only the kind of failure goes on.
        raise UnreadableMessageError(type(error).__name__) from None
    # The broker let its sender use this key and no other's; what stands in the body, nobody has checked.
    first = delivery.routing_key if is_first_hand(delivery) else str(delivery.headers.get(ROUTING_KEY_HEADER, ""))
    if "." in first and any(each.event.routing_key != first for each in envelopes):
        raise UnreadableMessageError("says that it comes from somebody else than who sent it")
    return envelopes


def _envelopes(delivery: Delivery) -> Iterator[Envelope]:
    if delivery.content_type == BATCH_TYPE:
        yield from (_envelope(entry, json.dumps(entry["data"]).encode()) for entry in json.loads(delivery.body))
        return
    attributes = {
        key.removeprefix(_PREFIX): value for key, value in delivery.headers.items() if key.startswith(_PREFIX)
    }
    yield _envelope(attributes, delivery.body)


def _envelope(attributes: dict[str, Any], body: bytes) -> Envelope:
    event = BY_TYPE[attributes["type"]].model_validate_json(body)
    if event.id != attributes["id"]:
        raise UnreadableMessageError("id does not follow from content")
    at, cause, trace = datetime.fromisoformat(attributes["time"]), attributes["causationid"], attributes["traceparent"]
    # What is about a file is set aside, said again and given up under its id, whatever its sender calls it.
    correlation = getattr(event, "file_id", None) or attributes["correlationid"]
    if at.tzinfo is None or not (_ID.fullmatch(cause) and _ID.fullmatch(correlation) and _TRACE.fullmatch(trace)):
        raise UnreadableMessageError("an attribute has another form")
    return Envelope(event, at, cause, correlation, trace)
