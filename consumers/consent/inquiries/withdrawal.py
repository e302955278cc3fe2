"""Take back a patient's stored consent (閲覧同意取り消し) to home visits or online care.

Source: oqs-interface section 3.7.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import Person, about, institution_code
from consumers.consent.inquiries.single import Care
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import Header, WithdrawalEntry, WithdrawalRequest


def request(code: str, person: Person, care: Care, identifier: str) -> WithdrawalRequest:
    return WithdrawalRequest(
        header=Header(institution_code=code, arbitrary_file_identifier=identifier),
        withdrawal=WithdrawalEntry(**person.insurance, birthdate=person.born, treatment_flag=care),
    )


def withdrawal(
    clinic: Clinic,
    keyring: Keyring,
    people: Sequence[Person],
    asked_by: str,
    now: datetime,
    *,
    care: Care = "2",
    terminal: str | None = None,
) -> list[Wanted]:
    """Withdraw the stored consent of each of these people."""
    made = [
        (person, compose(partial(request, institution_code(clinic, now), person, care), **person.detail))
        for person in people
    ]
    kind = MessageKind.WITHDRAWAL
    return [about(clinic, keyring, person, asked_by, kind, file, terminal=terminal) for person, file in made]
