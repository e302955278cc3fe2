"""What does the store know of a batch: the files' records opened, and the requests concerned?"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, or_, select, tuple_

from consumers.consent.grants import Asked, asked
from consumers.consent.hearing import Heard, Hearing, Untaken
from consumers.consent.person_detail import PersonDetail
from consumers.consent.withdrawals import TIMES, Ended, Withdrawals, Withdrawn, told_at
from pipeline.contents import person_context, record_context
from pipeline.errors import PermanentError
from pipeline.events import Event, RecordParsed, RequestEvent, RequestWithdrawn
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer, layer_of
from pipeline.oqs.codes import Consent as Flag
from pipeline.oqs.records import Record, parse_record_json
from pipeline.persons import person_hash
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage import sizes
from pipeline.storage.schema import files, requests, results


@dataclass(frozen=True, slots=True)
class PersonAnswer:
    """The consents of one person in a file."""

    person_hash: str
    patient_hash: str | None
    sealed_person: bytes | None = field(repr=False)
    asked: Asked


@dataclass(frozen=True, slots=True)
class Thin:
    """Consents that can be tied to nobody: who gave them cannot be told from another."""

    place: int
    granted: int


@dataclass(frozen=True, slots=True)
class FileFacts:
    """One file, opened. `request_id`: the request of ours it answers. `processed_at`: when its refusals count from.
    `thin`: consents of persons of whom too little is told, by their place in the file. `withdrawn`: whose stored
    consents it ends.
    """

    layer: Layer
    processed_at: datetime
    is_foreign: bool
    request_id: str | None
    answers: tuple[PersonAnswer, ...]
    heard: Heard | None = None
    """What it says to that request."""
    thin: tuple[Thin, ...] = ()
    withdrawn: Withdrawn | None = None
    ended: tuple[Ended, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """`files` has an error where a file could not be opened: it concerns that file alone. `requests`: clinic
    and id → state, so that no clinic can move another's.
    """

    files: dict[str, FileFacts | PermanentError]
    requests: dict[tuple[str, str], str]
    untaken: dict[tuple[str, str], Untaken] = field(default_factory=dict)
    """Downloads that nobody took, by clinic and id."""


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
        self._withdrawals = Withdrawals(keyring)

    def gather(self, connection: Connection, batch: Sequence[Event]) -> Facts:
        parsed = [event for event in batch if isinstance(event, RecordParsed)]
        sizes.check(connection, {event.file_id for event in parsed}, files.c.sealed_record)
        rows = {row.file_id: row for row in connection.execute(_files_of(parsed))} if parsed else {}
        held = _requests(connection, batch, rows)
        known = _Known({(row.clinic, row.base_hash): row for row in held}, _patients(connection, rows), connection)
        found = {event.file_id: self._read(event, rows.get(event.file_id), known) for event in parsed}
        states = {(row.clinic, row.request_id): row.state for row in held}
        return Facts(found, states, dict(self._untaken(connection, batch, held)))

    def _untaken(
        self, connection: Connection, batch: Sequence[Event], held: Sequence[Row[Any]]
    ) -> Iterator[tuple[tuple[str, str], Untaken]]:
        over = {event.request_id for event in batch if isinstance(event, RequestWithdrawn)}
        for row in held:
            if row.request_id in over and row.phase == "02":
                # One that cannot be read any more ends as any other does.
                with contextlib.suppress(PermanentError, ValueError):
                    yield (row.clinic, row.request_id), self._hearing.untaken(connection, row)

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
        answers = list(self._answers(event, record, known.patients, row.captured_at))
        request = known.requests.get((event.clinic, row.correlation_hash))
        heard = self._hearing.read(known.connection, request, record) if request else None
        return FileFacts(
            layer=layer_of(record),
            processed_at=told_at(row),
            is_foreign=row.reason == "foreign_answer" or (heard is not None and heard.is_foreign),
            request_id=request.request_id if request else None,
            answers=tuple(answer for answer in answers if isinstance(answer, PersonAnswer)),
            heard=heard,
            thin=tuple(answer for answer in answers if isinstance(answer, Thin)),
            withdrawn=self._withdrawals.read(known.connection, event.clinic, record, request),
            ended=tuple(
                ended
                for answer in answers
                if isinstance(answer, PersonAnswer) and answer.sealed_person is not None
                for ended in self._withdrawals.overtaking(
                    known.connection, event.clinic, answer.asked, answer.person_hash
                )
            ),
        )

    def _answers(
        self, event: RecordParsed, record: Record, patients: dict[tuple[str, str], str], at: datetime
    ) -> Iterator[PersonAnswer | Thin]:
        identity = self._keyring.identity(event.clinic)
        for place, said in enumerate(asked(event.kind, record)):
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
            elif not said.is_card_inquiry:
                yield Thin(place, sum(group.flag == Flag.GIVEN for group in result.consents))

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
            card_classification=result.card_classification,
            institution_code=said.institution_code,
        )
        public = self._keyring.epoch_key(clinic, KeyClass.STANDING, at)
        return self._sealer.seal(public, clinic, person_context(hashed), detail.model_dump_json().encode())


def _files_of(parsed: Sequence[RecordParsed]) -> Select[Any]:
    columns = (files.c.file_id, files.c.clinic, files.c.reason, files.c.correlation_hash, files.c.sealed_record)
    ids = sorted({event.file_id for event in parsed})
    return select(*columns, *TIMES).where(files.c.file_id.in_(ids))


def _patients(connection: Connection, rows: Mapping[str, Row[Any]]) -> dict[tuple[str, str], str]:
    """Find chart patients that reconciliation has already matched; often it has not come so far yet."""
    if not rows:
        return {}
    query = select(results.c.file_id, results.c.person_hash, results.c.patient_hash)
    query = query.where(results.c.file_id.in_(sorted(rows)), results.c.patient_hash.is_not(None))
    return {(row.file_id, row.person_hash): row.patient_hash for row in connection.execute(query)}


def _grants_any(said: Asked) -> bool:
    return any(group.flag == Flag.GIVEN for group in said.result.consents)


def _requests(connection: Connection, batch: Sequence[Event], rows: Mapping[str, Row[Any]]) -> Sequence[Any]:
    bases = sorted({(row.clinic, row.correlation_hash) for row in rows.values() if row.correlation_hash})
    named = sorted({event.request_id for event in batch if isinstance(event, RequestEvent)})
    if not bases and not named:
        return ()
    query = select(requests).where(
        or_(tuple_(requests.c.clinic, requests.c.base_hash).in_(bases), requests.c.request_id.in_(named))
    )
    return connection.execute(query.order_by(requests.c.request_id).with_for_update()).all()
