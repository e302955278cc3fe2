"""Who is booked when, after the newest list of a clinic?

Days to come are the newest list's alone; what a list says of today and of days gone by is kept, for a booking system
may drop a patient who has been seen. The newest `taken_at` wins in any order of arrival.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, and_, delete, select

from pipeline.booking_row import BookingRow, bookings_from_bytes, bookings_to_bytes
from pipeline.contents import booking_context, bookings_context
from pipeline.events import BookingsChanged
from pipeline.keyring import Keyring
from pipeline.oqs.times import JST
from pipeline.persons import patient_hash
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.engine import insert_into
from pipeline.storage.schema import booking_lists, bookings

_MONTH: Final = timedelta(days=31)


@dataclass(frozen=True, slots=True)
class PreparedBookings:
    """A list, opened, each patient and day sealed by itself."""

    event: BookingsChanged
    rows: tuple[tuple[date, str, bytes], ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class TakeBookings:
    """Write: a list. Older than the one that is here, it changes nothing."""

    prepared: PreparedBookings
    kept_months: int


def prepare(event: BookingsChanged, keyring: Keyring, opener: Opener, sealer: Sealer) -> PreparedBookings:
    """Open a list and seal its rows for the store.

    Raises:
        PermanentError: the seal cannot be opened, or it is no list.
    """
    rows = bookings_from_bytes(opener.open(event.clinic, bookings_context(event.list_id), event.sealed))
    identity = keyring.identity(event.clinic)
    public = keyring.epoch_key(event.clinic, KeyClass.STANDING, event.taken_at)
    earliest: dict[tuple[date, str], BookingRow] = {}
    for row in rows:
        place = row.day, patient_hash(identity, row.patient_id)
        held = earliest.setdefault(place, row)
        if row.time and (not held.time or row.time < held.time):
            earliest[place] = row
    return PreparedBookings(
        event,
        tuple(
            (
                day,
                hashed,
                sealer.seal(public, event.clinic, booking_context(event.clinic, day, hashed), bookings_to_bytes([row])),
            )
            for (day, hashed), row in sorted(earliest.items(), key=_place)
        ),
    )


def _place(item: tuple[tuple[date, str], BookingRow]) -> tuple[date, str]:
    return item[0]


def open_booking(opener: Opener, row: Any) -> BookingRow:
    """Open a row of `bookings`.

    Raises:
        PermanentError: the seal cannot be opened.
    """
    context = booking_context(row.clinic, row.day, row.patient_hash)
    return bookings_from_bytes(opener.open(row.clinic, context, row.sealed))[0]


def take(connection: Connection, taken: Sequence[TakeBookings], now: datetime) -> None:
    """Write lists."""
    for write in taken:
        event = write.prepared.event
        # A list dated ahead of us would stay the newest until then, against every true one.
        taken_at = min(event.taken_at, now)
        if _is_newest(connection, event, taken_at):
            _replace(connection, write, taken_at)


def _is_newest(connection: Connection, event: BookingsChanged, taken_at: datetime) -> bool:
    row = {"clinic": event.clinic, "list_id": event.list_id, "taken_at": taken_at, "rows": event.rows}
    statement = insert_into(connection, booking_lists).values(**row)
    statement = statement.on_conflict_do_update(
        index_elements=["clinic"], set_=row, where=booking_lists.c.taken_at < taken_at
    )
    # By what comes back: a count of inserted rows is not known on PostgreSQL.
    return connection.execute(statement.returning(booking_lists.c.clinic)).first() is not None


def _replace(connection: Connection, write: TakeBookings, taken_at: datetime) -> None:
    event, today = write.prepared.event, taken_at.astimezone(JST).date()
    own = bookings.c.clinic == event.clinic
    connection.execute(delete(bookings).where(own, bookings.c.day > today))
    connection.execute(delete(bookings).where(own, bookings.c.day < today - _MONTH * (write.kept_months + 1)))
    statement = insert_into(connection, bookings)
    changed = {name: statement.excluded[name] for name in ("sealed", "list_id", "taken_at")}
    statement = statement.on_conflict_do_update(index_elements=list(bookings.primary_key.columns), set_=changed)
    rows = [
        {
            "clinic": event.clinic,
            "day": day,
            "patient_hash": hashed,
            "sealed": sealed,
            "list_id": event.list_id,
            "taken_at": taken_at,
        }
        for day, hashed, sealed in write.prepared.rows
    ]
    if rows:
        connection.execute(statement, rows)


def of_days(connection: Connection, clinic: str, first: date, last: date) -> Sequence[Any]:
    """Read the bookings of these days, both inclusive."""
    within = and_(bookings.c.clinic == clinic, bookings.c.day >= first, bookings.c.day <= last)
    return connection.execute(select(bookings).where(within).order_by(bookings.c.day, bookings.c.patient_hash)).all()
