"""Which dashboards does the operations team have, and what does each panel ask?

`python -m pipeline.observing.dashboards DIR` writes them as Grafana reads them; `make generated` does so.
"""

import json
import sys
from pathlib import Path
from typing import Final

from pipeline.observing.panels import Choice, Dashboard, Panel, Query, Shape, Unit

_RATE: Final = "[$__rate_interval]"


def _quantile(metric: str, by: str, share: float = 0.95, where: str = "") -> str:
    return f"histogram_quantile({share}, sum by (le, {by}) (rate({metric}_bucket{where}{_RATE})))"


GROUP: Final = Dashboard(
    "onshi-group",
    "Onshi: the group",
    (
        Panel(
            "Files without an outcome: oldest, by clinic",
            "Seconds in a quiet clinic. Minutes: see the clinic's own page, then `onshi verify`.",
            (Query("max by (clinic) (onshi_oldest_open_seconds)", "{{clinic}}"),),
            Unit.SECONDS,
            alarm_above=300,
        ),
        Panel(
            "Finished files still on a terminal: oldest, by clinic",
            "Seconds. More than 15 minutes is a leak in the making: is the terminal silent, is its clock off?",
            (Query("max by (clinic) (onshi_unerased_oldest_seconds)", "{{clinic}}"),),
            Unit.SECONDS,
            alarm_above=900,
        ),
        Panel(
            "Terminals and charts: since the last report",
            "They report every minute.",
            (
                Query(
                    "time() - max by (clinic, terminal) (onshi_edge_last_seen_timestamp_seconds)",
                    "{{clinic}} {{terminal}}",
                ),
            ),
            Unit.SECONDS,
            alarm_above=300,
        ),
        Panel(
            "Messages parked",
            "Each waits for a person: `onshi parked groups`.",
            (Query("max by (consumer) (onshi_parked_events)", "{{consumer}}"),),
            alarm_above=1,
        ),
        Panel(
            "Files waiting for a chart",
            "One clinic's chart that is away holds up nobody else.",
            (Query("max by (clinic) (onshi_chart_backlog_files)", "{{clinic}}"),),
        ),
        Panel(
            "Results to be looked at by a person",
            "The clinics' own work; a sudden rise is a wrong patient list.",
            (Query("max by (clinic) (onshi_results_to_review)", "{{clinic}}"),),
        ),
        Panel(
            "Events a second",
            "All consumers together, by result.",
            (Query(f"sum by (result) (rate(onshi_messages_total{_RATE}))", "{{result}}"),),
            Unit.PER_SECOND,
        ),
        Panel(
            "From captured to the chart's receipt, 95 %",
            "A patient waits at the counter meanwhile.",
            (Query(_quantile("onshi_delivery_seconds", "clinic"), "{{clinic}}"),),
            Unit.SECONDS,
            alarm_above=30,
        ),
        Panel(
            "Edge faults",
            "What an edge itself says is wrong; the words are in docs/operations.md.",
            (
                Query(
                    "sum by (clinic, terminal) (max by (clinic, terminal, fault) (onshi_edge_faults)) "
                    "or sum(0 * onshi_ready_roles)",
                    "{{clinic}}",
                ),
            ),
            alarm_above=1,
        ),
    ),
)

_CLINIC: Final = '{clinic="$clinic"}'

