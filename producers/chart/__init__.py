"""How do results reach a clinic's chart, and its patient list the centre? Needs no store and no other clinic."""

from producers.chart.role import ChartRole

__all__ = ["ChartRole"]
