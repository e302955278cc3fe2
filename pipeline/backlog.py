"""How much is held back, and since when? Asked of the store, shown as gauges.

One role's chores call it (`SHOWN_BY`), for every process that counted would show the same numbers again. Each query
reads an index of what is open, so that its cost follows the backlog, not the history. The edges' own figures are
shown here again as they last reported them, because nobody scrapes a clinic's machine from outside.
"""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from prometheus_client import Gauge
from sqlalchemy import Connection, and_, exists, func, select

from pipeline import metrics, parking
from pipeline.custody import Custody, FileOutcome
from pipeline.durations import Durations
from pipeline.events import EdgeReported
from pipeline.holds import ACTIVE
from pipeline.outbox import LEFT_AFTER
from pipeline.storage.schema import (
    copies,
    deliveries,
    edges,
    files,
    grants,
    holds,
    outbox,
    requests,
    results,
    standings,
    vendor_held,
)
from pipeline.topology import CHART_EDGE, Edge, Role

SHOWN_BY: Final = Role.DELETION
EVERY_SECONDS: Final = 5.0
UNASKED_WITHIN: Final = timedelta(hours=1)
_ASKABLE: Final = ("medication", "checkup")
_OPEN: Final = ("wanted", "placed")

Labels = tuple[str, ...]


class Backlog:
    """The gauges of everything that waits; what waits no longer becomes 0.

    `configured`: the machines there are now, all that ever reported if None. Of one that left nothing is shown.
    """

    def __init__(self, now: datetime, configured: Collection[Edge] | None = None) -> None:
        self._configured = None if configured is None else {(edge.clinic, edge.edge) for edge in configured}
        self._durations = Durations(now)
        self._shown: dict[Gauge, set[Labels]] = {}

    def show(self, connection: Connection, now: datetime) -> None:
        clinics = self._show_edges(connection)
        self._show_queues(connection, now)
        self._set(metrics.OLDEST_OPEN, _oldest_open(connection, now), clinics)
        self._set(metrics.UNERASED_OLDEST, _oldest_unerased(connection, now), clinics)
        self._set(metrics.HELD_COPIES, _counts(connection, copies, copies.c.custody == Custody.HELD.value), clinics)
        self._set(metrics.CHART_BACKLOG, _counts(connection, deliveries, deliveries.c.state == "wanted"), clinics)
        to_review = and_(results.c.state == "open", results.c.needs_review.is_(True))
        self._set(metrics.REVIEWS, _counts(connection, results, to_review), clinics)
        self._show_consents(connection, now, clinics)
        self._durations.observe(connection)

    def _show_queues(self, connection: Connection, now: datetime) -> None:
        # Under load something is always on its way: only what should have left waits.
        is_late = outbox.c.sent_at.is_(None) & (outbox.c.at < now - LEFT_AFTER)
        unsent = select(outbox.c.consumer, func.count()).where(is_late).group_by(outbox.c.consumer)
        roles = [(role.value,) for role in Role]
        waiting: dict[Labels, float] = {(str(role),): count for role, count in connection.execute(unsent)}
        self._set(metrics.OUTBOX_UNSENT, waiting, roles)
        parked: dict[Labels, float] = {(role,): float(count) for role, count in parking.counts(connection).items()}
        self._set(metrics.PARKED_HELD, parked, roles)
        held = select(vendor_held.c.vendor, func.count()).group_by(vendor_held.c.vendor)
        self._set(metrics.VENDOR_HELD, {(vendor,): float(count) for vendor, count in connection.execute(held)}, ())

    def _show_edges(self, connection: Connection) -> list[Labels]:
        """Show what each edge last said of itself; returns the clinics that have an edge."""
        clinics: set[Labels] = set()
        if self._configured is not None:
            metrics.forget_edges(self._configured)
        for row in connection.execute(select(edges)):
            where = (row.clinic, row.edge)
            if self._configured is not None and where not in self._configured:
                continue
            clinics.add((row.clinic,))
            metrics.EDGE_LAST_SEEN.labels(*where).set(row.last_seen.timestamp())
            metrics.EDGE_CLOCK_OFFSET.labels(*where).set(float(row.clock_offset_seconds or 0))
            report = EdgeReported.model_validate_json(row.report)
            if row.edge == CHART_EDGE:
                metrics.show_faults(report)
            else:
                metrics.show_edge(report)
        return sorted(clinics)

    def _show_consents(self, connection: Connection, now: datetime, clinics: Iterable[Labels]) -> None:
        self._set(metrics.CONSENTS_UNASKED, _unasked(connection, now), clinics)
        is_open = requests.c.state.in_(_OPEN)
        limits = (
            select(requests.c.clinic, func.min(grants.c.until))
            .join(grants, grants.c.grant_id == requests.c.grant_id)
            .where(is_open, grants.c.until > now)
            .group_by(requests.c.clinic)
        )
        left: dict[Labels, float] = {
            (clinic,): (until - now).total_seconds() for clinic, until in connection.execute(limits)
        }
        # No limit is near where nothing is wanted: a day is what the service gives at most.
        self._set(metrics.CONSENT_LEFT, left, clinics, default=timedelta(days=1).total_seconds())
        counted = select(requests.c.clinic, requests.c.state, func.count()).where(is_open)
        counted = counted.group_by(requests.c.clinic, requests.c.state)
        found: dict[Labels, float] = {
            (clinic, state): float(count) for clinic, state, count in connection.execute(counted)
        }
        self._set(metrics.REQUESTS_OPEN, found, [(*clinic, state) for clinic in clinics for state in _OPEN])

    def _set(
        self, gauge: Gauge, values: Mapping[Labels, float], expected: Iterable[Labels] = (), *, default: float = 0.0
    ) -> None:
        known = self._shown.setdefault(gauge, set())
        known.update(values, expected)
        for labels in known:
            gauge.labels(*labels).set(values.get(labels, default))


