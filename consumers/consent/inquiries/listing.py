"""Who consented to home visits (訪問診療等) or online care (オンライン診療等), and who has medical aid (医療扶助)?

Nobody is named: the service lists whom it has for a period. Source: oqs-interface section 3.6.
"""

from collections.abc import Callable
from datetime import date, datetime
from functools import partial

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import about, institution_code
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import (
    Header,
    MedicalAidPeriod,
    MedicalAidRequest,
    OnlinePeriod,
    OnlineRequest,
    Request,
    VisitPeriod,
    VisitRequest,
)
from pipeline.oqs.times import format_day, format_month


def visit_request(code: str, first: date, last: date, identifier: str) -> VisitRequest:
    period = VisitPeriod(consented_from=format_day(first), consented_to=format_day(last))
    return VisitRequest(header=_header(code, identifier), search=period)


def online_request(code: str, first: date, last: date, identifier: str, *, examined: bool = False) -> OnlineRequest:
    start, end = format_day(first), format_day(last)
    if examined:
        period = OnlinePeriod(examined_from=start, examined_to=end)
    else:
        period = OnlinePeriod(consented_from=start, consented_to=end)
    return OnlineRequest(header=_header(code, identifier), search=period)


def medical_aid_request(code: str, month: date, identifier: str) -> MedicalAidRequest:
    search = MedicalAidPeriod(treatment_month=format_month(month))
    return MedicalAidRequest(header=_header(code, identifier), search=search)


def _header(code: str, identifier: str) -> Header:
    return Header(institution_code=code, arbitrary_file_identifier=identifier)


def visit(
    clinic: Clinic,
    keyring: Keyring,
    days: tuple[date, date],
    asked_by: str,
    now: datetime,
    *,
    terminal: str | None = None,
) -> list[Wanted]:
    """List who consented to home visits on these days, first and last, both inclusive."""
    make = partial(visit_request, institution_code(clinic, now), *days)
    return [_one(clinic, keyring, asked_by, MessageKind.BULK_VISIT, make, terminal=terminal)]


def online(
    clinic: Clinic,
    keyring: Keyring,
    days: tuple[date, date],
    asked_by: str,
    now: datetime,
    *,
    examined: bool = False,
    terminal: str | None = None,
) -> list[Wanted]:
    """List who consented to online care on these days; `examined`: who was examined on them."""
    make = partial(online_request, institution_code(clinic, now), *days, examined=examined)
    return [_one(clinic, keyring, asked_by, MessageKind.BULK_ONLINE, make, terminal=terminal)]


def medical_aid(
    clinic: Clinic, keyring: Keyring, month: date, asked_by: str, now: datetime, *, terminal: str | None = None
) -> list[Wanted]:
    """List who has a medical aid ticket (医療券) for this clinic in a month."""
    make = partial(medical_aid_request, institution_code(clinic, now), month)
    return [_one(clinic, keyring, asked_by, MessageKind.BULK_MEDICAL_AID, make, terminal=terminal)]


def _one(
    clinic: Clinic,
    keyring: Keyring,
    asked_by: str,
    kind: MessageKind,
    make: Callable[[str], Request],
    *,
    terminal: str | None,
) -> Wanted:
    return about(clinic, keyring, None, asked_by, kind, compose(make), terminal=terminal)
