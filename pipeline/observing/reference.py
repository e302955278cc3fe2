"""Which metrics are there? `python -m pipeline.observing.reference` writes the table of docs/metrics.md."""

import sys

from prometheus_client import Counter, Histogram
from prometheus_client.metrics import MetricWrapperBase

from pipeline import metrics

_HEAD = """# Metrics

Every process serves `/metrics` on its HTTP port (9810 unless configured). This list is made from the code by
`make generated`. No label holds a patient's datum, a file's name or id: labels are clinics, edges, roles, and words
of fixed lists.

Gauges of the store and of the edges' reports are served by the deletion role, for every process that counted would
show the same numbers again.

| metric | kind | labels | it says |
|---|---|---|---|
"""


def all_metrics() -> list[MetricWrapperBase]:
    found = [value for value in vars(metrics).values() if isinstance(value, MetricWrapperBase)]
    return sorted(found, key=_name)


def exposed_names() -> set[str]:
    """Name every series as Prometheus sees it."""
    names: set[str] = set()
    for metric in all_metrics():
        endings = ("_bucket", "_sum", "_count") if isinstance(metric, Histogram) else ("",)
        names.update(_name(metric) + ending for ending in endings)
    return names


def page() -> str:
    return _HEAD + "".join(_line(metric) for metric in all_metrics())


def _name(metric: MetricWrapperBase) -> str:
    name: str = metric._name  # noqa: SLF001 - the library shows it nowhere else before a first value
    return f"{name}_total" if isinstance(metric, Counter) else name


def _line(metric: MetricWrapperBase) -> str:
    labels = ", ".join(f"`{label}`" for label in metric._labelnames)  # noqa: SLF001 - as above
    kind = type(metric).__name__.lower()
    return f"| `{_name(metric)}` | {kind} | {labels or '–'} | {metric._documentation} |\n"  # noqa: SLF001 - as above


if __name__ == "__main__":
    sys.stdout.write(page())
