"""Attach the chart's own key to these people (照会番号登録): one by one, or up to 5,000 in one file.

Who is to be registered is decided elsewhere; here is how it is asked. Source: oqs-interface section 3.3.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import Person, about, institution_code
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import (
    MAX_REGISTRATIONS,
    BulkRegistrationRequest,
    Header,
    RegistrationEntry,
    RegistrationRequest,
)


def entry(person: Person) -> RegistrationEntry:
    """Say which key belongs to which insurance.

    Raises:
        ValueError: the service would refuse it, or there is neither a reference number nor a chart number.
    """
    return RegistrationEntry(reference_number=_key(person) or "", **person.insurance)


def _key(person: Person) -> str | None:
    return person.reference_number or person.patient_id


def request_one(code: str, person: Person, identifier: str) -> RegistrationRequest:
    header = Header(institution_code=code, arbitrary_file_identifier=identifier)
    return RegistrationRequest(header=header, registration=entry(person))


def request_many(code: str, people: Sequence[Person], identifier: str) -> BulkRegistrationRequest:
    header = Header(institution_code=code, arbitrary_file_identifier=identifier)
    return BulkRegistrationRequest(header=header, registrations=tuple(entry(person) for person in people))


def registration(
    clinic: Clinic,
    keyring: Keyring,
    people: Sequence[Person],
    asked_by: str,
    now: datetime,
    *,
    bulk: bool | None = None,
    terminal: str | None = None,
) -> list[Wanted]:
    """Register all of these people. `bulk`: in one file for many; by default when there are several."""
    code = institution_code(clinic, now)
    if not (len(people) > 1 if bulk is None else bulk):
        kind = MessageKind.REGISTRATION
        made = [
            (person, compose(partial(request_one, code, person), reference_number=_key(person), **person.detail))
            for person in people
        ]
        return [about(clinic, keyring, person, asked_by, kind, file, terminal=terminal) for person, file in made]
    kind = MessageKind.BULK_REGISTRATION
    parts = [people[start : start + MAX_REGISTRATIONS] for start in range(0, len(people), MAX_REGISTRATIONS)]
    files = [compose(partial(request_many, code, part)) for part in parts]
    return [about(clinic, keyring, None, asked_by, kind, file, terminal=terminal) for file in files]
