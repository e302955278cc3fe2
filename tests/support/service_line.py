"""The whole centre with the simulator's service behind its terminal: what consent asks is answered."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.booking_row import BookingRow, bookings_to_bytes
from pipeline.clinic_settings import Clinic
from pipeline.contents import SealedFile, bookings_context, request_context
from pipeline.events import BookingsChanged, Event, RequestPlace, RequestPlaced, derive_id
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import ReturnedRequest
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.topology import CHART_EDGE
from producers.simulator.chance import chance
from producers.simulator.desk import Desk
from producers.simulator.face_file import face_name, render_face
from producers.simulator.markup import hash_order
from producers.simulator.register import Register
from producers.simulator.visits import Visit
from tests.support.centre import make_store
from tests.support.line import CLINIC, CODE, NOW, Line


@dataclass
class ServiceLine(Line):
    """A `Line` whose requests are answered. `institution` holds settings of the clinic that differ from plain ones."""

    register: Register = field(default_factory=lambda: Register([]))
    institution: dict[str, object] = field(default_factory=dict)
    asked: list[ReturnedRequest] = field(default_factory=list)
    is_answered: bool = True
    desk: Desk | None = None
    store_url: str | None = None
    code: str = CODE

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.store_url:
            self.centre.store = make_store(self.store_url)
        settings = self.centre.settings
        first, *others = settings.clinics
        about = {
            "id": first.id,
            "institution_codes": [CODE],
            "terminals": first.terminals,
            "chart": first.chart,
            "fetch": {"enabled": False},
        }
        clinic = Clinic.model_validate({**about, **self.institution})
        self.centre.settings = settings.model_copy(update={"clinics": (clinic, *others)})
        self.restart()

    def restart(self) -> None:
        """Make the consumers anew, as a process does that was killed."""
        settings, keyring = self.centre.settings, self.centre.keyring
        kinds: list[Any] = [type(one) for one in self.consumers]
        self.consumers = [kind(settings, keyring) for kind in kinds]

    def pass_to(self, now: datetime) -> None:
        """Let time go on until then, and everything that is due then follow; a second more for what that leads to."""
        self.now = now
        for _ in range(2):
            due = [event for consumer in self.consumers for event in self.centre.due(consumer, self.now)]
            self.run(*self._said(due))
            self.now += timedelta(seconds=1)

    # The clock of the service

    def monotonic(self) -> float:
        return self.now.timestamp()

    def visit(self, visit: Visit, at: datetime | None = None) -> str:
        """Let a patient hold the card to the reader; the service tells the number it knows."""
        known = self.register.reference_number(visit.person.coverage)
        die = chance(7, "render", len(self.said))
        told = Visit(**{**{name: getattr(visit, name) for name in visit.__slots__}, "reference_number": known})
        when = at or self.now
        content = render_face(told, self.code, when, die, hash_order(7))
        return self.capture(Path(), face_name(self.code, when, die), content)

    def _edge(self, event: Event) -> list[Event]:
        if isinstance(event, RequestPlace):
            return [RequestPlaced(clinic=CLINIC, edge="t1", request_id=event.request_id, placed_at=self.now)] + (
                [self._answer(event)] if self.is_answered else []
            )
        return super()._edge(event)

    def _answer(self, event: RequestPlace) -> Event:
        raw = Opener(self.centre.keyring).open(CLINIC, request_context(event.request_id), event.sealed)
        placed = SealedFile.from_bytes(raw)
        name = parse_name(placed.name)
        assert name is not None
        request = parse(name, placed.content)
        assert isinstance(request, ReturnedRequest)
        self.asked.append(request)
        if self.desk is None or self.desk.institution_code != self.code:
            self.desk = Desk(self.register, self.code, _Clock(self), hash_order(7))
        reply = self.desk.answer(name, request)
        return self.captured(Path(), reply.name, reply.content)


@dataclass(frozen=True)
class _Clock:
    line: ServiceLine

    def now(self) -> datetime:
        return self.line.now

    def monotonic(self) -> float:
        return self.line.monotonic()


def bookings_changed(line: ServiceLine, *rows: BookingRow, at: datetime = NOW) -> BookingsChanged:
    """A list of bookings as the chart's edge sends it."""
    list_id = derive_id("bookings", str(at), str(rows and [row.model_dump() for row in rows]))
    public = line.centre.keyring.epoch_key(CLINIC, KeyClass.STANDING, NOW)
    sealed = Sealer().seal(public, CLINIC, bookings_context(list_id), bookings_to_bytes(rows))
    return BookingsChanged(clinic=CLINIC, edge=CHART_EDGE, list_id=list_id, taken_at=at, rows=len(rows), sealed=sealed)