CLINIC: Final = Dashboard(
    "onshi-clinic",
    "Onshi: one clinic",
    (
        Panel(
            "Terminal and chart: since the last report",
            "They report every minute.",
            (
                Query(
                    f"time() - max by (terminal) (onshi_edge_last_seen_timestamp_seconds{_CLINIC})",
                    "{{terminal}}",
                ),
            ),
            Unit.SECONDS,
            Shape.NUMBER,
            alarm_above=300,
        ),
        Panel(
            "Clock of the edges, against the centre",
            "More than 60 s: nothing that depends on time is asked or erased there.",
            (Query(f"max by (terminal) (onshi_edge_clock_offset_seconds{_CLINIC})", "{{terminal}}"),),
            Unit.SECONDS,
            Shape.NUMBER,
        ),
        Panel(
            "Copies on the terminal, by custody",
            "`seen`, `spooled` and `captured` wait for the centre; `stored` for the chart or for erasure.",
            (Query(f"max by (terminal, custody) (onshi_edge_copies{_CLINIC})", "{{terminal}} {{custody}}"),),
        ),
        Panel(
            "Files not yet at the centre",
            "Grows while the broker is away and drains by itself.",
            (Query(f"max by (terminal) (onshi_edge_backlog_files{_CLINIC})", "{{terminal}}"),),
        ),
        Panel(
            "Spool of the terminal",
            "Kept for seven days, so that a store restored from an old backup can be filled again.",
            (Query(f"max by (terminal) (onshi_edge_spool_bytes{_CLINIC})", "{{terminal}}"),),
            Unit.BYTES,
        ),
        Panel(
            "Free disk of the terminal",
            "Below 1 GiB: make room before it is full.",
            (Query(f"min by (terminal) (onshi_edge_free_bytes{_CLINIC})", "{{terminal}}"),),
            Unit.BYTES,
            alarm_below=1 << 30,
        ),
        Panel(
            "Seen to captured, 95 %",
            "A second or two: a file is read twice before it is taken.",
            (Query(_quantile("onshi_settle_seconds", "clinic", where=_CLINIC), "{{clinic}}"),),
            Unit.SECONDS,
        ),
        Panel(
            "Captured to the chart's receipt, 95 % and half",
            "Half of all files, and all but the slowest twentieth.",
            (
                Query(_quantile("onshi_delivery_seconds", "clinic", where=_CLINIC), "95 %"),
                Query(_quantile("onshi_delivery_seconds", "clinic", 0.5, _CLINIC), "50 %"),
            ),
            Unit.SECONDS,
        ),
        Panel(
            "Outcome to erased, 95 %",
            "How long a finished file still lies on the terminal.",
            (Query(_quantile("onshi_erasure_seconds", "clinic", where=_CLINIC), "{{clinic}}"),),
            Unit.SECONDS,
        ),
        Panel(
            "Requests open",
            "`placed` waits for the service's answer.",
            (Query(f"max by (state) (onshi_open_requests{_CLINIC})", "{{state}}"),),
        ),
        Panel(
            "Consent that ends first, of those still wanted",
            "A day where nothing is wanted.",
            (Query(f"min(onshi_consent_soonest_limit_seconds{_CLINIC})", "time left"),),
            Unit.SECONDS,
        ),
        Panel(
            "Held copies, results to review",
            "Both are people's decisions.",
            (
                Query(f"max(onshi_held_copies{_CLINIC})", "held"),
                Query(f"max(onshi_results_to_review{_CLINIC})", "to review"),
            ),
        ),
    ),
    (Choice("clinic", "onshi_edge_last_seen_timestamp_seconds", "clinic"),),
)

_CONSUMER: Final = '{consumer="$consumer"}'

CONSUMER: Final = Dashboard(
    "onshi-consumer",
    "Onshi: one consumer",
    (
        Panel(
            "Events a second, by result",
            "`parked` and `retried` should be rare.",
            (Query(f"sum by (result) (rate(onshi_messages_total{_CONSUMER}{_RATE}))", "{{result}}"),),
            Unit.PER_SECOND,
        ),
        Panel(
            "Events a second, by type",
            "What it is fed with.",
            (Query(f"sum by (type) (rate(onshi_messages_total{_CONSUMER}{_RATE}))", "{{type}}"),),
            Unit.PER_SECOND,
        ),
        Panel(
            "A batch, 95 %",
            "From received to acknowledged; a slow store shows here first.",
            (Query(_quantile("onshi_batch_seconds", "consumer", where=_CONSUMER), "95 %"),),
            Unit.SECONDS,
        ),
        Panel(
            "Events in a batch, half",
            "Batches grow under load; that is how it keeps up.",
            (Query(_quantile("onshi_batch_events", "consumer", 0.5, _CONSUMER), "50 %"),),
        ),
        Panel(
            "Parked now",
            "Waiting for a person.",
            (Query(f"max(onshi_parked_events{_CONSUMER})", "parked"),),
            alarm_above=1,
        ),
        Panel(
            "Decisions not yet sent",
            "Above 0 for minutes: the broker does not take them.",
            (Query(f"max(onshi_outbox_unsent_events{_CONSUMER})", "unsent"),),
        ),
        Panel(
            "Waiting for store or broker; stopped by its fuse",
            "Neither burns an attempt.",
            (
                Query(f"max(onshi_paused_consumers{_CONSUMER})", "paused"),
                Query(f"max(onshi_blown_fuses{_CONSUMER})", "fuse"),
            ),
            Unit.FLAG,
        ),
        Panel(
            "Edges not believed",
            "All that came from there was parked; what else it sends waits. docs/operations.md says what to do.",
            (
                Query(
                    f"max by (clinic, terminal) (onshi_doubted_edges{_CONSUMER}) or sum(0 * onshi_ready_roles)",
                    "{{clinic}} {{terminal}}",
                ),
            ),
            alarm_above=1,
        ),
        Panel(
            "Sent to a retry tier",
            "10 s, 1 m, 10 m, 1 h; then parked.",
            (Query(f"sum by (tier) (increase(onshi_retries_total{_CONSUMER}[1h]))", "{{tier}}"),),
        ),
    ),
    (Choice("consumer", "onshi_parked_events", "consumer"),),
)

