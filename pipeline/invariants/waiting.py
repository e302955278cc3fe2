"""Does anything wait longer than it may? I11 and I13, as the store shows them.

What waits for a person is not stuck: a parked message, a result without a patient list, a held copy.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, exists, select

from pipeline.custody import FileOutcome
from pipeline.invariants.finding import Finding
from pipeline.storage.schema import deliveries, files, outbox, parked, results

POISON = "a message that fails is parked with a reason and holds nobody up"
DRAINS = "nothing waits longer than it may, and nothing waits where nobody takes it"


def findings(connection: Connection, now: datetime, limit: timedelta) -> Iterator[Finding]:
    nameless = select(parked.c.parked_id).where(parked.c.reason == "")
    yield Finding("I11", POISON, _ids(connection, nameless))
    before = now - limit
    queries = (_open_files(before), _undelivered(before), _unsent(before))
    stuck = dict.fromkeys(name for query in queries for name in _ids(connection, query))
    yield Finding("I13", DRAINS, tuple(stuck))


def _open_files(before: datetime) -> Select[Any]:
    is_parked = exists().where(parked.c.correlation == files.c.file_id, parked.c.state == "parked")
    waits_for_list = exists().where(results.c.file_id == files.c.file_id, results.c.state == "waiting")
    return select(files.c.file_id).where(
        files.c.outcome == FileOutcome.PENDING.value, files.c.stored_at < before, ~is_parked, ~waits_for_list
    )


def _undelivered(before: datetime) -> Select[Any]:
    return select(deliveries.c.file_id).where(deliveries.c.state == "wanted", deliveries.c.wanted_at < before)


def _unsent(before: datetime) -> Select[Any]:
    return select(outbox.c.event_id).where(outbox.c.sent_at.is_(None), outbox.c.at < before)


def _ids(connection: Connection, query: Select[Any]) -> tuple[str, ...]:
    return tuple(str(row[0]) for row in connection.execute(query))
