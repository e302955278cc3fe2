"""Every metric of the product, in one typed list. Labels come from Enums and configuration, never from a patient.

Names: `onshi_<thing>_<unit>[_total]`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

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
    "onshi_outbox_unsent_events", "Events written and not yet sent, by who wrote them.", ["consumer"], registry=REGISTRY
)
PARKED_HELD = Gauge(
    "onshi_parked_events", "Events that are parked now, waiting for a person.", ["consumer"], registry=REGISTRY
)
OLDEST_OPEN = Gauge(
    "onshi_oldest_open_seconds", "Age of the oldest file without an outcome.", ["clinic"], registry=REGISTRY
)
CHART_BACKLOG = Gauge(
    "onshi_chart_backlog_files", "Files that a chart wants and has not taken yet.", ["clinic"], registry=REGISTRY
)


_shown_faults: dict[tuple[str, str], set[str]] = {}


def show_edge(report: EdgeReported) -> None:
    """Set the gauges of an edge from its own report."""
    edge = (report.clinic, report.edge)
    for custody, count in report.custody.items():
        EDGE_COPIES.labels(*edge, custody).set(count)
    EDGE_OLDEST.labels(*edge).set(report.oldest_seconds)
    EDGE_FREE.labels(*edge).set(report.free_bytes)
    EDGE_SPOOL.labels(*edge).set(report.spool_bytes)
    known = _shown_faults.setdefault(edge, set())
    known.update(report.faults)
    for fault in known:
        EDGE_FAULTS.labels(*edge, fault).set(1 if fault in report.faults else 0)
