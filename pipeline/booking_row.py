"""Who is booked when, as the chart's edge tells the centre? (`bookings.changed`, `bookings.sealed`)"""

from collections.abc import Sequence
from datetime import date
from typing import Final

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import PermanentError
from pipeline.hidden import Hidden


class BookingRow(Hidden):
    """One booking (予約)."""

    patient_id: str
    day: date
    """In Japan."""
    time: str = ""
    """`HH:MM` in Japan; blank when unknown."""


_ROWS: Final = TypeAdapter(tuple[BookingRow, ...])


def bookings_to_bytes(rows: Sequence[BookingRow]) -> bytes:
    return _ROWS.dump_json(tuple(rows), exclude_defaults=True)


def bookings_from_bytes(content: bytes) -> tuple[BookingRow, ...]:
    """Read what `bookings_to_bytes` wrote.

    Raises:
        PermanentError: it is something else. Quotes nothing of it.
    """
    try:
        return _ROWS.validate_json(content)
    except ValidationError:
        raise PermanentError("booking_rows") from None
