"""Whose stored consent did the service end? (閲覧同意取り消し, oqs-interface sections 3.7 and 5.3)

The answer names no kana, so that it makes no person by itself. It is tied to the person of our own request; where
another program asked, to the one person with a stored consent whose insurance and birthdate it names.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection, Row, select

from consumers.consent.grants import Source
from consumers.consent.person_detail import PersonDetail, person_context
from pipeline.contents import request_context
from pipeline.errors import PermanentError
from pipeline.folding import fold_birthdate, fold_branch, fold_insurer, same_symbol
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer, layer_of
from pipeline.oqs.codes import TreatmentFlag
from pipeline.oqs.eligibility import Withdrawal
from pipeline.oqs.records import ConsentWithdrawalRecord, Record
from pipeline.persons import person_hash
from pipeline.request_row import RequestDetail
from pipeline.sealing import Opener
from pipeline.storage.schema import grants, standings

_SOURCES = {TreatmentFlag.VISIT: Source.VISIT, TreatmentFlag.ONLINE: Source.ONLINE}


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The consents of a person from one source are over.

    `person_hash` is none when nobody with a stored consent fits, so that nothing is there to end, or several do.
    """

    source: Source
    person_hash: str | None
    is_ambiguous: bool = False


class Withdrawals:
    """Reads answers to withdrawals with the keys of the centre."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opener = Opener(keyring)

    def read(self, connection: Connection, clinic: str, record: Record, request: Row[Any] | None) -> Withdrawn | None:
        if not isinstance(record, ConsentWithdrawalRecord) or layer_of(record) is not Layer.OK:
            return None
        told = record.withdrawal or Withdrawal()
        flag = TreatmentFlag.of(told.treatment_flag)
        source = _SOURCES.get(flag, Source.VISIT) if flag else Source.VISIT
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
        """Look through those with a stored consent; they are few, and an answer like this is rare."""
        query = (
            select(standings.c.person_hash, grants.c.sealed_person)
            .join(grants, grants.c.grant_id == standings.c.grant_id)
            .where(standings.c.clinic == clinic, standings.c.source == source.value, standings.c.granted.is_(True))
        )
        people = {row.person_hash: row.sealed_person for row in connection.execute(query) if row.sealed_person}
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


def _is_same(detail: PersonDetail, told: Withdrawal) -> bool:
    branches = {fold_branch(detail.branch_number), fold_branch(told.branch_number)} - {"", None}
    return (
        fold_birthdate(detail.birthdate) == fold_birthdate(told.birthdate)
        and fold_insurer(detail.insurer_number) == fold_insurer(told.insurer_number)
        and same_symbol(detail.symbol, told.symbol)
        and same_symbol(detail.number, told.number)
        and len(branches) <= 1
    )
