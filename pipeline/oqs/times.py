"""Which instant or day does a digit string of the file interface mean?

Files hold Japanese local time without a zone; inside, instants are aware UTC. Nothing here raises on what a file
may hold: a string that is no time is `None`.
"""

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

# Japan has kept UTC+9 without summer time since 1951; a fixed offset needs no zone database on the terminal.
JST: Final = timezone(timedelta(hours=9), "JST")

OPEN: Final = datetime.max.replace(tzinfo=UTC)
"""An end that never comes, written 99991231… in the files."""

_SECONDS, _DAY, _MONTH = 14, 8, 6
_OPEN_DAY: Final = "99991231"


def _digits(raw: str | None, length: int) -> str | None:
    text = (raw or "").strip(" ")
    return text if len(text) == length and text.isascii() and text.isdigit() else None


def parse_instant(raw: str | None) -> datetime | None:
    """Read `YYYYMMDDhhmmss` (JST) as aware UTC."""
    text = _digits(raw, _SECONDS)
    if text is None:
        return None
    numbers = (int(text[:4]), *(int(text[at : at + 2]) for at in range(4, _SECONDS, 2)))
    try:
        return datetime(*numbers, tzinfo=JST).astimezone(UTC)  # type: ignore[arg-type,misc]
    except (ValueError, OverflowError):
        return None


def parse_day(raw: str | None) -> date | None:
    """Read `YYYYMMDD`."""
    text = _digits(raw, _DAY)
    if text is None:
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def parse_month(raw: str | None) -> date | None:
    """Read `YYYYMM` as the first day of that month."""
    text = _digits(raw, _MONTH)
    return None if text is None else parse_day(text + "01")


def parse_until(raw: str | None) -> datetime | None:
    """Read an available time (閲覧有効期限), exclusive, of 14 digits or 8 (oqs-interface section 4, no. 19).

    A bare day still counts whole, so it ends at the next midnight in Japan; 99991231… is `OPEN`.
    """
    text = (raw or "").strip(" ")
    if text.startswith(_OPEN_DAY) and (_digits(text, _SECONDS) or _digits(text, _DAY)):
        return OPEN
    day = parse_day(text)
    if day is None:
        return parse_instant(text)
    return _start_of(day + timedelta(days=1))


def _start_of(day: date) -> datetime | None:
    try:
        return datetime(day.year, day.month, day.day, tzinfo=JST).astimezone(UTC)
    except OverflowError:
        return None


def format_instant(at: datetime) -> str:
    """Write an aware instant as `YYYYMMDDhhmmss` in Japan; `OPEN` as 99991231235959."""
    if at == OPEN:
        return _OPEN_DAY + "235959"
    local = at.astimezone(JST)
    return f"{local.year:04}{local:%m%d%H%M%S}"


def format_day(day: date) -> str:
    """Write `YYYYMMDD`."""
    return f"{day.year:04}{day:%m%d}"


def format_month(day: date) -> str:
    """Write `YYYYMM`."""
    return f"{day.year:04}{day:%m}"
