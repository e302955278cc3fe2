"""Would doing everything once more change anything? I14 and I16.

An event's id follows from its content, so a repetition is known as one; and no result is older than its file.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Select, or_, select

from pipeline.events import BY_TYPE
from pipeline.invariants.finding import Finding
from pipeline.storage.schema import files, outbox, results
from pipeline.vendor_events import NOTICES

MOST: Final = 20_000
"""How many of the newest outbox rows are read; older ones were read by earlier runs."""


_NOTICES: Final = frozenset(notice.type_name() for notice in NOTICES)


def findings(connection: Connection) -> Iterator[Finding]:
    columns = (outbox.c[name] for name in ("event_id", "type", "routing_key", "cause", "body"))
    query = select(*columns).order_by(outbox.c.number.desc()).limit(MOST)
    rows = connection.execution_options(yield_per=100).execute(query)
    named: dict[tuple[str, ...], str] = {}
    wrong = tuple(row.event_id for row in rows if not _follows(row, named))
    yield Finding("I14", "what is said twice has the same id, so that replaying changes nothing", wrong)
    older = tuple(dict.fromkeys(str(row[0]) for row in connection.execute(_results_astray())))
    yield Finding("I16", "a result is of its own file's newest reading, and never ahead of it", older)


def _follows(row: Any, named: dict[tuple[str, ...], str]) -> bool:
    event = BY_TYPE.get(row.type)
    if row.type in _NOTICES:
        return _notice_follows(row, named)
    try:
        return event is not None and event.model_validate_json(row.body).id == row.event_id
    except ValidationError:
        return False


def _notice_follows(row: Any, named: dict[tuple[str, ...], str]) -> bool:
    """Hold a vendor's notice against what led to it.

    Its id is made with the vendor's secret, which nobody needs here: one cause has one id with one vendor, however
    often it is said. `named` remembers which.
    """
    try:
        said = json.loads(row.body)
        clinic, vendor = row.routing_key.split(".")[1:3]
        is_itself = bool(said["event_id"] == row.event_id and said["clinic"] == clinic)
    except (ValueError, KeyError, TypeError):
        return False
    if row.cause == row.event_id:
        # What was held back is said later by the clock, and the clock's cause is the notice itself.
        return is_itself
    return is_itself and named.setdefault((row.type, clinic, vendor, row.cause), row.event_id) == row.event_id


def _results_astray() -> Select[Any]:
    """Find results of a later revision than their file's, or of another time of the service."""
    is_other_time = results.c.processed_at.is_not(None) & files.c.processed_at.is_not(None)
    is_other_time &= results.c.processed_at != files.c.processed_at
    return (
        select(results.c.file_id)
        .join(files, files.c.file_id == results.c.file_id)
        .where(or_(results.c.revision > files.c.revision, is_other_time & (results.c.revision >= files.c.revision)))
    )
