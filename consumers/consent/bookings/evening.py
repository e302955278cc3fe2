"""Who is booked for the next day, and with which bulk inquiry (資格確認一括照会) are they asked for?

Once for each clinic and day: the requests and the mark that the day was asked are one transaction, so no restart asks
twice. Whoever was away in the evening asks in the morning; a list that comes late is asked when it is here. Everybody
booked is asked, also who was confirmed this month: the question is the insurance of that day.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Any, Final

from pydantic import ValidationError
from sqlalchemy import Connection, insert, select

from consumers.consent import asking
from consumers.consent.asking import Wanted
from consumers.consent.bookings import intake
from consumers.consent.cards import is_asked_for, request_insurer
from consumers.consent.composing import compose
from pipeline.clinic_settings import Clinic
from pipeline.errors import PermanentError
from pipeline.events import derive_id
from pipeline.folding import fold_birthdate, fold_branch, fold_limit_class, fold_limit_flag
from pipeline.inquiry_settings import BookingSettings
from pipeline.keyring import Keyring
from pipeline.oqs.requests import MAX_QUERIES, BookingQuery, BulkEligibilityRequest, DatedHeader, LimitOnFile
from pipeline.oqs.times import JST, format_day
from pipeline.outcome import Outcome
from pipeline.patient_index import CurrentList
from pipeline.patient_row import PatientRow
from pipeline.sealing import Opener
from pipeline.settings import Settings
from pipeline.storage.schema import schedules

NAME: Final = "bookings"
ASKED_BY: Final = "schedule"
MORNING: Final = time(9)
"""Until then the patients of the day itself are asked for, when the evening was missed."""
ANSWERED_BY: Final = time(10)
"""When the requests of a day are given up: a terminal that is off overnight takes them in the morning."""


@dataclass(frozen=True, slots=True)
class AskDay:
    """Write: the requests of one day, and that it was asked."""

    clinic: str
    day: date
    count: int
    until: datetime
    wanted: tuple[Wanted, ...] = field(repr=False)


def day_to_ask(settings: BookingSettings, now: datetime) -> date | None:
    """Name the day whose patients are due to be asked for; none between morning and evening."""
    local = now.astimezone(JST)
    if local.time() >= settings.at:
        return local.date() + timedelta(days=1)
    return local.date() if local.time() < MORNING else None


class Evenings:
    """Consent's part for bookings. `due` reads and decides, `apply` writes."""

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._opener = Opener(keyring)

    def due(self, connection: Connection, now: datetime) -> list[Outcome]:
        found = [self._clinic(connection, clinic, now) for clinic in self._settings.clinics if clinic.bookings]
        return [Outcome("bookings_asked", writes=(write,)) for write in found if write]

    def _clinic(self, connection: Connection, clinic: Clinic, now: datetime) -> AskDay | None:
        assert clinic.bookings is not None
        day = day_to_ask(clinic.bookings, now)
        if day is None or not clinic.terminals or was_asked(connection, clinic.id, day):
            return None
        booked = self._booked(connection, clinic.id, day)
        current = CurrentList(connection, self._keyring, clinic.id, self._opener)
        if not booked or current.id() is None:
            # Not done: a list that comes later is asked then.
            return None
        people = queries(current.of(booked), day)
        code = clinic.code_on(now.astimezone(JST).date())
        until = max(datetime.combine(day, ANSWERED_BY, JST).astimezone(now.tzinfo), now)
        return AskDay(clinic.id, day, len(people), until, tuple(_requests(clinic, people, day, code)))

    def _booked(self, connection: Connection, clinic: str, day: date) -> list[str]:
        found: dict[str, None] = {}
        for row in intake.of_days(connection, clinic, day, day):
            try:
                found[intake.open_booking(self._opener, row).patient_id] = None
            except PermanentError:
                # One row that cannot be opened must not keep the others from being asked for.
                continue
        return sorted(found)

    def apply(self, connection: Connection, writes: Sequence[object], now: datetime) -> None:
        least = timedelta(seconds=self._settings.centre.request_timeout_seconds)
        for write in writes:
            if isinstance(write, AskDay):
                row = {"clinic": write.clinic, "name": NAME, "day": write.day, "done_at": now, "count": write.count}
                # Fails when another instance was first: then nothing of this one is written.
                connection.execute(insert(schedules).values(**row))
                for wanted in write.wanted:
                    asking.add(connection, self._keyring, wanted, max(least, write.until - now), now)


def was_asked(connection: Connection, clinic: str, day: date) -> bool:
    same = (schedules.c.clinic == clinic) & (schedules.c.name == NAME) & (schedules.c.day == day)
    return connection.execute(select(schedules.c.done_at).where(same)).first() is not None


def queries(people: Mapping[str, Sequence[PatientRow]], day: date) -> list[BookingQuery]:
    """Write a query for every insurance in force that day; one card is asked once, whatever charts have it."""
    found: dict[tuple[Any, ...], BookingQuery] = {}
    for patient_id in sorted(people):
        for row in people[patient_id]:
            query = _query(row) if is_asked_for(row, day) else None
            if query is not None:
                who = query.insurer_number, query.symbol, query.number, query.branch_number, query.birthdate
                found.setdefault(who, query)
    return list(found.values())


def _query(row: PatientRow) -> BookingQuery | None:
    born = fold_birthdate(row.birthdate)
    try:
        return BookingQuery(
            insurer_number=request_insurer(row.insurer_number),
            symbol=row.symbol or None,
            number=row.number,
            branch_number=fold_branch(row.branch_number),
            birthdate=format_day(born) if born else "",
            limit_on_file=_limit(row),
            arbitrary_identifier=row.patient_id if row.patient_id.isascii() and row.patient_id.isalnum() else None,
        )
    except ValidationError:
        # What the chart holds cannot be asked for; the others can.
        return None


def _limit(row: PatientRow) -> LimitOnFile | None:
    if not row.limit_flag:
        return None
    try:
        return LimitOnFile.model_validate(
            {"classification": fold_limit_class(row.limit_class) or None, "flag": fold_limit_flag(row.limit_flag)}
        )
    except ValidationError:
        return None


def _requests(clinic: Clinic, people: Sequence[BookingQuery], day: date, code: str) -> Iterator[Wanted]:
    for at in range(0, len(people), MAX_QUERIES):
        part = tuple(people[at : at + MAX_QUERIES])

        def make(identifier: str, part: tuple[BookingQuery, ...] = part) -> BulkEligibilityRequest:
            header = DatedHeader(
                confirmed_on=format_day(day), institution_code=code, arbitrary_file_identifier=identifier
            )
            return BulkEligibilityRequest(header=header, searches=part)

        file = compose(make)
        yield Wanted(
            clinic=clinic.id,
            terminal=clinic.terminals[0].id,
            kind=BulkEligibilityRequest.kind.value,
            file=file,
            person_hash=None,
            inquiry_id=derive_id("inquiry", clinic.id, file.base_name),
            asked_by=ASKED_BY,
        )
