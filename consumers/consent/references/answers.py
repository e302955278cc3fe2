"""How did the registrations end that were asked for? Each number by itself, whatever request carried it.

A late answer counts although its time was over before: it is looked for as long as nothing better is known.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, or_, select

from consumers.consent.references.ledger import Settle
from consumers.consent.references.rows import insurance_hash, key_of, number_hash
from consumers.consent.references.state import Reason, ReferenceState
from consumers.consent.request_state import RequestState
from pipeline.contents import record_context
from pipeline.errors import PermanentError
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Answer, Layer, layer_of, registration_answers
from pipeline.oqs.eligibility import Registration
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import BulkRegistrationRecord, RegistrationRecord, parse_record_json
from pipeline.sealing import IdentityKey, Opener
from pipeline.storage.schema import files, reference_numbers, requests

LATE_FOR: Final = timedelta(days=7)
"""How long an answer that came after its time is still looked for."""
BULK_WAITS: Final = timedelta(days=1)
"""How long a bulk registration may stay without an answer of its own after its upload was taken."""
_CODE: Final = re.compile("[0-9A-Za-z]{1,16}")
_OPEN: Final = (RequestState.WANTED.value, RequestState.PLACED.value)
_ENDED_BY_SERVICE: Final = (RequestState.ANSWERED.value, RequestState.REFUSED.value)
_NUMBERS = reference_numbers.c

_Told = tuple[tuple[Registration, Answer], ...]


def writes(connection: Connection, keyring: Keyring, opener: Opener, now: datetime) -> list[Settle]:
    """Say how every number ended whose registration is over."""
    made: list[Settle] = []
    for inquiry_id, group in groupby(_requests(connection, now), key=_inquiry):
        own = list(group)
        answer = _answer(opener, own)
        if answer is not None:
            made.extend(_told(connection, keyring.identity(own[0].clinic), inquiry_id, *answer))
        elif (reason := _reason(own, now)) is not None:
            made.extend(
                Settle(key_of(row), inquiry_id, ReferenceState.REFUSED, reason) for row in _rows(connection, inquiry_id)
            )
    return made


def _inquiry(row: Row[Any]) -> str:
    return str(row.inquiry_id)


def _requests(connection: Connection, now: datetime) -> Sequence[Row[Any]]:
    asked = select(_NUMBERS.inquiry_id).where(_NUMBERS.state == ReferenceState.ASKED)
    given_up = select(_NUMBERS.inquiry_id).where(
        _NUMBERS.state == ReferenceState.REFUSED,
        _NUMBERS.reason == Reason.NO_ANSWER,
        _NUMBERS.asked_at > now - LATE_FOR,
    )
    late = and_(requests.c.inquiry_id.in_(given_up), requests.c.state == RequestState.ANSWERED)
    query = (
        select(requests, files.c.sealed_record, files.c.processed_at)
        .outerjoin(files, files.c.file_id == requests.c.answer_file_id)
        .where(or_(requests.c.inquiry_id.in_(asked), late))
        .order_by(requests.c.inquiry_id, requests.c.phase, requests.c.attempt)
    )
    return connection.execute(query).all()


def _rows(connection: Connection, inquiry_id: str) -> Sequence[Row[Any]]:
    query = select(reference_numbers).where(_NUMBERS.inquiry_id == inquiry_id)
    return connection.execute(query.order_by(_NUMBERS.patient_hash, _NUMBERS.insurance_hash)).all()


def _answer(opener: Opener, own: Sequence[Row[Any]]) -> tuple[_Told | None, datetime] | None:
    """Open the newest answer that speaks of numbers; units are none where the service refused the whole."""
    for row in reversed(own):
        if row.sealed_record is None or row.state not in _ENDED_BY_SERVICE:
            continue
        try:
            content = opener.open(row.clinic, record_context(row.answer_file_id), row.sealed_record)
            record = parse_record_json(content)
        except (PermanentError, ValueError):
            continue
        at = row.processed_at or row.ended_at
        if isinstance(record, RegistrationRecord | BulkRegistrationRecord):
            layer = layer_of(record)
            if layer is Layer.STILL_PROCESSING:
                continue
            return (None if layer is Layer.MESSAGE_ERROR else registration_answers(record)), at
    return None


def _told(
    connection: Connection, identity: IdentityKey, inquiry_id: str, told: _Told | None, at: datetime
) -> Iterator[Settle]:
    by_key = {_key(identity, registration): answer for registration, answer in told or ()}
    for row in _rows(connection, inquiry_id):
        if told is None:
            yield Settle(key_of(row), inquiry_id, ReferenceState.REFUSED, Reason.SERVICE_REFUSED.value)
            continue
        answer = by_key.get((row.number_hash, row.insurance_hash))
        if answer is None:
            yield Settle(key_of(row), inquiry_id, ReferenceState.REFUSED, Reason.NOT_ANSWERED.value)
        elif answer.layer is Layer.OK:
            yield Settle(key_of(row), inquiry_id, ReferenceState.REGISTERED, None, at)
        else:
            yield Settle(key_of(row), inquiry_id, ReferenceState.REFUSED, _refusal(answer.code))


def _key(identity: IdentityKey, said: Registration) -> tuple[str, str]:
    insured = insurance_hash(identity, said.insurer_number, said.symbol, said.number, said.branch_number)
    return number_hash(identity, (said.reference_number or "").strip()), insured


def _refusal(code: str | None) -> str:
    # Only what looks like a code: a reason is shown and must hold nothing of a patient.
    told = (code or "").strip()
    return f"{Reason.SERVICE_REFUSED.value} {told}" if _CODE.fullmatch(told) else Reason.SERVICE_REFUSED.value


def _reason(own: Sequence[Row[Any]], now: datetime) -> str | None:
    """Say why there will be no answer; none while one may still come."""
    if any(row.state in _OPEN for row in own):
        return None
    last = own[-1]
    is_upload = last.phase == "01" and last.kind == MessageKind.BULK_REGISTRATION
    if last.state == RequestState.REFUSED:
        return Reason.SERVICE_REFUSED.value
    if is_upload and last.state == RequestState.ANSWERED and last.ended_at > now - BULK_WAITS:
        # It was taken; whoever downloads has not asked for the result yet.
        return None
    if last.phase == "02" and last.ended_at > now - timedelta(minutes=10):
        # The next attempt may be about to be made.
        return None
    return Reason.NO_ANSWER.value
