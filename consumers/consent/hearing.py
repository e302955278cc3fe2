"""What does an answer say to the request of ours that it answers?"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from consumers.consent.asking import RequestFile
from consumers.consent.belonging import is_foreign
from consumers.consent.exchange import Said, Step
from pipeline.contents import request_context
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Answer, Layer, answer_of, institution_code, reception_number
from pipeline.oqs.names import MessageKind, Phase
from pipeline.oqs.records import Record
from pipeline.oqs.requests import read_request
from pipeline.sealing import Opener
from pipeline.storage.schema import requests


@dataclass(frozen=True, slots=True)
class Heard:
    """An answer beside its request. `is_foreign`: it is not the answer to that request, whatever its name says."""

    step: Step
    answer: Answer
    said: Said = field(repr=False)
    is_foreign: bool


@dataclass(frozen=True, slots=True)
class Untaken:
    """A request that its terminal took back. `said`: nothing but what the request says itself."""

    step: Step
    said: Said = field(repr=False)


class Hearing:
    """Opens requests with the keys of the centre."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opener = Opener(keyring)

    def read(self, connection: Connection, row: Row[Any], record: Record) -> Heard:
        """Read what a record says to the request of this row.

        Raises:
            PermanentError: the request cannot be opened.
            ValueError: it is damaged.
        """
        file, step = self._step(connection, row)
        answer = answer_of(record)
        code = institution_code(record) or (_own_code(step, file) if step.is_bulk else "")
        said = Said(answer.layer, code, reception_number(record))
        return Heard(step, answer, said, is_foreign(file, record))

    def untaken(self, connection: Connection, row: Row[Any]) -> Untaken:
        """Read the request of this row, which nobody took.

        Raises:
            PermanentError: the request cannot be opened.
            ValueError: it is damaged.
        """
        file, step = self._step(connection, row)
        return Untaken(step, Said(Layer.STILL_PROCESSING, _own_code(step, file), file.reception_number))

    def _step(self, connection: Connection, row: Row[Any]) -> tuple[RequestFile, Step]:
        raw = self._opener.open(row.clinic, request_context(row.request_id), row.sealed_request)
        file = RequestFile.model_validate_json(raw)
        inquiry_id = row.inquiry_id or row.request_id
        following = row.attempt + 1 if row.phase == "02" else 1
        identity = self._keyring.identity(row.clinic)
        step = Step(
            request_id=row.request_id,
            clinic=row.clinic,
            terminal=row.terminal,
            kind=row.kind,
            phase=row.phase,
            attempt=row.attempt,
            inquiry_id=inquiry_id,
            asked_by=row.asked_by,
            begun_at=_begun(connection, row, inquiry_id),
            detail=file,
            digest=identity.mac("download", inquiry_id.encode(), str(following).encode()),
        )
        return file, step


def _own_code(step: Step, file: RequestFile) -> str:
    """Name the institution code of our own request: under it an exchange goes on where no answer names one."""
    phase: Phase = "02" if step.is_download else "01"
    return read_request(MessageKind(step.kind), file.content, phase).header.institution_code


def _begun(connection: Connection, row: Row[Any], inquiry_id: str) -> datetime:
    own: datetime = row.wanted_at
    if inquiry_id == row.request_id:
        return own
    query = select(requests.c.wanted_at).where(requests.c.request_id == inquiry_id)
    first: datetime | None = connection.execute(query).scalar()
    return first or own
