"""Would doing everything once more change anything? I14 and I16.

An event's id follows from its content, so a repetition is known as one; and no result is older than its file.
"""

from collections.abc import Iterator
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Select, or_, select

from pipeline.events import BY_TYPE
from pipeline.invariants.finding import Finding
from pipeline.storage.schema import files, outbox, results

MOST: Final = 20_000
"""How many of the newest outbox rows are read; older ones were read by earlier runs."""


def findings(connection: Connection) -> Iterator[Finding]:
    query = select(outbox.c.event_id, outbox.c.type, outbox.c.body).order_by(outbox.c.number.desc()).limit(MOST)
    rows = connection.execution_options(yield_per=100).execute(query)
    wrong = tuple(row.event_id for row in rows if not _follows(row))
    yield Finding("I14", "what is said twice has the same id, so that replaying changes nothing", wrong)
    older = tuple(dict.fromkeys(str(row[0]) for row in connection.execute(_results_astray())))
    yield Finding("I16", "a result is of its own file's newest reading, and never ahead of it", older)


def _follows(row: Any) -> bool:
    event = BY_TYPE.get(row.type)
    try:
        return event is not None and event.model_validate_json(row.body).id == row.event_id
    except ValidationError:
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
