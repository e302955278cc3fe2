"""Every metric of the product, in one typed list. Labels come from Enums and configuration, never from a patient.

Names: `onshi_<thing>_<unit>[_total]`.
"""

from collections.abc import Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from pipeline.custody import Custody
from pipeline.events import EdgeReported

REGISTRY = CollectorRegistry()

MESSAGES = Counter(
    "onshi_messages_total",
    "Events handled, by consumer, type and result.",
    ["consumer", "type", "result"],
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "onshi_batch_seconds",
    "Time from receiving a batch to acknowledging it.",
    ["consumer"],
    buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30),
    registry=REGISTRY,
)
BATCH_EVENTS = Histogram(
    "onshi_batch_events",
    "Events in a batch.",
    ["consumer"],
    buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500),
    registry=REGISTRY,
)
RETRIES = Counter("onshi_retries_total", "Events sent to a retry tier.", ["consumer", "tier"], registry=REGISTRY)
PARKED = Counter("onshi_parked_total", "Events parked, by reason.", ["consumer", "reason"], registry=REGISTRY)
REPEATED = Counter(
    "onshi_outbox_repeated_total",
    "Outbox rows published again because nothing had come of them.",
    ["consumer"],
    registry=REGISTRY,
)
PAUSED = Gauge(
    "onshi_paused_consumers", "1 while a consumer waits for the store or the broker.", ["consumer"], registry=REGISTRY
)
FUSE = Gauge(
    "onshi_blown_fuses", "1 when a consumer stopped because it parked everything.", ["consumer"], registry=REGISTRY
)
DOUBTED = Gauge(
    "onshi_doubted_edges",
    "1 while a consumer puts off what an edge sends, because it parked everything that came from there.",
    ["consumer", "clinic", "terminal"],
    registry=REGISTRY,
)
READY = Gauge("onshi_ready_roles", "1 when a role can do its work.", ["role"], registry=REGISTRY)
EDGE_COPIES = Gauge(
    "onshi_edge_copies", "Copies on a terminal, by custody.", ["clinic", "terminal", "custody"], registry=REGISTRY
)
EDGE_OLDEST = Gauge(
    "onshi_edge_oldest_seconds",
    "Age of the oldest file a terminal still waits for.",
    ["clinic", "terminal"],
    registry=REGISTRY,
)
EDGE_FREE = Gauge("onshi_edge_free_bytes", "Free disk of an edge.", ["clinic", "terminal"], registry=REGISTRY)
EDGE_SPOOL = Gauge("onshi_edge_spool_bytes", "Size of an edge's spool.", ["clinic", "terminal"], registry=REGISTRY)
EDGE_FAULTS = Gauge("onshi_edge_faults", "1 while a fault stands.", ["clinic", "terminal", "fault"], registry=REGISTRY)
OUTBOX_UNSENT = Gauge(
    "onshi_outbox_unsent_events",
    "Events written 5 s ago or earlier and not yet sent, by who wrote them.",
    ["consumer"],
    registry=REGISTRY,
)
PARKED_HELD = Gauge(
    "onshi_parked_events", "Events that are parked now, waiting for a person.", ["consumer"], registry=REGISTRY
)
OLDEST_OPEN = Gauge(
    "onshi_oldest_open_seconds", "Age of the oldest file without an outcome.", ["clinic"], registry=REGISTRY
)
BALLAST = Gauge(
    "onshi_ballast_bytes",
    "Room kept for finishing what is in hand when the disk is full; 0: it is spent.",
    ["place"],
    registry=REGISTRY,
)
VENDOR_HELD = Gauge(
    "onshi_vendor_held_events",
    "Events held back from a vendor whose key cannot be used, or whose earlier events have not left.",
    ["vendor"],
    registry=REGISTRY,
)
CHART_BACKLOG = Gauge(
    "onshi_chart_backlog_files", "Files that a chart wants and has not taken yet.", ["clinic"], registry=REGISTRY
)


