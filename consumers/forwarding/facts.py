"""What does the store hold of the files of a batch, and what lies in their seals?"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from consumers.forwarding.record import Contents, Result
from pipeline.contents import SealedFile, file_context, record_context, result_context
from pipeline.errors import PermanentError
from pipeline.oqs.records import parse_record_json
from pipeline.results import ResultDetail
from pipeline.sealing import Opener
from pipeline.storage import sizes
from pipeline.storage.schema import deliveries, files, results


@dataclass(frozen=True, slots=True)
class File:
    """A file as the store has it; `contents` opens its seals, which may fail for this one file alone."""

    file_id: str
    clinic: str
    kind: str
    outcome: str
    revision: int
    suffix: str
    captured_at: datetime
    done_revision: int = 0
    """The newest revision that the chart has confirmed; 0: none."""
    contents: Contents | PermanentError | None = field(default=None, repr=False)
    """Opened only for files that are to be delivered."""
    ordered_to: str | None = None
    """Id of the key to which a revision was ordered that its chart could not open."""


Facts = Mapping[str, File]
"""By file id; a file that is not there is not in the store."""


def gather_files(
    connection: Connection, file_ids: Collection[str], opened: Callable[[str, int], bool], opener: Opener
) -> dict[str, File]:
    """Read these files, locked in the order of their ids; `opened` says whose seals to open, by id and revision."""
    wanted = sorted(set(file_ids))
    sizes.check(connection, wanted, files.c.sealed_original, files.c.sealed_record)
    query = select(files).where(files.c.file_id.in_(wanted)).order_by(files.c.file_id).with_for_update()
    rows = {row.file_id: row for row in connection.execute(query)}
    done = _done_revisions(connection, wanted)
    to_open = [file_id for file_id, row in rows.items() if opened(file_id, row.revision)]
    found = _results(connection, to_open)
    return {
        file_id: File(
            file_id=file_id,
            clinic=row.clinic,
            kind=row.kind,
            outcome=row.outcome,
            revision=row.revision,
            suffix=row.suffix,
            captured_at=row.captured_at,
            done_revision=done.get(file_id, 0),
            contents=_contents(row, found.get(file_id, []), opener) if file_id in to_open else None,
        )
        for file_id, row in rows.items()
    }


def _done_revisions(connection: Connection, file_ids: list[str]) -> dict[str, int]:
    query = (
        select(deliveries.c.file_id, deliveries.c.done_revision)
        .where(deliveries.c.file_id.in_(file_ids))
        .order_by(deliveries.c.file_id)
        .with_for_update()
    )
    return {row.file_id: row.done_revision for row in connection.execute(query)}


def _results(connection: Connection, file_ids: list[str]) -> dict[str, list[Row[Any]]]:
    found: dict[str, list[Row[Any]]] = {}
    if file_ids:
        query = select(results).where(results.c.file_id.in_(file_ids)).order_by(results.c.file_id, results.c.result)
        for row in connection.execute(query):
            found.setdefault(row.file_id, []).append(row)
    return found


def _contents(row: Row[Any], found: list[Row[Any]], opener: Opener) -> Contents | PermanentError:
    try:
        if row.sealed_original is None:
            return PermanentError("no_original")
        original = SealedFile.from_bytes(opener.open(row.clinic, file_context(row.file_id), row.sealed_original))
        record = None
        if row.sealed_record is not None:
            record = parse_record_json(opener.open(row.clinic, record_context(row.file_id), row.sealed_record))
        return Contents(original.name, original.content, record, tuple(_result(one, opener) for one in found))
    except PermanentError as error:
        return error
    except ValueError:
        # A validation error quotes what it was given.
        return PermanentError("record_unreadable")


def _result(row: Row[Any], opener: Opener) -> Result:
    detail = opener.open(row.clinic, result_context(row.file_id, row.result), row.sealed_result)
    return Result(row.result, tuple(row.verdicts.split()), row.needs_review, ResultDetail.model_validate_json(detail))
