"""Which lists does a chart send up whole? Told on by `pipeline.events`, as every event is."""

from datetime import datetime

from pipeline.event import Event
from pipeline.topology import Exchange


class PatientsChanged(Event):
    """One numbered part of a whole patient list, sealed to the centre. Swapped in when every part is there."""

    subject, verb, exchange = "patients", "changed", Exchange.INTAKE
    list_id: str
    taken_at: datetime
    part: int
    """From 1."""
    parts: int
    rows: int
    """Rows in the whole list."""
    sealed: bytes

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.list_id, str(self.part))


class BookingsChanged(Event):
    """The whole list of booked patients (予約), sealed to the centre; the newest counts."""

    subject, verb, exchange = "bookings", "changed", Exchange.INTAKE
    list_id: str
    taken_at: datetime
    rows: int
    sealed: bytes

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.list_id,)
