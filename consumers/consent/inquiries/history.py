"""Which medication (薬剤情報) or checkups (特定健診情報) are there? Asked under a grant of the patient, and named so.

The grant's limit goes with the request and is checked again when its file is written. Source: oqs-interface section
3.4.1.
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import Final

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import Person, about
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import CURRENT_MONTH, CheckupRequest, HistoryHeader, MedicationRequest
from pipeline.oqs.times import JST, format_month

_MEDICATION_CATEGORY: Final = {(True, False): "1", (False, False): "2", (True, True): "3", (False, True): "4"}
"""FileCategory by (as PDF, with treatments)."""
OUTPATIENT: Final = "1"


@dataclass(frozen=True, slots=True)
class Permission:
    """The grant a request is made under. `until`: the earliest limit of the grants it needs, exclusive.

    `treatment_flag` (診療区分): the care it was given for.
    """

    category: str
    grant_id: str
    until: datetime | None
    treatment_flag: str = OUTPATIENT
    treatment_grant_id: str | None = None
    """The second grant (診療情報), where treatments are asked for as well."""
    institution_code: str | None = field(default=None, repr=False)
    """To which the consent was given; a clinic may have several codes, or have had another one."""


@dataclass(frozen=True, slots=True)
class Period:
    """Months asked for, both inclusive; without an end up to this month."""

    first: date
    last: date | None = None


def medication_request(
    code: str,
    person: Person,
    period: Period,
    identifier: str,
    *,
    treatment_flag: str = OUTPATIENT,
    pdf: bool = False,
    treatments: bool = False,
    prescriptions: bool | None = None,
) -> MedicationRequest:
    """Ask for medication; `treatments`: 診療情報 as well; `prescriptions`: the parts of the electronic service.

    Raises:
        ValueError: the service would refuse it: an unusable period, or too little known of the person.
    """
    return MedicationRequest.model_validate(
        {
            "header": _header(code, person, identifier),
            "start": format_month(period.first),
            "end": format_month(period.last) if period.last else CURRENT_MONTH,
            "file_category": _MEDICATION_CATEGORY[pdf, treatments],
            "prescription_view": None if prescriptions is None else str(int(prescriptions)),
            "treatment_flag": treatment_flag,
        }
    )


def checkup_request(
    code: str, person: Person, identifier: str, *, treatment_flag: str = OUTPATIENT, pdf: bool = False
) -> CheckupRequest:
    return CheckupRequest.model_validate(
        {
            "header": _header(code, person, identifier),
            "file_category": "1" if pdf else "2",
            "treatment_flag": treatment_flag,
        }
    )


def _header(code: str, person: Person, identifier: str) -> HistoryHeader:
    return HistoryHeader(institution_code=code, arbitrary_file_identifier=identifier, **person.insurance)


def medication(
    clinic: Clinic,
    keyring: Keyring,
    person: Person,
    asked_by: str,
    now: datetime,
    *,
    permission: Permission,
    period: Period,
    pdf: bool = False,
    treatments: bool = False,
    prescriptions: bool | None = None,
    terminal: str | None = None,
) -> list[Wanted]:
    """Ask for the medication of one person. `Wanted.period` is the month, where it is one month."""
    make = partial(
        medication_request,
        _code(clinic, permission, now),
        person,
        period,
        treatment_flag=permission.treatment_flag,
        pdf=pdf,
        treatments=treatments,
        prescriptions=prescriptions,
    )
    file = compose(make, **person.detail)
    last = period.last or now.astimezone(JST).date()
    is_month = format_month(period.first) == format_month(last) and not pdf
    return [
        about(
            clinic,
            keyring,
            person,
            asked_by,
            MessageKind.MEDICATION,
            file,
            terminal=terminal,
            period=format_month(period.first) if is_month else None,
            file_category=_MEDICATION_CATEGORY[pdf, treatments],
            **_under(permission),
        )
    ]


def checkup(
    clinic: Clinic,
    keyring: Keyring,
    person: Person,
    asked_by: str,
    now: datetime,
    *,
    permission: Permission,
    pdf: bool = False,
    terminal: str | None = None,
) -> list[Wanted]:
    """Ask for the checkups of one person."""
    flag = permission.treatment_flag
    make = partial(checkup_request, _code(clinic, permission, now), person, treatment_flag=flag, pdf=pdf)
    file = compose(make, **person.detail)
    kind = MessageKind.CHECKUP
    more = {"file_category": "1" if pdf else "2", **_under(permission)}
    return [about(clinic, keyring, person, asked_by, kind, file, terminal=terminal, **more)]


def _code(clinic: Clinic, permission: Permission, now: datetime) -> str:
    """Name the institution code (医療機関コード) a request under this grant carries now."""
    return clinic.code_on(now.astimezone(JST).date(), permission.institution_code)


def _under(permission: Permission) -> dict[str, object]:
    return {
        "category": permission.category,
        "grant_id": permission.grant_id,
        "treatment_grant_id": permission.treatment_grant_id,
        "window_until": permission.until,
    }
