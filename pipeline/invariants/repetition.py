"""Would doing everything once more change anything? I14 and I16.

An event's id follows from its content, so a repetition is known as one; and no result is older than its file.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Select, or_, select

from pipeline.event import derive_id
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
    wrong = tuple(row.event_id for row in rows if not _follows(row))
    yield Finding("I14", "what is said twice has the same id, so that replaying changes nothing", wrong)
    older = tuple(dict.fromkeys(str(row[0]) for row in connection.execute(_results_astray())))
    yield Finding("I16", "a result is of its own file's newest reading, and never ahead of it", older)


def _follows(row: Any) -> bool:
    event = BY_TYPE.get(row.type)
    if row.type in _NOTICES:
        return _notice_follows(row)
    try:
        return event is not None and event.model_validate_json(row.body).id == row.event_id
    except ValidationError:
        return False


def _notice_follows(row: Any) -> bool:
    """Hold a vendor's notice against the event that led to it, whose id the notice does not carry."""
    try:
        said = json.loads(row.body)
        clinic, vendor = row.routing_key.split(".")[1:3]
        # What was held back is said later by the clock, and the clock's cause is the notice itself.
        follows = row.cause == row.event_id or derive_id(row.type, clinic, vendor, row.cause) == row.event_id
        return bool(follows and said["event_id"] == row.event_id and said["clinic"] == clinic)
    except (ValueError, KeyError, TypeError):
        return False


def _results_astray() -> Select[Any]:
    """Find results of a later revision than their file's, or of another time of the service."""
    is_other_time = results.c.processed_at.is_not(None) & files.c.processed_at.is_not(None)
    is_other_time &= results.c.processed_at != files.c.processed_at
    return (
        select(results.c.file_id)
        .join(files, files.c.file_id == results.c.file_id)
        .where(or_(results.c.revision > files.c.revision, is_other_time & (results.c.revision >= files.c.revision)))
    )
