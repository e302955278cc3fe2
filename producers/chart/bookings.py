"""When has a clinic's list of bookings (予約) changed, and how does it go to the centre?

As the patient list does: settled, wholly well formed, sealed, said until it is confirmed and again from time to time.
Days long gone are left out. The centre asks the evening before; it never opens this file.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

from pipeline.booking_row import BookingRow, bookings_to_bytes
from pipeline.contents import bookings_context
from pipeline.edge_words import EdgeFault
from pipeline.events import BookingsChanged, derive_id
from pipeline.oqs.times import JST
from pipeline.topology import CHART_EDGE
from producers.chart.bookings_csv import read_bookings
from producers.chart.patients import MOST_BYTES, PART_BYTES, Parts, Patients
from producers.chart.patients_csv import PatientsInvalidError, RowFault

BOOKING_LIST: Final = "booking_list"
KEPT_DAYS: Final = timedelta(days=62)
"""How far back bookings are told: last month's are still asked about."""


class Bookings(Patients):
    """`Part`. Watches one file."""

    name = "bookings"
    invalid, missing = EdgeFault.BOOKINGS_INVALID, EdgeFault.BOOKINGS_MISSING

    def _read_parts(self, content: bytes) -> Parts:
        rows = read_bookings(content) if len(content) <= MOST_BYTES else ()
        first = self._clock.now().astimezone(JST).date() - KEPT_DAYS
        written = bookings_to_bytes(_told(rows, first))
        if len(content) > MOST_BYTES or len(written) > PART_BYTES:
            raise PatientsInvalidError([RowFault(1, "row", "too_large")])
        count = len(_told(rows, first))
        return lambda mac, taken_at: [self._event(mac, written, count, taken_at)]

    def _event(self, mac: str, written: bytes, count: int, taken_at: datetime) -> BookingsChanged:
        list_id = derive_id("bookings", self._clinic, mac, taken_at.isoformat())
        sealed = self._sealer.seal(self._standing_key(), self._clinic, bookings_context(list_id), written)
        return BookingsChanged(
            clinic=self._clinic, edge=CHART_EDGE, list_id=list_id, taken_at=taken_at, rows=count, sealed=sealed
        )


def _told(rows: Sequence[BookingRow], first: date) -> list[BookingRow]:
    return [row for row in rows if row.day >= first]
