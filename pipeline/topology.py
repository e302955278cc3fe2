"""Every exchange, queue and binding, as one typed model: which names are on the wire, and who hears what?

`definitions.json`, the embedded broker, the documentation and the tests are made from this; no other module spells
a queue's or an exchange's name. Rules: design section 4, messaging section 7.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum


class Role(StrEnum):
    """A part of the product that runs by itself. The value is its queue, metric label and command-line name."""

    TERMINAL = "terminal"
    CHART = "chart"
    PARSING = "parsing"
    RECONCILIATION = "reconciliation"
    CONSENT = "consent"
    FORWARDING = "forwarding"
    DELETION = "deletion"
    PUBLICATION = "publication"


EDGE_ROLES = (Role.TERMINAL, Role.CHART)
CENTRE_ROLES = (Role.PARSING, Role.RECONCILIATION, Role.CONSENT, Role.FORWARDING, Role.DELETION, Role.PUBLICATION)

CHART_EDGE = "chart"
"""The reserved edge id of a clinic's chart role."""

DELIVERY_LIMIT = 20
"""How often a message may come back before the broker parks it (a message that kills the process)."""

NO_DELIVERY_LIMIT = -1


class Exchange(StrEnum):
    """`intake`: edges write. `events`: services write. `public`: vendors read. The others are plumbing."""

    INTAKE = "onshi.intake"
    EVENTS = "onshi.events"
    PUBLIC = "onshi.public"
    RETRY = "onshi.retry"
    RETURN = "onshi.return"
    DEAD = "onshi.dead"
    UNROUTED = "onshi.unrouted"


class ExchangeKind(StrEnum):
    TOPIC = "topic"
    DIRECT = "direct"
    FANOUT = "fanout"


class Tier(StrEnum):
    """How long a failed message waits before it is tried again."""

    SECONDS_10 = "10s"
    MINUTE = "1m"
    MINUTES_10 = "10m"
    HOUR = "1h"

    @property
    def delay(self) -> timedelta:
        return _DELAYS[self]


_DELAYS = {
    Tier.SECONDS_10: timedelta(seconds=10),
    Tier.MINUTE: timedelta(minutes=1),
    Tier.MINUTES_10: timedelta(minutes=10),
    Tier.HOUR: timedelta(hours=1),
}


@dataclass(frozen=True, slots=True)
class ExchangeSpec:
    name: str
    kind: ExchangeKind
    alternate: str | None = None
    """Where a message goes that no binding takes; none for `retry`, whose missing tier must be returned."""


@dataclass(frozen=True, slots=True)
class QueueSpec:
    """A durable quorum queue. Dead letters go to `dead_exchange` under `dead_key`, at least once.

    `delivery_limit`: how often a message may come back, -1 without end; none leaves it to the broker's version, and
    4.x then drops what came back twenty times from a queue without a dead exchange.
    `is_ordered`: one consumer at a time takes from it, the others stand by.
    """

    name: str
    dead_exchange: str | None = None
    dead_key: str | None = None
    ttl: timedelta | None = None
    delivery_limit: int | None = None
    is_ordered: bool = False


@dataclass(frozen=True, slots=True)
class StreamSpec:
    """A durable stream: read by offset or time, kept for `retention`, never taken from."""

    name: str
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Binding:
    exchange: str
    queue: str
    key: str


@dataclass(frozen=True, slots=True)
class Edge:
    """One clinic-side end: a terminal, or the chart (`edge == CHART_EDGE`)."""

    clinic: str
    edge: str


@dataclass(frozen=True, slots=True)
class Reader:
    """A vendor, who reads one stream of its own."""

    vendor: str
    retention: timedelta


@dataclass(frozen=True, slots=True)
class Topology:
    exchanges: tuple[ExchangeSpec, ...]
    queues: tuple[QueueSpec, ...]
    bindings: tuple[Binding, ...] = field(default=())
    streams: tuple[StreamSpec, ...] = ()


LISTENS: dict[Role, tuple[tuple[Exchange, str], ...]] = {
    Role.PARSING: (
        (Exchange.INTAKE, "file.*.*.captured.v1"),
        (Exchange.EVENTS, "file.*.*.reparse.v1"),
    ),
    Role.RECONCILIATION: (
        (Exchange.EVENTS, "record.*.*.parsed.v1"),
        (Exchange.INTAKE, "patients.*.*.changed.v1"),
    ),
    Role.CONSENT: (
        (Exchange.EVENTS, "record.*.*.parsed.v1"),
        (Exchange.INTAKE, "request.*.*.placed.v1"),
        (Exchange.INTAKE, "request.*.*.refused.v1"),
        (Exchange.INTAKE, "request.*.*.withdrawn.v1"),
        (Exchange.INTAKE, "bookings.*.*.changed.v1"),
    ),
    Role.FORWARDING: (
        (Exchange.EVENTS, "record.*.*.reconciled.v1"),
        (Exchange.INTAKE, "delivery.*.*.done.v1"),
        (Exchange.INTAKE, "delivery.*.*.refused.v1"),
    ),
    Role.DELETION: (
        (Exchange.INTAKE, "file.*.*.refused.v1"),
        (Exchange.INTAKE, "file.*.*.erased.v1"),
        (Exchange.INTAKE, "file.*.*.vanished.v1"),
        (Exchange.INTAKE, "erasure.*.*.failed.v1"),
        (Exchange.INTAKE, "hold.*.*.kept.v1"),
        (Exchange.INTAKE, "hold.*.*.missed.v1"),
        (Exchange.INTAKE, "edge.*.*.reported.v1"),
    ),
    Role.PUBLICATION: (
        (Exchange.EVENTS, "record.*.*.reconciled.v1"),
        (Exchange.EVENTS, "consent.*.*.recorded.v1"),
        (Exchange.EVENTS, "consent.*.*.expiring.v1"),
        (Exchange.EVENTS, "consent.*.*.expired.v1"),
        (Exchange.EVENTS, "file.*.*.rejected.v1"),
        (Exchange.EVENTS, "file.*.*.settled.v1"),
        (Exchange.INTAKE, "delivery.*.*.done.v1"),
        (Exchange.INTAKE, "delivery.*.*.refused.v1"),
    ),
}
"""What each centre role hears; publication only where there are vendors. Held equal to the event classes by a test."""

