"""How do results reach a clinic's chart, and its patient list the centre? Needs no store and no other clinic.

The role itself is `producers.chart.role`, which whoever only asks its files need not load.
"""

from producers.chart.ledger import FORMAT, delivery_counts, is_at_work, ledger_path

__all__ = ["FORMAT", "delivery_counts", "is_at_work", "ledger_path"]
