"""What an edge says of itself: nothing waits there and nothing is wrong, but for what a test says otherwise."""

from datetime import datetime
from typing import Any, Final

from pipeline import edge_reports
from pipeline.events import EdgeReported
from pipeline.storage import Store

_QUIET: Final[dict[str, Any]] = {
    "clinic": "c1",
    "edge": "t1",
    "software": "0",
    "custody": {},
    "backlog": 0,
    "oldest_seconds": 0,
    "free_bytes": 1,
    "clock_reliable": True,
}


def edge_report(at: datetime, **otherwise: Any) -> EdgeReported:
    """Make the report of an edge. `otherwise`: fields of `EdgeReported`."""
    return EdgeReported(reported_at=at, **_QUIET | otherwise)


def hear(store: Store, at: datetime, heard_at: datetime | None = None, **otherwise: Any) -> None:
    """Let the centre have heard such a report, by default at the time it was made."""
    with store.transaction() as connection:
        edge_reports.write(connection, edge_report(at, **otherwise), heard_at or at)