EDGE_LAST_SEEN = Gauge(
    "onshi_edge_last_seen_timestamp_seconds",
    "When an edge last reported, as seconds since 1970.",
    ["clinic", "terminal"],
    registry=REGISTRY,
)
EDGE_CLOCK_OFFSET = Gauge(
    "onshi_edge_clock_offset_seconds",
    "An edge's clock minus the centre's, when its last report arrived.",
    ["clinic", "terminal"],
    registry=REGISTRY,
)
EDGE_CLOCK_RELIABLE = Gauge(
    "onshi_edge_clock_reliable", "1 while an edge trusts its own clock.", ["clinic", "terminal"], registry=REGISTRY
)
EDGE_BACKLOG = Gauge(
    "onshi_edge_backlog_files",
    "Files that an edge has seen and the centre has not stored.",
    ["clinic", "terminal"],
    registry=REGISTRY,
)
UNERASED_OLDEST = Gauge(
    "onshi_unerased_oldest_seconds",
    "How long the oldest copy that may be erased has been waiting for it; copies under a hold are not counted.",
    ["clinic"],
    registry=REGISTRY,
)
HELD_COPIES = Gauge(
    "onshi_held_copies", "Copies that are not taken or are kept by a hold.", ["clinic"], registry=REGISTRY
)
CONSENT_LEFT = Gauge(
    "onshi_consent_soonest_limit_seconds",
    "Time left of the consent that ends first of those under which something is still wanted.",
    ["clinic"],
    registry=REGISTRY,
)
CONSENTS_UNASKED = Gauge(
    "onshi_consents_expiring_unasked",
    "Consents for medication or checkups that end within the hour and under which nothing was asked.",
    ["clinic"],
    registry=REGISTRY,
)
REQUESTS_OPEN = Gauge(
    "onshi_open_requests",
    "Requests that are wanted or placed and not answered.",
    ["clinic", "state"],
    registry=REGISTRY,
)
REVIEWS = Gauge("onshi_results_to_review", "Results that wait for a person's decision.", ["clinic"], registry=REGISTRY)
CERTIFICATE_EXPIRY = Gauge(
    "onshi_certificate_expiry_timestamp_seconds",
    "When a TLS certificate ends that this process uses or its group signed, as seconds since 1970; 0: unreadable.",
    ["certificate"],
    registry=REGISTRY,
)
DISK_FREE = Gauge("onshi_state_free_bytes", "Free disk where this process keeps its state.", registry=REGISTRY)
_DURATIONS = (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 7200, 86400)
SETTLE_SECONDS = Histogram(
    "onshi_settle_seconds",
    "From a copy being seen on the terminal to its being captured.",
    ["clinic"],
    buckets=_DURATIONS,
    registry=REGISTRY,
)
DELIVERY_SECONDS = Histogram(
    "onshi_delivery_seconds",
    "From a file being captured to the chart's receipt.",
    ["clinic"],
    buckets=_DURATIONS,
    registry=REGISTRY,
)
ERASURE_SECONDS = Histogram(
    "onshi_erasure_seconds",
    "From a file's outcome to its copy being gone from the terminal.",
    ["clinic"],
    buckets=_DURATIONS,
    registry=REGISTRY,
)


_shown_faults: dict[tuple[str, str], set[str]] = {}


_OF_EDGES = (
    EDGE_COPIES,
    EDGE_OLDEST,
    EDGE_FREE,
    EDGE_SPOOL,
    EDGE_FAULTS,
    EDGE_LAST_SEEN,
    EDGE_CLOCK_OFFSET,
    EDGE_CLOCK_RELIABLE,
    EDGE_BACKLOG,
)


def forget_edges(but: Collection[tuple[str, str]]) -> None:
    """Show nothing more of the edges that are not among these: clinic and terminal."""
    for left in _shown_faults.keys() - set(but):
        del _shown_faults[left]
    for gauge in _OF_EDGES:
        for sample in next(iter(gauge.collect())).samples:
            if (sample.labels["clinic"], sample.labels["terminal"]) not in but:
                gauge.remove(*sample.labels.values())


def show_edge(report: EdgeReported) -> None:
    """Set the gauges of an edge from its own report."""
    edge = (report.clinic, report.edge)
    for custody in Custody:
        EDGE_COPIES.labels(*edge, custody).set(report.custody.get(custody, 0))
    EDGE_OLDEST.labels(*edge).set(report.oldest_seconds)
    EDGE_BACKLOG.labels(*edge).set(report.backlog)
    EDGE_CLOCK_RELIABLE.labels(*edge).set(report.clock_reliable)
    EDGE_FREE.labels(*edge).set(report.free_bytes)
    EDGE_SPOOL.labels(*edge).set(report.spool_bytes)
    show_faults(report)


def show_faults(report: EdgeReported) -> None:
    """Show what an edge says is wrong; what is over becomes 0."""
    edge = (report.clinic, report.edge)
    known = _shown_faults.setdefault(edge, set())
    standing = report.known_faults
    known.update(standing)
    for fault in known:
        EDGE_FAULTS.labels(*edge, fault).set(1 if fault in standing else 0)
