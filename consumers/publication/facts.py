"""What does the store know of what a batch is about?"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from pipeline import outbox
from pipeline.contents import record_context
from pipeline.errors import PermanentError
from pipeline.event import Event, FileEvent
from pipeline.events import ConsentEvent, RecordReconciled
from pipeline.oqs.records import Record, parse_record_json
from pipeline.sealing import Opener
from pipeline.storage.schema import files, grants, results, vendor_held
from pipeline.topology import Role
from pipeline.vendor_events import vendor_of


@dataclass(frozen=True, slots=True)
class ResultRow:
    """One row of the result list, as far as vendors may know of it."""

    number: int
    verdicts: tuple[str, ...]
    needs_review: bool
    person_hash: str | None
    patient_hash: str | None


@dataclass(frozen=True, slots=True)
class File:
    """A file; `record` is opened only for events that may carry it, and none when it cannot be."""

    file_id: str
    clinic: str
    kind: str
    revision: int
    processed_at: datetime | None
    record: Record | None = field(default=None, repr=False)
    results: tuple[ResultRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Grant:
    """One answer of a patient."""

    clinic: str
    file_id: str
    kind: str | None
    consented_at: datetime
    person_hash: str
    patient_hash: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """By file id, by grant id; the vendors whose earlier events have not left yet, and why some cannot be told now."""

    files: Mapping[str, File]
    grants: Mapping[str, Grant]
    held: frozenset[str] = frozenset()
    faults: Mapping[str, str] = field(default_factory=dict)


def gather(connection: Connection, events: Sequence[Event], with_record: Collection[str], opener: Opener) -> Facts:
    """Read the facts of these events; `with_record` are the files whose record somebody is granted."""
    # In this order: another instance that releases what is held writes it into the outbox in the same transaction.
    held = frozenset(connection.scalars(select(vendor_held.c.vendor).distinct()))
    held |= leaving(connection).keys()
    grant_ids = sorted({event.grant_id for event in events if isinstance(event, ConsentEvent)})
    found = {row.grant_id: row for row in connection.execute(select(grants).where(grants.c.grant_id.in_(grant_ids)))}
    file_ids = {event.file_id for event in events if isinstance(event, FileEvent)}
    rows = _files(connection, sorted(file_ids | {row.file_id for row in found.values()}))
    reconciled = sorted({event.file_id for event in events if isinstance(event, RecordReconciled)})
    by_file = _results(connection, reconciled)
    return Facts(
        {
            file_id: File(
                file_id,
                row.clinic,
                row.kind,
                row.revision,
                row.processed_at,
                _record(row, opener) if file_id in with_record else None,
                tuple(by_file.get(file_id, ())),
            )
            for file_id, row in rows.items()
        },
        {grant_id: _grant(row, rows) for grant_id, row in found.items()},
        held,
    )


def leaving(connection: Connection) -> dict[str, set[str]]:
    """Find the vendors for whom something was written and not sent, with its routing keys.

    Their streams are not there, or the broker was away: what is said now must not overtake it.
    """
    found: dict[str, set[str]] = {}
    for key in outbox.unsent_keys(connection, Role.PUBLICATION):
        found.setdefault(vendor_of(key), set()).add(key)
    return found


def _grant(row: Row[Any], rows: Mapping[str, Row[Any]]) -> Grant:
    kind = rows[row.file_id].kind if row.file_id in rows else None
    return Grant(row.clinic, row.file_id, kind, row.consented_at, row.person_hash, row.patient_hash)


def _files(connection: Connection, file_ids: Sequence[str]) -> dict[str, Row[Any]]:
    if not file_ids:
        return {}
    return {row.file_id: row for row in connection.execute(select(files).where(files.c.file_id.in_(file_ids)))}


def _results(connection: Connection, file_ids: Sequence[str]) -> dict[str, list[ResultRow]]:
    found: dict[str, list[ResultRow]] = {}
    if file_ids:
        query = select(results).where(results.c.file_id.in_(file_ids)).order_by(results.c.file_id, results.c.result)
        for row in connection.execute(query):
            result = ResultRow(
                row.result, tuple(row.verdicts.split()), row.needs_review, row.person_hash, row.patient_hash
            )
            found.setdefault(row.file_id, []).append(result)
    return found


def _record(row: Row[Any], opener: Opener) -> Record | None:
    if not row.sealed_record:
        return None
    try:
        return parse_record_json(opener.open(row.clinic, record_context(row.file_id), row.sealed_record))
    except (PermanentError, ValueError):
        # It ended with its key, or is damaged: the event says that there is none.
        return None
