"""How do results reach a clinic's chart, and its patient list the centre? Needs no store and no other clinic."""

from producers.chart.ledger import FORMAT, ledger_path
from producers.chart.role import ChartRole

__all__ = ["FORMAT", "ChartRole", "ledger_path"]