def _counts(connection: Connection, table: Any, where: Any) -> dict[Labels, float]:
    query = select(table.c.clinic, func.count()).where(where).group_by(table.c.clinic)
    return {(clinic,): float(count) for clinic, count in connection.execute(query)}


def _oldest_open(connection: Connection, now: datetime) -> dict[Labels, float]:
    is_open = files.c.outcome == FileOutcome.PENDING.value
    return _ages(connection.execute(_oldest(files.c.clinic, files.c.captured_at).where(is_open)), now)


def _oldest_unerased(connection: Connection, now: datetime) -> dict[Labels, float]:
    held = exists().where(holds.c.file_id == copies.c.file_id, holds.c.state.in_(ACTIVE))
    query = _oldest(copies.c.clinic, files.c.outcome_at).join(files, files.c.file_id == copies.c.file_id)
    is_due = and_(copies.c.custody == Custody.STORED.value, files.c.outcome != FileOutcome.PENDING.value, ~held)
    return _ages(connection.execute(query.where(is_due)), now)


def _oldest(clinic: Any, at: Any) -> Any:
    return select(clinic, func.min(at)).group_by(clinic)


def _ages(rows: Iterable[Any], now: datetime) -> dict[Labels, float]:
    return {(clinic,): max(0.0, (now - at).total_seconds()) for clinic, at in rows if at is not None}


def _unasked(connection: Connection, now: datetime) -> dict[Labels, float]:
    asked = exists().where(requests.c.grant_id == standings.c.grant_id)
    ends_soon = and_(standings.c.until > now, standings.c.until <= now + UNASKED_WITHIN)
    may = and_(standings.c.granted.is_(True), standings.c.expired_told.is_(False), standings.c.category.in_(_ASKABLE))
    return _counts(connection, standings, and_(may, ends_soon, ~asked))
