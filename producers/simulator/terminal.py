"""What does a clinic's terminal do all day?

It writes a face file for each visit, lets the service answer what is asked, and knows what it wrote. Nothing of
this is logged: what it knows stays in memory.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pipeline.clock import Clock
from producers.simulator.cases import Case, expected
from producers.simulator.chance import chance
from producers.simulator.chart_rows import write_rows
from producers.simulator.desk import Behaviour, Desk
from producers.simulator.face_file import face_name, render_face
from producers.simulator.markup import hash_order
from producers.simulator.mixture import mixed
from producers.simulator.people import Population
from producers.simulator.register import Register
from producers.simulator.service import Service
from producers.simulator.unsolicited import every_kind
from producers.simulator.visits import Visit, visits_of
from producers.simulator.writing import Pace, write_file

_LOOK_EVERY: Final = 0.05


@dataclass(frozen=True, slots=True)
class Folders:
    """The exchange folders of one terminal."""

    face: Path
    res: Path
    req: Path

    def make(self) -> None:
        for folder in (self.face, self.res, self.req):
            folder.mkdir(parents=True, exist_ok=True)


@dataclass(frozen=True, slots=True)
class Modes:
    """How it writes. `burst`: files written at once before it waits for its rate again."""

    pace: Pace = field(default_factory=Pace)
    burst: int = 1
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True, repr=False)
class Written:
    """One file and what must become of it. An answer that nobody here asked for has no case and no patient.

    `verdicts`: what must be given, for each result. `patient_id`: whose the first result is, where a machine may say.
    """

    name: str
    case: Case | None = None
    verdicts: tuple[frozenset[str], ...] = ()
    patient_id: str | None = None


class SimulatedTerminal:
    """One terminal with its service. `rate`: face files a second, `None` for as fast as it goes.

    `has_mixed_consents`: patients consent in every shape there is, some of them long ago (`mixture`).
    """

    def __init__(
        self,
        folders: Folders,
        population: Population,
        clock: Clock,
        seed: int,
        *,
        rate: float | None = None,
        modes: Modes | None = None,
        has_mixed_consents: bool = False,
    ) -> None:
        self._folders = folders
        self._clock = clock
        self._rate = rate
        self._modes = modes or Modes()
        self._die = chance(seed, "terminal")
        self._order = hash_order(seed)
        self._institution_code = population.institution_code
        visits = visits_of(population)
        self.visits: tuple[Visit, ...] = tuple(mixed(visits)) if has_mixed_consents else visits
        self.register = Register(self.visits)
        self.written: list[Written] = []
        self._desk = Desk(self.register, population.institution_code, clock, self._order)
        self.service = Service(folders.req, folders.res, self._desk, clock, self._modes.pace, seed=seed)

    @property
    def behaviour(self) -> Behaviour:
        """How the service behaves; change its fields at any time."""
        return self._desk.behaviour

    def write_patients(self, path: Path) -> None:
        """Write the chart's patient list that goes with the visits, all at once or not at all."""
        write_rows(path, (row for visit in self.visits for row in visit.chart))

    def write_faces(self, visits: Iterable[Visit] | None = None) -> None:
        """Write the face files of the visits, all of them by default, at the rate."""
        start = self._clock.monotonic()
        for count, visit in enumerate(self.visits if visits is None else visits):
            if self._rate and count and count % self._modes.burst == 0:
                self._modes.sleep(max(0.0, start + count / self._rate - self._clock.monotonic()))
            self.write_face(visit)

    def write_face(self, visit: Visit) -> Written:
        """Write the face file of one visit; the service holds the patient's consents from now on."""
        # To the second, as the file tells it: the service ends the consents when the file says.
        now = self._clock.now().replace(microsecond=0) - visit.age
        name = face_name(self._institution_code, now, self._die)
        content = render_face(visit, self._institution_code, now, self._die, self._order)
        self.register.hold_session(visit, now)
        write_file(self._folders.face / name, content, self._modes.pace)
        return self._keep(Written(name, visit.case, expected(visit.case), visit.patient_id))

    def write_every_kind(self) -> None:
        """Write one answer of every other kind into `res`, as if another program had asked."""
        # A desk of its own: what the other program registers or withdraws must not change the answers to us.
        desk = Desk(Register(self.visits), self._institution_code, self._clock, self._order)
        for reply in every_kind(desk, self._die):
            write_file(self._folders.res / reply.name, reply.content, self._modes.pace)
            self._keep(Written(reply.name))

    def _keep(self, written: Written) -> Written:
        self.written.append(written)
        return written

    @contextmanager
    def serving(self) -> Iterator[Service]:
        """Let the service take requests on a thread of its own. Its `asked` may be read meanwhile.

        Raises:
            Exception: what stopped the service, when the block ends.
        """
        stop = threading.Event()
        failures: list[Exception] = []

        def serve() -> None:
            try:
                while not stop.wait(_LOOK_EVERY):
                    self.service.poll()
            except Exception as failure:  # noqa: BLE001 - handed to whoever waits for the thread
                failures.append(failure)

        thread = threading.Thread(target=serve, name="simulated-service", daemon=True)
        thread.start()
        try:
            yield self.service
        finally:
            stop.set()
            thread.join()
        if failures:
            raise failures[0]
