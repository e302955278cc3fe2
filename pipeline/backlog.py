"""How much is held back, and since when? Asked of the store, shown as gauges.

One role's chores call it (`SHOWN_BY`), for every process that counted would show the same numbers again. Each query
reads an index of what is open, so that its cost follows the backlog, not the history.
"""

from datetime import datetime
from typing import Final

from prometheus_client import Gauge
from sqlalchemy import Connection, func, select

from pipeline import parking
from pipeline.custody import FileOutcome
from pipeline.metrics import CHART_BACKLOG, OLDEST_OPEN, OUTBOX_UNSENT, PARKED_HELD
from pipeline.storage.schema import deliveries, files, outbox
from pipeline.topology import Role

SHOWN_BY: Final = Role.DELETION
EVERY_SECONDS: Final = 5.0


def show(connection: Connection, now: datetime) -> None:
    """Set the gauges of everything that waits; what waits no longer becomes 0."""
    unsent = select(outbox.c.consumer, func.count()).where(outbox.c.sent_at.is_(None)).group_by(outbox.c.consumer)
    _set(OUTBOX_UNSENT, {str(role): float(count) for role, count in connection.execute(unsent)})
    _set(PARKED_HELD, {role: float(count) for role, count in parking.counts(connection).items()})
    is_open = files.c.outcome == FileOutcome.PENDING.value
    oldest = select(files.c.clinic, func.min(files.c.captured_at)).where(is_open).group_by(files.c.clinic)
    ages = {clinic: max(0.0, (now - at).total_seconds()) for clinic, at in connection.execute(oldest)}
    _set(OLDEST_OPEN, ages)
    wanted = deliveries.c.state == "wanted"
    waiting = select(deliveries.c.clinic, func.count()).where(wanted).group_by(deliveries.c.clinic)
    _set(CHART_BACKLOG, {clinic: float(count) for clinic, count in connection.execute(waiting)})


_shown: dict[int, set[str]] = {}


def _set(gauge: Gauge, values: dict[str, float]) -> None:
    known = _shown.setdefault(id(gauge), set())
    known.update(values)
    for label in known:
        gauge.labels(label).set(values.get(label, 0.0))
