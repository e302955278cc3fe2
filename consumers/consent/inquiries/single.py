"""Is this card valid? (資格確認) One request for each insurance of each person.

With the patient's word for the limit certificate (限度額適用認定証) where the desk has it; as home-visit or online care
it asks about a person who consented before. Source: oqs-interface section 3.2.
"""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Literal

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import Person, about, institution_code
from pipeline.clinic_settings import Clinic
from pipeline.keyring import Keyring
from pipeline.oqs.requests import DatedHeader, EligibilityQuery, EligibilityRequest
from pipeline.oqs.times import JST, format_day

Care = Literal["2", "3"]
"""診療区分: 2 home visit, 3 online."""


def request(
    code: str,
    person: Person,
    day: date,
    identifier: str,
    *,
    limit_consent: bool = False,
    care: Care | None = None,
    arbitrary_identifier: str | None = None,
) -> EligibilityRequest:
    """Ask for one person under one insurance.

    Raises:
        ValueError: the service would refuse it.
    """
    return EligibilityRequest(
        header=DatedHeader(confirmed_on=format_day(day), institution_code=code, arbitrary_file_identifier=identifier),
        search=EligibilityQuery(
            **person.insurance,
            birthdate=person.born,
            limit_consent_flag="1" if limit_consent else "0",
            arbitrary_identifier=arbitrary_identifier,
            treatment_flag=care,
        ),
    )


def single(
    clinic: Clinic,
    keyring: Keyring,
    people: Sequence[Person],
    asked_by: str,
    now: datetime,
    *,
    day: date | None = None,
    limit_consent: bool = False,
    care: Care | None = None,
    terminal: str | None = None,
) -> list[Wanted]:
    """Ask for each of these people. `day`: for which eligibility is asked, today in Japan by default."""
    code, on = institution_code(clinic, now), day or now.astimezone(JST).date()
    wanted = []
    for person in people:
        first = request(code, person, on, "-", limit_consent=limit_consent, care=care)
        file = compose(
            lambda identifier, of=person: request(  # type: ignore[misc]
                code, of, on, identifier, limit_consent=limit_consent, care=care
            ),
            **person.detail,
        )
        wanted.append(about(clinic, keyring, person, asked_by, first.kind, file, terminal=terminal))
    return wanted
