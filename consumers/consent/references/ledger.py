"""How is what became of a reference number (照会番号) written?

Every write is conditional, so that neither the order of arrival nor a second instance ends otherwise: a result counts
only over older ones, an answer only for what was asked.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, or_, update

from consumers.consent.references.rows import Key, Reference, number_hash
from consumers.consent.references.state import Reason, ReferenceState
from pipeline.keyring import Keyring
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.engine import insert_into
from pipeline.storage.schema import reference_numbers, results

_NUMBERS = reference_numbers.c
_KEY: Final = [_NUMBERS.clinic, _NUMBERS.patient_hash, _NUMBERS.insurance_hash]


@dataclass(frozen=True, slots=True)
class Judged:
    """Write: a result was judged; it is not again until reconciliation decides it anew."""

    file_id: str
    result: int
    revision: int


@dataclass(frozen=True, slots=True, repr=False)
class Write:
    """Write: where a number stands. `seen_at`: the result that said so; none when a person wants it."""

    reference: Reference
    state: ReferenceState
    code: str
    asked_by: str
    reason: Reason | None = None
    seen_at: datetime | None = None
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True)
class Settle:
    """Write: how a registration that was asked for ended."""

    key: Key
    inquiry_id: str
    state: ReferenceState
    reason: str | None = None
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Renew:
    """Write: whatever was registered under another institution code (医療機関コード) is wanted again."""

    clinic: str
    code: str
    asked_by: str
    not_before: datetime | None = None


def write(connection: Connection, keyring: Keyring, sealer: Sealer, made: Sequence[Write], now: datetime) -> None:
    """Write judgements, and what people want."""
    for each in made:
        row = _row(keyring, sealer, each, now)
        changed = {name: value for name, value in row.items() if name not in _UNCHANGED}
        statement = insert_into(connection, reference_numbers).values(**row)
        connection.execute(statement.on_conflict_do_update(index_elements=_KEY, set_=changed, where=_may_replace(each)))


_UNCHANGED: Final = ("clinic", "patient_hash", "insurance_hash")


def _may_replace(made: Write) -> ColumnElement[bool]:
    if made.seen_at is None:
        # What is on its way is not asked for twice.
        return _NUMBERS.state != ReferenceState.ASKED
    return or_(_NUMBERS.seen_at.is_(None), _NUMBERS.seen_at < made.seen_at)


def _row(keyring: Keyring, sealer: Sealer, made: Write, now: datetime) -> dict[str, Any]:
    key, detail = made.reference.key, made.reference.detail
    public = keyring.epoch_key(key.clinic, KeyClass.STANDING, now)
    row: dict[str, Any] = {
        "clinic": key.clinic,
        "patient_hash": key.patient_hash,
        "insurance_hash": key.insurance_hash,
        "number_hash": number_hash(keyring.identity(key.clinic), detail.number),
        "sealed": sealer.seal(public, key.clinic, key.context, detail.model_dump_json().encode()),
        "state": made.state.value,
        "reason": made.reason.value if made.reason else None,
        "institution_code": made.code,
        "asked_by": made.asked_by,
        "not_before": made.not_before,
    }
    if made.seen_at is not None:
        row["seen_at"] = made.seen_at
    if made.state is ReferenceState.WANTED:
        row |= {"wanted_at": now, "registered_at": None, "verified_at": None}
    if made.state is ReferenceState.VERIFIED:
        row["verified_at"] = made.seen_at
    return row


def mark_judged(connection: Connection, judged: Sequence[Judged]) -> None:
    for each in judged:
        same = and_(results.c.file_id == each.file_id, results.c.result == each.result)
        # Decided anew meanwhile: it is judged once more.
        unchanged = results.c.revision == each.revision
        connection.execute(update(results).where(same, unchanged).values(reference_due=False))


def settle(connection: Connection, settled: Sequence[Settle]) -> None:
    for each in settled:
        values: dict[str, Any] = {"state": each.state.value, "reason": each.reason}
        if each.state is ReferenceState.REGISTERED:
            values["registered_at"] = each.at
        # An answer counts although its time was already over; nothing else is undone.
        is_open = or_(
            _NUMBERS.state == ReferenceState.ASKED,
            and_(_NUMBERS.state == ReferenceState.REFUSED, _NUMBERS.reason == Reason.NO_ANSWER),
        )
        connection.execute(
            update(reference_numbers)
            .where(same_key(each.key), _NUMBERS.inquiry_id == each.inquiry_id, is_open)
            .values(**values)
        )


def renew(connection: Connection, renewed: Sequence[Renew], now: datetime) -> int:
    """Want again what stands under another code; returns how many."""
    count = 0
    for each in renewed:
        stands = _NUMBERS.state.in_([ReferenceState.REGISTERED.value, ReferenceState.VERIFIED.value])
        outdated = and_(_NUMBERS.clinic == each.clinic, stands, _NUMBERS.institution_code != each.code)
        values = {
            "state": ReferenceState.WANTED.value,
            "reason": None,
            "institution_code": each.code,
            "asked_by": each.asked_by,
            "wanted_at": now,
            "not_before": each.not_before,
            "registered_at": None,
            "verified_at": None,
        }
        count += connection.execute(update(reference_numbers).where(outdated).values(**values)).rowcount
    return count


def same_key(key: Key) -> ColumnElement[bool]:
    parts = (key.clinic, key.patient_hash, key.insurance_hash)
    return and_(*(column == part for column, part in zip(_KEY, parts, strict=True)))
