"""What does the store know of a batch: the files' records opened, and the requests concerned?"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select, tuple_

from consumers.consent.grants import Asked, asked
from consumers.consent.hearing import Heard, Hearing
from pipeline.contents import record_context
from pipeline.errors import PermanentError
from pipeline.events import Event, RecordParsed, RequestEvent
from pipeline.hidden import Hidden
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer, layer_of
from pipeline.oqs.records import Record, parse_record_json
from pipeline.persons import person_hash
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage import sizes
from pipeline.storage.schema import files, requests, results


class PersonDetail(Hidden):
    """What a request needs to name the person of a grant (`grants.sealed_person`, key class `standing`)."""

    insurer_number: str | None = None
    symbol: str | None = None
    number: str | None = None
    branch_number: str | None = None
    birthdate: str | None = None
    name: str | None = None
    kana: str | None = None


def person_context(hashed: str) -> str:
    return f"person:{hashed}"


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    """The consents of one person in a file."""

    person_hash: str
    patient_hash: str | None
    sealed_person: bytes | None = field(repr=False)
    asked: Asked


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file, opened. `request_id`: the request of ours it answers."""

    layer: Layer
    processed_at: datetime | None
    is_foreign: bool
    request_id: str | None
    answers: tuple[PersonAnswer, ...]
    heard: Heard | None = None
    """What it says to that request."""


@dataclass(frozen=True, slots=True)
class Facts:
    """`files` has an error where a file could not be opened: it concerns that file alone. `requests`: clinic
    and id → state, so that no clinic can move another's.
    """

    files: dict[str, FileFacts | PermanentError]
    requests: dict[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class _Known:
    """What was asked of the store for the whole batch."""

    requests: dict[tuple[str, str], Row[Any]]
    patients: dict[tuple[str, str], str]
    connection: Connection


class Gatherer:
    """Reads facts with the keys of the centre."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()
        self._hearing = Hearing(keyring)

    def gather(self, connection: Connection, batch: Sequence[Event]) -> Facts:
        parsed = [event for event in batch if isinstance(event, RecordParsed)]
        sizes.check(connection, {event.file_id for event in parsed}, files.c.sealed_record)
        rows = {row.file_id: row for row in connection.execute(_files_of(parsed))} if parsed else {}
        held = _requests(connection, batch, rows)
        known = _Known({(row.clinic, row.base_hash): row for row in held}, _patients(connection, rows), connection)
        found = {event.file_id: self._read(event, rows.get(event.file_id), known) for event in parsed}
        return Facts(found, {(row.clinic, row.request_id): row.state for row in held})

    def _read(self, event: RecordParsed, row: Row[Any] | None, known: _Known) -> FileFacts | PermanentError:
        try:
            return self._open(event, row, known)
        except PermanentError as error:
            return error
        except ValueError:
            return PermanentError("record_unreadable")

    def _open(self, event: RecordParsed, row: Row[Any] | None, known: _Known) -> FileFacts:
        if row is None or row.clinic != event.clinic or row.sealed_record is None:
            raise PermanentError("record_missing")
        sealed: bytes = row.sealed_record
        record = parse_record_json(self._opener.open(event.clinic, record_context(event.file_id), sealed))
        request = known.requests.get((event.clinic, row.correlation_hash))
        heard = self._hearing.read(known.connection, request, record) if request else None
        return FileFacts(
            layer=layer_of(record),
            processed_at=row.processed_at,
            is_foreign=row.reason == "foreign_answer" or (heard is not None and heard.is_foreign),
            request_id=request.request_id if request else None,
            answers=tuple(self._answers(event, record, known.patients, row.captured_at)),
            heard=heard,
        )

    def _answers(
        self, event: RecordParsed, record: Record, patients: dict[tuple[str, str], str], at: datetime
    ) -> Iterator[PersonAnswer]:
        identity = self._keyring.identity(event.clinic)
        for said in asked(event.kind, record):
            result = said.result
            hashed = person_hash(
                identity,
                result.insurer_number,
                result.symbol,
                result.number,
                result.branch_number,
                result.birthdate,
                result.name_kana,
            )
            if hashed is not None:
                sealed = self._seal_person(event.clinic, hashed, said, at) if _grants_any(said) else None
                yield PersonAnswer(hashed, patients.get((event.file_id, hashed)), sealed, said)

    def _seal_person(self, clinic: str, hashed: str, said: Asked, at: datetime) -> bytes:
        result = said.result
        detail = PersonDetail(
            insurer_number=result.insurer_number,
            symbol=result.symbol,
            number=result.number,
            branch_number=result.branch_number,
            birthdate=result.birthdate,
            name=result.name,
            kana=result.name_kana,
        )
        public = self._keyring.epoch_key(clinic, KeyClass.STANDING, at)
        return self._sealer.seal(public, clinic, person_context(hashed), detail.model_dump_json().encode())


def _files_of(parsed: Sequence[RecordParsed]) -> Select[Any]:
    columns = (files.c.file_id, files.c.clinic, files.c.reason, files.c.correlation_hash, files.c.sealed_record)
    ids = sorted({event.file_id for event in parsed})
    return select(*columns, files.c.processed_at, files.c.captured_at).where(files.c.file_id.in_(ids))


def _patients(connection: Connection, rows: Mapping[str, Row[Any]]) -> dict[tuple[str, str], str]:
    """Find chart patients that reconciliation has already matched; often it has not come so far yet."""
    if not rows:
        return {}
    query = select(results.c.file_id, results.c.person_hash, results.c.patient_hash)
    query = query.where(results.c.file_id.in_(sorted(rows)), results.c.patient_hash.is_not(None))
    return {(row.file_id, row.person_hash): row.patient_hash for row in connection.execute(query)}


def _grants_any(said: Asked) -> bool:
    return any(group.flag == "1" for group in said.result.consents)


def _requests(connection: Connection, batch: Sequence[Event], rows: Mapping[str, Row[Any]]) -> Sequence[Any]:
    bases = sorted({(row.clinic, row.correlation_hash) for row in rows.values() if row.correlation_hash})
    named = sorted({event.request_id for event in batch if isinstance(event, RequestEvent)})
    if not bases and not named:
        return ()
    query = select(requests).where(
        or_(tuple_(requests.c.clinic, requests.c.base_hash).in_(bases), requests.c.request_id.in_(named))
    )
    return connection.execute(query.order_by(requests.c.request_id).with_for_update()).all()