TERMINAL_ORDERS = (
    "file.{clinic}.{edge}.stored.v1",
    "evidence.{clinic}.{edge}.stored.v1",
    "erasure.{clinic}.{edge}.order.v1",
    "request.{clinic}.{edge}.place.v1",
    "hold.{clinic}.{edge}.set.v1",
    "hold.{clinic}.{edge}.released.v1",
    "keys.{clinic}.{edge}.published.v1",
)
CHART_ORDERS = ("delivery.{clinic}.{edge}.wanted.v1", "keys.{clinic}.{edge}.published.v1")

UNROUTED_QUEUE = "unrouted"


def work_queue(role: Role) -> str:
    return role.value


def retry_queue(role: Role, tier: Tier) -> str:
    return f"{role}.retry.{tier}"


def parked_queue(role: Role) -> str:
    return f"{role}.parked"


def orders_queue(edge: Edge) -> str:
    """The queue a terminal takes its orders from, or a chart its deliveries."""
    return f"edge.{edge.clinic}.{edge.edge}"


def vendor_stream(vendor: str) -> str:
    """The stream a vendor reads."""
    return f"vendor.{vendor}"


def vendor_pattern(vendor: str) -> str:
    """The binding of a vendor's stream: whatever publication says to this vendor, and to nobody else."""
    return f"*.*.{vendor}.*.*.*"


def build(edges: Iterable[Edge], readers: Iterable[Reader] = ()) -> Topology:
    """Make the whole topology for these edges (a clinic's terminals and its chart) and these vendors."""
    readers = tuple(readers)
    queues: list[QueueSpec] = [QueueSpec(UNROUTED_QUEUE, delivery_limit=NO_DELIVERY_LIMIT)]
    bindings: list[Binding] = [Binding(Exchange.UNROUTED, UNROUTED_QUEUE, "")]
    for role in CENTRE_ROLES:
        queues.extend(_role_queues(role))
        bindings.extend(_role_bindings(role, hears=role is not Role.PUBLICATION or bool(readers)))
    for edge in edges:
        queues.append(QueueSpec(orders_queue(edge), delivery_limit=NO_DELIVERY_LIMIT))
        bindings.extend(_edge_bindings(edge))
    streams = tuple(StreamSpec(vendor_stream(reader.vendor), reader.retention) for reader in readers)
    bindings.extend(
        Binding(Exchange.PUBLIC, vendor_stream(reader.vendor), vendor_pattern(reader.vendor)) for reader in readers
    )
    return Topology(_EXCHANGES, tuple(queues), tuple(bindings), streams)


_EXCHANGES = (
    ExchangeSpec(Exchange.INTAKE, ExchangeKind.TOPIC, alternate=Exchange.UNROUTED),
    ExchangeSpec(Exchange.EVENTS, ExchangeKind.TOPIC, alternate=Exchange.UNROUTED),
    ExchangeSpec(Exchange.PUBLIC, ExchangeKind.TOPIC),
    ExchangeSpec(Exchange.RETRY, ExchangeKind.DIRECT),
    ExchangeSpec(Exchange.RETURN, ExchangeKind.DIRECT, alternate=Exchange.UNROUTED),
    ExchangeSpec(Exchange.DEAD, ExchangeKind.DIRECT, alternate=Exchange.UNROUTED),
    ExchangeSpec(Exchange.UNROUTED, ExchangeKind.FANOUT),
)


def _role_queues(role: Role) -> Iterator[QueueSpec]:
    yield QueueSpec(
        work_queue(role),
        Exchange.DEAD,
        role.value,
        delivery_limit=DELIVERY_LIMIT,
        is_ordered=role is Role.PUBLICATION,
    )
    for tier in Tier:
        retry = retry_queue(role, tier)
        yield QueueSpec(retry, Exchange.RETURN, role.value, ttl=tier.delay, delivery_limit=NO_DELIVERY_LIMIT)
    yield QueueSpec(parked_queue(role), delivery_limit=NO_DELIVERY_LIMIT)


def _role_bindings(role: Role, *, hears: bool) -> Iterator[Binding]:
    for exchange, key in LISTENS[role] if hears else ():
        yield Binding(exchange, work_queue(role), key)
    for tier in Tier:
        yield Binding(Exchange.RETRY, retry_queue(role, tier), f"{role}.{tier}")
    yield Binding(Exchange.RETURN, work_queue(role), role.value)
    yield Binding(Exchange.DEAD, parked_queue(role), role.value)


def _edge_bindings(edge: Edge) -> Iterator[Binding]:
    orders = CHART_ORDERS if edge.edge == CHART_EDGE else TERMINAL_ORDERS
    for key in orders:
        yield Binding(Exchange.EVENTS, orders_queue(edge), key.format(clinic=edge.clinic, edge=edge.edge))
