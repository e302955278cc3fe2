"""How long did files take? Read from the store when a file has settled, shown as histograms.

Each file is observed once by the process that looks; one that starts again begins with what settles from then on.
"""

from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Histogram
from sqlalchemy import Connection, Select, select

from pipeline.custody import FileOutcome
from pipeline.metrics import DELIVERY_SECONDS, ERASURE_SECONDS, SETTLE_SECONDS
from pipeline.storage.schema import copies, deliveries, files

MOST: Final = 1000
_LATE: Final = timedelta(seconds=5)
"""A transaction may be seen this long after the time it wrote; so long the ids that were counted are remembered."""
_ENDED: Final = tuple(outcome.value for outcome in FileOutcome if outcome is not FileOutcome.PENDING)


class Durations:
    """What one process has observed so far."""

    def __init__(self, since: datetime) -> None:
        self._since = since
        self._counted: dict[str, datetime] = {}

    def observe(self, connection: Connection) -> int:
        """Observe what has settled since the last look; return how many copies were counted."""
        seen = 0
        # The counted come first again: as many more are read, or a crowd would hide what settled after it.
        for row in connection.execute(_settled(self._since - _LATE, MOST + len(self._counted))):
            if row.copy_id in self._counted:
                continue
            self._counted[row.copy_id] = row.settled_at
            _observe(SETTLE_SECONDS, row.clinic, row.seen_at, row.taken_at)
            _observe(DELIVERY_SECONDS, row.clinic, row.captured_at, row.done_at)
            _observe(ERASURE_SECONDS, row.clinic, row.outcome_at, row.gone_at)
            self._since = max(self._since, row.settled_at)
            seen += 1
        limit = self._since - 2 * _LATE
        self._counted = {copy: at for copy, at in self._counted.items() if at > limit}
        return seen


def _settled(since: datetime, most: int) -> Select[Any]:
    query = select(
        copies.c.copy_id,
        copies.c.clinic,
        copies.c.seen_at,
        copies.c.captured_at.label("taken_at"),
        copies.c.gone_at,
        files.c.captured_at,
        files.c.outcome_at,
        files.c.settled_at,
        deliveries.c.done_at,
    )
    query = query.join(files, files.c.file_id == copies.c.file_id)
    query = query.outerjoin(deliveries, deliveries.c.file_id == files.c.file_id)
    # By outcome and time, which is an index of `files`.
    return query.where(files.c.outcome.in_(_ENDED), files.c.settled_at > since).order_by(files.c.settled_at).limit(most)


def _observe(histogram: Histogram, clinic: str, start: datetime | None, end: datetime | None) -> None:
    if start is not None and end is not None:
        histogram.labels(clinic).observe(max(0.0, (end - start).total_seconds()))
