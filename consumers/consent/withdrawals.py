"""Whose stored consent did the service end? (閲覧同意取り消し, oqs-interface sections 3.7 and 5.3)

The answer names no kana, so that it makes no person by itself. It is tied to the person of our own request; where
another program asked, to the one person with a stored consent whose insurance and birthdate it names, even if the
answer came before the consent that it ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Row, exists, select

from consumers.consent.grants import Asked, Source
from consumers.consent.person_detail import PersonDetail
from pipeline.contents import person_context, record_context, request_context
from pipeline.errors import PermanentError
from pipeline.folding import fold_birthdate, fold_branch, fold_insurer, same_symbol
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer, layer_of
from pipeline.oqs.codes import TreatmentFlag
from pipeline.oqs.eligibility import Withdrawal
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import ConsentWithdrawalRecord, Record, parse_record_json
from pipeline.persons import person_hash
from pipeline.request_row import RequestDetail
from pipeline.sealing import Opener
from pipeline.storage.schema import files, grants, requests, standings

_SOURCES = {TreatmentFlag.VISIT: Source.VISIT, TreatmentFlag.ONLINE: Source.ONLINE}


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The consents of a person from one source are over.

    `person_hash` is none when nobody with a stored consent fits, so that nothing is there to end, or several do.
    """

    source: Source
    person_hash: str | None
    is_ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A person's consents from one source ended at this time, as a file said that came before them."""

    person_hash: str
    source: Source
    at: datetime
    file_id: str
    terminal: str


TIMES: Final = (files.c.processed_at, files.c.captured_at, files.c.stored_at)


def told_at(row: Any) -> datetime:
    """Say when a file's refusals count from. Without a time of its own it is when the file came: not to ask is the
    safe side. The terminal's clock may be ahead, the centre's own note of the arrival is not.
    """
    at: datetime = row.processed_at or min(row.captured_at, row.stored_at)
    return at


class Withdrawals:
    """Reads answers to withdrawals with the keys of the centre."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opener = Opener(keyring)

    def read(self, connection: Connection, clinic: str, record: Record, request: Row[Any] | None) -> Withdrawn | None:
        if not isinstance(record, ConsentWithdrawalRecord) or layer_of(record) is not Layer.OK:
            return None
        told = record.withdrawal or Withdrawal()
        source = _source(told)
        hashed = self._of_request(clinic, request) if request is not None else None
        if hashed and _has_answered(connection, clinic, source, hashed):
            return Withdrawn(source, hashed)
        # The chart may write a person otherwise than the service, without branch number or kana: then it is another
        # hash, and the consent that was withdrawn would stand on.
        found = self._of_insurance(connection, clinic, source, told)
        if not found:
            return Withdrawn(source, hashed)
        # Twins on one card would both fit: then a person must say whose it was.
        return Withdrawn(source, found.pop()) if len(found) == 1 else Withdrawn(source, None, is_ambiguous=True)

    def overtaking(self, connection: Connection, clinic: str, asked: Asked, person_hash: str) -> Iterator[Ended]:
        """List the withdrawals of other programs that came before this answer, and end consents of its person."""
        if asked.source not in _SOURCES.values():
            return
        result = asked.result
        names = ("insurer_number", "symbol", "number", "branch_number", "birthdate")
        detail = PersonDetail.model_validate({name: getattr(result, name) for name in names})
        ours = exists().where(requests.c.clinic == files.c.clinic, requests.c.base_hash == files.c.correlation_hash)
        columns = (files.c.file_id, files.c.terminal, files.c.sealed_record, *TIMES)
        query = select(*columns).where(
            files.c.clinic == clinic,
            files.c.kind == MessageKind.WITHDRAWAL.value,
            files.c.sealed_record.is_not(None),
            ~ours,
        )
        for row in connection.execute(query.order_by(files.c.file_id)):
            told = self._told(clinic, row)
            if told is not None and _source(told) is asked.source and _is_same(detail, told):
                yield Ended(person_hash, asked.source, told_at(row), row.file_id, row.terminal)

    def _told(self, clinic: str, row: Any) -> Withdrawal | None:
        try:
            raw = self._opener.open(clinic, record_context(row.file_id), row.sealed_record)
            record = parse_record_json(raw)
        except (PermanentError, ValueError):
            return None
        is_good = isinstance(record, ConsentWithdrawalRecord) and layer_of(record) is Layer.OK
        return record.withdrawal or Withdrawal() if is_good and isinstance(record, ConsentWithdrawalRecord) else None

    def _of_request(self, clinic: str, request: Row[Any]) -> str | None:
        if request.person_hash:
            return str(request.person_hash)
        try:
            raw = self._opener.open(clinic, request_context(request.request_id), request.sealed_request)
            asked = RequestDetail.model_validate_json(raw)
        except (PermanentError, ValidationError):
            return None
        insurance = (asked.insurer_number, asked.symbol, asked.number, asked.branch_number)
        return person_hash(self._keyring.identity(clinic), *insurance, asked.birthdate, asked.kana)

    def _of_insurance(self, connection: Connection, clinic: str, source: Source, told: Withdrawal) -> set[str]:
        """Look through those who ever stored a consent; they are few, and an answer like this is rare.

        Also where it has been withdrawn since: a later withdrawal ends later what may still arrive.
        """
        query = select(grants.c.person_hash, grants.c.sealed_person).where(
            grants.c.clinic == clinic,
            grants.c.source == source.value,
            grants.c.granted.is_(True),
            grants.c.sealed_person.is_not(None),
        )
        people = {row.person_hash: row.sealed_person for row in connection.execute(query)}
        return set(self._named(clinic, people, told))

    def _named(self, clinic: str, people: dict[str, bytes], told: Withdrawal) -> Iterator[str]:
        for hashed, sealed in people.items():
            try:
                raw = self._opener.open(clinic, person_context(hashed), sealed)
                detail = PersonDetail.model_validate_json(raw)
            except (PermanentError, ValidationError):
                continue
            if _is_same(detail, told):
                yield hashed


def _has_answered(connection: Connection, clinic: str, source: Source, hashed: str) -> bool:
    own = (standings.c.clinic == clinic) & (standings.c.person_hash == hashed) & (standings.c.source == source.value)
    return connection.execute(select(standings.c.grant_id).where(own).limit(1)).first() is not None


def _source(told: Withdrawal) -> Source:
    flag = TreatmentFlag.of(told.treatment_flag)
    return _SOURCES.get(flag, Source.VISIT) if flag else Source.VISIT


def _is_same(detail: PersonDetail, told: Withdrawal) -> bool:
    branches = {fold_branch(detail.branch_number), fold_branch(told.branch_number)} - {"", None}
    return (
        fold_birthdate(detail.birthdate) == fold_birthdate(told.birthdate)
        and fold_insurer(detail.insurer_number) == fold_insurer(told.insurer_number)
        and same_symbol(detail.symbol, told.symbol)
        and same_symbol(detail.number, told.number)
        and len(branches) <= 1
    )
