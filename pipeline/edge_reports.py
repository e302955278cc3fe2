"""How are the clinics' edges, as they last reported?

Deletion writes it from `edge.reported`; whoever sends orders reads it first. An edge that never reported is taken as
well, for it may be older than its first report.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, and_, or_, select

from pipeline.clock import DRIFT_LIMIT
from pipeline.events import EdgeReported
from pipeline.storage.engine import insert_into
from pipeline.storage.schema import edges
from pipeline.topology import Edge

SILENT_AFTER: Final = timedelta(minutes=5)
"""An edge that has not reported for so long gets no new orders (design section 9)."""


@dataclass(frozen=True, slots=True)
class EdgeState:
    """`clock_offset` is the edge's clock minus the centre's when the report arrived."""

    last_seen: datetime
    clock_reliable: bool
    clock_offset: timedelta

    def is_alive(self, now: datetime) -> bool:
        return now - self.last_seen < SILENT_AFTER

    @property
    def has_sane_clock(self) -> bool:
        return self.clock_reliable and abs(self.clock_offset) <= DRIFT_LIMIT


def write(connection: Connection, report: EdgeReported, now: datetime) -> None:
    """Keep the newest report of an edge, in whichever order they arrive."""
    statement = insert_into(connection, edges).values(
        clinic=report.clinic,
        edge=report.edge,
        last_seen=report.reported_at,
        report=report.model_dump_json(),
        clock_offset_seconds=f"{(report.reported_at - now).total_seconds():.3f}",
    )
    new = statement.excluded
    # A report from a clock that ran ahead must not shut out those that come after the clock was set right.
    is_news = or_(edges.c.last_seen < new.last_seen, edges.c.last_seen > now + DRIFT_LIMIT)
    columns = {name: new[name] for name in ("last_seen", "report", "clock_offset_seconds")}
    connection.execute(
        statement.on_conflict_do_update(index_elements=["clinic", "edge"], set_=columns, where=and_(is_news))
    )


def read(connection: Connection) -> dict[Edge, EdgeState]:
    states: dict[Edge, EdgeState] = {}
    for row in connection.execute(select(edges)):
        report = EdgeReported.model_validate_json(row.report)
        offset = timedelta(seconds=float(row.clock_offset_seconds or 0))
        states[Edge(row.clinic, row.edge)] = EdgeState(row.last_seen, report.clock_reliable, offset)
    return states


def clinics(connection: Connection) -> set[str]:
    """Name every clinic of which an edge has ever reported."""
    return set(connection.scalars(select(edges.c.clinic).distinct()))


@dataclass(frozen=True, slots=True)
class StandingKey:
    """What an edge last said of the key it seals to where there is no month."""

    key: str
    at: datetime


def standing_keys(connection: Connection) -> dict[Edge, StandingKey]:
    rows = connection.execute(select(edges))
    return {
        Edge(row.clinic, row.edge): StandingKey(
            EdgeReported.model_validate_json(row.report).standing_key, row.last_seen
        )
        for row in rows
    }


def doubts_centre(connection: Connection, now: datetime) -> bool:
    """Say whether most of the edges that were heard lately place us in their past, or have lost trust in their clock.

    One edge whose clock is ahead is that edge's affair; when most of them are, it is ours.
    """
    columns = (edges.c.last_seen, edges.c.clock_offset_seconds, edges.c.report.contains('"clock_reliable":false'))
    heard, doubting = 0, 0
    for last_seen, offset_seconds, is_in_doubt in connection.execute(select(*columns)):
        offset = timedelta(seconds=float(offset_seconds or 0))
        # When its report arrived, by the clock that we have now.
        if -DRIFT_LIMIT <= now - (last_seen - offset) < SILENT_AFTER:
            heard += 1
            doubting += bool(is_in_doubt) or offset > DRIFT_LIMIT
    return 2 * doubting > heard


def takes_orders(edge: Edge, states: dict[Edge, EdgeState], now: datetime) -> bool:
    """Say whether an order that depends on time may go there now."""
    state = states.get(edge)
    return state is None or (state.is_alive(now) and state.has_sane_clock)


def taking_orders(known: Collection[Edge], states: dict[Edge, EdgeState], now: datetime) -> list[Edge]:
    return [edge for edge in known if takes_orders(edge, states, now)]
