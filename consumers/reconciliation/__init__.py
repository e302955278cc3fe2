"""Reconciliation (突合): whose result is it, and what differs from the chart?"""

from consumers.reconciliation.consumer import Reconciliation

__all__ = ["Reconciliation"]
