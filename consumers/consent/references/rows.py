"""How is a reference number (照会番号) kept, and which entry of a request is it?"""

import re
from dataclasses import dataclass, field
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Row

from consumers.consent.cards import request_insurer
from consumers.consent.references.state import Held, Reason, ReferenceState
from pipeline.contents import reference_context
from pipeline.folding import fold_branch, fold_insurer, fold_symbol, without_zeros
from pipeline.hidden import Hidden
from pipeline.oqs.requests import RegistrationEntry
from pipeline.persons import patient_hash
from pipeline.sealing import IdentityKey
from pipeline.topology import Role

_NUMBER: Final = re.compile("[!-~]{1,50}")
_LATE_ELDERLY: Final = "39"
"""First digits of insurers of 後期高齢者医療, whose members have no branch number."""


class ReferenceDetail(Hidden):
    """A number and the insurance it is for (`reference_numbers.sealed`, key class `standing`)."""

    patient_id: str
    number: str
    """照会番号, as sent: the chart number."""
    insurer_number: str
    symbol: str = ""
    card_number: str
    branch_number: str = ""
    carried: str | None = None
    """What the service gave instead."""


@dataclass(frozen=True, slots=True)
class Key:
    clinic: str
    patient_hash: str
    insurance_hash: str

    @property
    def context(self) -> str:
        return reference_context(self.patient_hash, self.insurance_hash)


@dataclass(frozen=True, slots=True)
class Reference:
    """One number of one patient for one insurance, opened."""

    key: Key
    detail: ReferenceDetail = field(repr=False)


def key_of(row: Row[Any]) -> Key:
    return Key(row.clinic, row.patient_hash, row.insurance_hash)


def held_of(row: Row[Any]) -> Held:
    is_by_hand = row.asked_by != Role.CONSENT.value
    return Held(ReferenceState(row.state), row.seen_at, row.registered_at, is_by_hand=is_by_hand)


def insurance_hash(
    identity: IdentityKey, insurer: str | None, symbol: str | None, number: str | None, branch: str | None
) -> str:
    parts = (
        fold_insurer(insurer),
        without_zeros(fold_symbol(symbol)),
        without_zeros(fold_symbol(number)),
        fold_branch(branch) or "",
    )
    return identity.mac("insurance", *(part.encode() for part in parts))


def number_hash(identity: IdentityKey, number: str) -> str:
    return identity.mac("reference", number.encode())


def reference(identity: IdentityKey, clinic: str, detail: ReferenceDetail) -> Reference:
    hashed = insurance_hash(identity, detail.insurer_number, detail.symbol, detail.card_number, detail.branch_number)
    return Reference(Key(clinic, patient_hash(identity, detail.patient_id), hashed), detail)


def entry_of(detail: ReferenceDetail) -> RegistrationEntry | Reason:
    """Write the entry of a request, or say why the service would not take it."""
    if not _NUMBER.fullmatch(detail.number):
        return Reason.NUMBER_NOT_ALLOWED
    insurer = fold_insurer(detail.insurer_number)
    branch = fold_branch(detail.branch_number)
    if branch is None and not insurer.startswith(_LATE_ELDERLY):
        return Reason.BRANCH_NUMBER_MISSING
    try:
        return RegistrationEntry(
            reference_number=detail.number,
            insurer_number=request_insurer(insurer),
            symbol=detail.symbol or None,
            number=detail.card_number,
            branch_number=branch,
        )
    except ValidationError:
        return Reason.CARD_NOT_ALLOWED