_WORK: Final = 'queue=~"parsing|reconciliation|consent|forwarding|deletion|publication"'

BROKER: Final = Dashboard(
    "onshi-broker",
    "Onshi: the broker",
    (
        Panel(
            "Waiting in the work queues",
            "Rises under load and falls again.",
            (Query(f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{{{_WORK}}})", "{{queue}}"),),
        ),
        Panel(
            "Waiting in the retry tiers",
            "Each message waits its time and comes back.",
            (Query('sum by (queue) (rabbitmq_detailed_queue_messages{queue=~".+[.]retry[.].+"})', "{{queue}}"),),
        ),
        Panel(
            "Waiting for an edge",
            "Orders to a terminal end by themselves; deliveries wait for the chart.",
            (Query('sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"edge[.].+"})', "{{queue}}"),),
        ),
        Panel(
            "Without a queue",
            "Never above 0: a binding is missing. `onshi provision audit`.",
            (Query('sum(rabbitmq_detailed_queue_messages{queue="unrouted"})', "unrouted"),),
            shape=Shape.NUMBER,
            alarm_above=1,
        ),
        Panel(
            "Readers of the work queues",
            "0: nobody runs that role.",
            (Query(f"sum by (queue) (rabbitmq_detailed_queue_consumers{{{_WORK}}})", "{{queue}}"),),
        ),
        Panel(
            "Alarms",
            "1: it takes no message any more; terminals spool and wait.",
            (Query('max by (__name__) ({__name__=~"rabbitmq_alarms_.+"})', "{{__name__}}"),),
            shape=Shape.NUMBER,
            alarm_above=1,
        ),
        Panel(
            "Free disk",
            "Below its limit it takes no message.",
            (
                Query("min by (instance) (rabbitmq_disk_space_available_bytes)", "{{instance}} free"),
                Query("min by (instance) (rabbitmq_disk_space_available_limit_bytes)", "{{instance}} limit"),
            ),
            Unit.BYTES,
        ),
        Panel(
            "Memory",
            "Above its limit it takes no message.",
            (
                Query("max by (instance) (rabbitmq_process_resident_memory_bytes)", "{{instance}} used"),
                Query("min by (instance) (rabbitmq_resident_memory_limit_bytes)", "{{instance}} limit"),
            ),
            Unit.BYTES,
        ),
        Panel(
            "Connections and channels",
            "Two connections for each role and edge.",
            (
                Query("sum(rabbitmq_connections)", "connections"),
                Query("sum(rabbitmq_channels)", "channels"),
            ),
        ),
    ),
)

VENDORS: Final = Dashboard(
    "onshi-vendors",
    "Onshi: vendors",
    (
        Panel(
            "Entries in the streams",
            "Grows with every result a vendor is granted, and is bounded by its retention.",
            (Query('sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"vendor[.].+"})', "{{queue}}"),),
        ),
        Panel(
            "Readers",
            "0: the vendor is not connected. Nothing is lost within its retention.",
            (Query('sum by (queue) (rabbitmq_detailed_queue_consumers{queue=~"vendor[.].+"})', "{{queue}}"),),
        ),
        Panel(
            "Publication: events a second, by result",
            "What was written to the streams.",
            (Query(f'sum by (result) (rate(onshi_messages_total{{consumer="publication"}}{_RATE}))', "{{result}}"),),
            Unit.PER_SECOND,
        ),
        Panel(
            "Held back, by vendor",
            "Its public key cannot be used, or its stream is not there. Its events wait, in order; others' flow.",
            (Query("max by (vendor) (onshi_vendor_held_events) or sum(0 * onshi_ready_roles)", "{{vendor}}"),),
            alarm_above=1,
        ),
        Panel(
            "Publication: parked now",
            "Each waits for a person.",
            (Query('max(onshi_parked_events{consumer="publication"})', "parked"),),
            alarm_above=1,
        ),
    ),
)

ALL: Final = (GROUP, CLINIC, CONSUMER, BROKER, VENDORS)


def main() -> int:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for dashboard in ALL:
        text = json.dumps(dashboard.to_json(), ensure_ascii=False, indent=1) + "\n"
        (folder / f"{dashboard.uid}.json").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
