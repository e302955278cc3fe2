"""What is configured of inquiries that go out by themselves: institution codes in time, reference numbers, bookings?"""

import re
from collections.abc import Sequence
from datetime import date, time, timedelta
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BeforeValidator, Field, model_validator

from pipeline.setting_values import Table

CODE_GRACE: Final = timedelta(days=31)
"""How far outside its days a code is still taken from a result: the service and the terminal change at their time."""


def _time_of_day(value: object) -> object:
    """Read `18:00`, in Japan."""
    if isinstance(value, time):
        return value
    match = re.fullmatch(r"([01][0-9]|2[0-3]):([0-5][0-9])", value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time in Japan like 18:00")
    return time(int(match[1]), int(match[2]))


TimeOfDay = Annotated[time, BeforeValidator(_time_of_day)]


class CodeDays(Table):
    """An institution code (医療機関コード) and its days in Japan, both inclusive; none: without end."""

    code: str = Field(pattern=r"^[0-9]{10}$")
    since: date | None = Field(default=None, alias="from")
    until: date | None = Field(default=None, alias="to")

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.since and self.until and self.until < self.since:
            raise ValueError("the last day is before the first")
        return self

    def holds(self, day: date, grace: timedelta = timedelta(0)) -> bool:
        # By differences: a day plus a grace may lie outside of what a date can hold.
        started = self.since is None or self.since - day <= grace
        return started and (self.until is None or day - self.until <= grace)


class ReferenceSettings(Table):
    """Reference numbers (照会番号) that are registered without being asked for."""

    enabled: bool = False
    """Whether the centre registers, verifies and mends them by itself."""
    at: TimeOfDay | None = None
    """When the registrations of a day go out together; none: each at once."""


class BookingSettings(Table):
    """Which list of booked patients is asked for the evening before."""

    path: Path
    """The list of booked patients (bookings.csv)."""
    at: TimeOfDay = time(18)
    """When they are asked for, in Japan."""


def code_on(codes: Sequence[str], days: Sequence[CodeDays], day: date, known: str | None = None) -> str:
    """Choose the code of a day: one whose own days hold it (the newest), else one without days, else the first.

    `known`: the code under which the patient was seen, taken where it holds on that day.
    """
    own = [one for one in days if one.code == known]
    if known is not None and known in codes and (not own or any(one.holds(day) for one in own)):
        return known
    holding = [one for one in days if one.holds(day)]
    if holding:
        return max(holding, key=_since).code
    dated = {one.code for one in days}
    return next((code for code in codes if code not in dated), codes[0])


def _since(one: CodeDays) -> date:
    return one.since or date.min


def accepts(days: Sequence[CodeDays], code: str, day: date | None) -> bool:
    """Say whether a code may stand in a result of a day; a result without a day is judged by the code alone."""
    own = [one for one in days if one.code == code]
    return day is None or not own or any(one.holds(day, CODE_GRACE) for one in own)
