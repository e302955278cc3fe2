"""Are these booked patients still insured? (資格確認一括照会) At most 300 in one file.

What the chart holds of a limit certificate goes along, for the service only says whether it changed. Source:
oqs-interface section 3.5.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from functools import partial

from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.inquiries.person import Person, about, institution_code
from pipeline.clinic_settings import Clinic
from pipeline.folding import fold_limit_class, fold_limit_flag
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.requests import MAX_QUERIES, BookingQuery, BulkEligibilityRequest, DatedHeader, LimitOnFile
from pipeline.oqs.times import JST, format_day


def request(
    code: str, people: Sequence[Person], day: date, arbitrary_identifiers: Sequence[str | None], identifier: str
) -> BulkEligibilityRequest:
    """Ask for these people, at most 300.

    Raises:
        ValueError: the service would refuse it.
    """
    return BulkEligibilityRequest(
        header=DatedHeader(confirmed_on=format_day(day), institution_code=code, arbitrary_file_identifier=identifier),
        searches=tuple(
            BookingQuery(
                **person.insurance,
                birthdate=person.born,
                limit_on_file=_limit(person),
                arbitrary_identifier=arbitrary,
            )
            for person, arbitrary in zip(people, arbitrary_identifiers, strict=True)
        ),
    )


def _limit(person: Person) -> LimitOnFile | None:
    flag = fold_limit_flag(person.limit_flag)
    if not flag:
        return None
    return LimitOnFile.model_validate({"classification": fold_limit_class(person.limit_class) or None, "flag": flag})


def booking(
    clinic: Clinic,
    keyring: Keyring,
    people: Sequence[Person],
    asked_by: str,
    now: datetime,
    *,
    day: date | None = None,
    terminal: str | None = None,
) -> list[Wanted]:
    """Ask for all of these people. `day`: of their bookings, tomorrow in Japan by default."""
    code, on = institution_code(clinic, now), day or now.astimezone(JST).date() + timedelta(days=1)
    parts = [people[start : start + MAX_QUERIES] for start in range(0, len(people), MAX_QUERIES)]
    kind = MessageKind.BULK_ELIGIBILITY
    return [
        about(
            clinic,
            keyring,
            None,
            asked_by,
            kind,
            compose(partial(request, code, part, on, [None] * len(part))),
            terminal=terminal,
        )
        for part in parts
    ]
