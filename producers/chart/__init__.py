"""How do results reach a clinic's chart, and its patient list the centre? The chart's edge: no store, no other clinic."""

from producers.chart.role import ChartRole

__all__ = ["ChartRole"]
