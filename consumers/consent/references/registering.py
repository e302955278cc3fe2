"""Which numbers (照会番号) are registered now, in which request?

A few go out one by one, for their answers come at once; many go out in one file of at most 5,000, whose answer is
fetched later (oqs-interface section 3.3).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, Row, or_, select, update

from consumers.consent import asking
from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.references.ledger import same_key
from consumers.consent.references.rows import Key, Reference, ReferenceDetail, entry_of, key_of
from consumers.consent.references.state import Reason, ReferenceState
from pipeline.clinic_settings import Clinic
from pipeline.errors import PermanentError
from pipeline.events import derive_id
from pipeline.keyring import Keyring
from pipeline.oqs.requests import (
    MAX_REGISTRATIONS,
    BulkRegistrationRequest,
    Header,
    RegistrationEntry,
    RegistrationRequest,
)
from pipeline.oqs.times import JST
from pipeline.sealing import Opener
from pipeline.storage.schema import reference_numbers
from pipeline.topology import Role

SINGLES: Final = 5
"""As many are asked for one by one."""
UNREADABLE: Final = "unreadable"
_NUMBERS = reference_numbers.c


@dataclass(frozen=True, slots=True, repr=False)
class Register:
    """Write: a request that registers these numbers."""

    wanted: Wanted
    keys: tuple[Key, ...]
    code: str


def clinics_waiting(connection: Connection, now: datetime) -> list[str]:
    query = select(_NUMBERS.clinic).where(_is_due(now)).distinct().order_by(_NUMBERS.clinic)
    return list(connection.scalars(query))


def _is_due(now: datetime) -> Any:
    is_time = or_(_NUMBERS.not_before.is_(None), _NUMBERS.not_before <= now)
    return (_NUMBERS.state == ReferenceState.WANTED) & is_time


def writes(connection: Connection, opener: Opener, clinic: Clinic, now: datetime) -> list[object]:
    """Claim what is wanted of one clinic, and make its requests."""
    if not clinic.terminals:
        return []
    query = select(reference_numbers).where(_NUMBERS.clinic == clinic.id, _is_due(now))
    query = query.order_by(_NUMBERS.wanted_at, _NUMBERS.patient_hash, _NUMBERS.insurance_hash).limit(MAX_REGISTRATIONS)
    rows = connection.execute(query.with_for_update(skip_locked=True)).all()
    code = clinic.code_on(now.astimezone(JST).date())
    others = _taken(connection, clinic.id)
    good: list[_Good] = []
    refused: list[object] = []
    for row in rows:
        found = _open(opener, row)
        entry = UNREADABLE if found is None else entry_of(found.detail)
        if row.asked_by == Role.CONSENT.value and others.get(row.insurance_hash, set()) - {row.patient_hash}:
            # While it waited, the service showed another chart's number here; only a person registers over that.
            entry = Reason.OTHER_PATIENT
        if found is None or not isinstance(entry, RegistrationEntry):
            refused.append(Refuse(key_of(row), str(entry)))
        else:
            good.append(_Good(found, entry, row.asked_by))
    return [*refused, *_requests(clinic, good, code)]


def _taken(connection: Connection, clinic: str) -> dict[str, set[str]]:
    """Name the patients whose number an insurance holds, of all that is registered."""
    stands = _NUMBERS.state.in_([ReferenceState.REGISTERED.value, ReferenceState.VERIFIED.value])
    waiting = select(_NUMBERS.insurance_hash).where(
        _NUMBERS.clinic == clinic, _NUMBERS.state == ReferenceState.WANTED.value
    )
    query = select(_NUMBERS.insurance_hash, _NUMBERS.patient_hash).where(
        _NUMBERS.clinic == clinic, stands, _NUMBERS.insurance_hash.in_(waiting)
    )
    owners: dict[str, set[str]] = {}
    for row in connection.execute(query):
        owners.setdefault(row.insurance_hash, set()).add(row.patient_hash)
    return owners


@dataclass(frozen=True, slots=True)
class Refuse:
    """Write: a number that cannot be asked for."""

    key: Key
    reason: str


def _open(opener: Opener, row: Row[Any]) -> Reference | None:
    key = key_of(row)
    try:
        detail = ReferenceDetail.model_validate_json(opener.open(key.clinic, key.context, row.sealed))
    except (PermanentError, ValidationError):
        return None
    return Reference(key, detail)


@dataclass(frozen=True, slots=True, repr=False)
class _Good:
    """A number that can be asked for, and who wants it."""

    reference: Reference
    entry: RegistrationEntry
    asked_by: str


def _requests(clinic: Clinic, good: Sequence[_Good], code: str) -> Iterator[Register]:
    if len(good) <= SINGLES:
        yield from (_single(clinic, one, code) for one in good)
    else:
        yield _bulk(clinic, good, code)


def _single(clinic: Clinic, one: _Good, code: str) -> Register:
    found, detail, entry = one.reference, one.reference.detail, one.entry
    file = compose(
        lambda identifier: RegistrationRequest(
            header=Header(institution_code=code, arbitrary_file_identifier=identifier), registration=entry
        ),
        reference_number=detail.number,
        patient_id=detail.patient_id,
        insurer_number=detail.insurer_number,
        symbol=detail.symbol or None,
        number=detail.card_number,
        branch_number=detail.branch_number or None,
    )
    wanted = Wanted(
        clinic=clinic.id,
        terminal=clinic.terminals[0].id,
        kind=RegistrationRequest.kind.value,
        file=file,
        person_hash=None,
        patient_hash=found.key.patient_hash,
        inquiry_id=derive_id("registration", clinic.id, file.base_name),
        asked_by=one.asked_by,
    )
    return Register(wanted, (found.key,), code)


def _bulk(clinic: Clinic, good: Sequence[_Good], code: str) -> Register:
    entries, people = tuple(one.entry for one in good), {one.asked_by for one in good}
    file = compose(
        lambda identifier: BulkRegistrationRequest(
            header=Header(institution_code=code, arbitrary_file_identifier=identifier), registrations=entries
        )
    )
    wanted = Wanted(
        clinic=clinic.id,
        terminal=clinic.terminals[0].id,
        kind=BulkRegistrationRequest.kind.value,
        file=file,
        person_hash=None,
        inquiry_id=derive_id("registration", clinic.id, file.base_name),
        asked_by=people.pop() if len(people) == 1 else Role.CONSENT.value,
    )
    return Register(wanted, tuple(one.reference.key for one in good), code)


def apply(connection: Connection, keyring: Keyring, made: Register, timeout: timedelta, now: datetime) -> None:
    """Write the request, and which numbers it asks for."""
    asking.add(connection, keyring, made.wanted, timeout, now)
    values = {
        "state": ReferenceState.ASKED.value,
        "reason": None,
        "inquiry_id": made.wanted.inquiry_id,
        "institution_code": made.code,
        "asked_at": now,
        "not_before": None,
    }
    for key in made.keys:
        is_wanted = _NUMBERS.state == ReferenceState.WANTED
        connection.execute(update(reference_numbers).where(same_key(key), is_wanted).values(**values))


def refuse(connection: Connection, made: Refuse) -> None:
    values = {"state": ReferenceState.REFUSED.value, "reason": made.reason}
    is_wanted = _NUMBERS.state == ReferenceState.WANTED
    connection.execute(update(reference_numbers).where(same_key(made.key), is_wanted).values(**values))
