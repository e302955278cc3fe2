"""Which threads make up one clinic's chart edge, and how do they begin and end?

One receiver, one sender, one watcher of the patient list and a small pool of workers share one local file. While the
broker is away deliveries go on and answers wait; while the chart is away deliveries wait. A thread that meets a bug
ends the role, whose supervisor starts it again.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass

from pipeline.broker.port import Broker, UnroutableError
from pipeline.clinic_settings import Clinic
from pipeline.clock import Clock
from pipeline.errors import AwayError
from pipeline.events import BookingsChanged
from pipeline.keyring import Keyring
from pipeline.sealing import KeyClass, Opener
from pipeline.settings import Settings
from producers.chart.bookings import BOOKING_LIST, Bookings
from producers.chart.breaker import Breaker
from producers.chart.deliveries import Deliveries
from producers.chart.faults import Faults
from producers.chart.folder import FolderChart
from producers.chart.ledger import Ledger, LedgerAwayError, ledger_path
from producers.chart.outgoing import Outgoing
from producers.chart.part import Part
from producers.chart.patients import LastList, Patients
from producers.chart.port import ChartPort
from producers.chart.receiver import Receiver
from producers.chart.sender import Reports, Sender
from producers.chart.stages import LedgerStages
from producers.chart.worker import Claims, Worker

WORKERS = 2
"""The effect is mostly waiting for the disk; two overlap writing with flushing."""
LATER = 4
"""How much longer than other repetitions that of the patient list waits (hourly): it is long, and mostly known."""
LOOK_SECONDS = 0.2
TURNS_AT_END = 50
"""Batches that are sent after a stop before the rest is left to the next start."""


@dataclass(frozen=True, slots=True)
class _Running:
    receiver: Receiver
    sender: Sender
    breaker: Breaker
    parts: tuple[Part, ...]
    bells: dict[str, threading.Event]


class ChartRole:
    """The chart's edge of one clinic. `run` is called once."""

    def __init__(self, settings: Settings, clinic: Clinic, keyring: Keyring, broker: Broker, clock: Clock) -> None:
        if clinic.chart is None:
            raise ValueError("the clinic has no chart")
        self._settings = settings
        self._clinic = clinic
        self._chart = clinic.chart
        self._keyring = keyring
        self._broker = broker
        self._clock = clock
        self._ticks: dict[str, float] = {}
        self._last_tick = clock.monotonic()
        self._running: _Running | None = None
        self._failure: BaseException | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what is in hand.

        Raises:
            LedgerBusyError: another process does this clinic's deliveries.
            LedgerAwayError: the local file cannot be opened.
        """
        ledger = Ledger(ledger_path(self._settings.edge.state, self._clinic.id))
        ending = threading.Event()
        try:
            running = self._running = self._assemble(ledger)
            threads = [
                threading.Thread(target=self._loop, args=(part, ending, running.bells.get(part.name)), name=part.name)
                for part in running.parts
            ]
            for thread in threads:
                thread.start()
            while not stop.wait(LOOK_SECONDS) and self._failure is None:
                self._last_tick = min(list(self._ticks.values()) or [self._last_tick])
            self._end(running, threads, ending)
        finally:
            self._running = None
            ledger.close()
        if self._failure is not None:
            raise self._failure

    def is_ready(self) -> tuple[bool, str]:
        """Say whether deliveries can come and go, else one word for why not."""
        running = self._running
        if running is None:
            return False, "starting"
        if not running.receiver.is_connected:
            return False, "broker_away"
        if running.breaker.is_open:
            return False, "chart_away"
        return True, ""

    def last_tick(self) -> float:
        """Say when, in monotonic seconds, every thread had last come round."""
        return self._last_tick

    def _assemble(self, ledger: Ledger) -> _Running:
        clinic, state, faults = self._clinic.id, self._settings.edge.state, Faults()
        deliveries = Deliveries(ledger, clinic)
        wanted, answered = threading.Event(), threading.Event()
        receiver = Receiver(
            clinic=clinic,
            broker=self._broker,
            deliveries=deliveries,
            clock=self._clock,
            faults=faults,
            bell=wanted,
            keys_dir=self._keyring.directory,
        )
        reports = Reports(clinic, state, deliveries, self._clock, faults, keyring=self._keyring)
        sender = Sender(
            broker=self._broker,
            outgoing=Outgoing(ledger),
            make_report=reports.make,
            report_seconds=self._settings.edge.report_seconds,
            clock=self._clock,
        )
        breaker, claims, chart = Breaker(self._clock), Claims(deliveries), self._open_chart(ledger)
        opener = Opener(self._keyring)
        workers = [
            Worker(
                name=f"worker {n}",
                clinic=clinic,
                chart=chart,
                deliveries=deliveries,
                claims=claims,
                breaker=breaker,
                opener=opener,
                clock=self._clock,
                faults=faults,
                answered=answered,
            )
            for n in range(WORKERS)
        ]
        patients = Patients(
            clinic=clinic,
            path=self._chart.patients,
            scan_seconds=self._chart.scan_seconds,
            settle_seconds=self._chart.settle_seconds,
            identity=self._keyring.identity(clinic),
            standing_key=self._standing_key,
            last=LastList(ledger),
            clock=self._clock,
            faults=faults,
            again_seconds=self._settings.centre.republish_seconds * LATER,
        )
        lists = [patients, *self._bookings(ledger, faults)]
        bells = {sender.name: answered, workers[0].name: wanted}
        return _Running(receiver, sender, breaker, (receiver, sender, *lists, *workers), bells)

    def _bookings(self, ledger: Ledger, faults: Faults) -> list[Bookings]:
        if self._clinic.bookings is None:
            return []
        return [
            Bookings(
                clinic=self._clinic.id,
                path=self._clinic.bookings.path,
                scan_seconds=self._chart.scan_seconds,
                settle_seconds=self._chart.settle_seconds,
                identity=self._keyring.identity(self._clinic.id),
                standing_key=self._standing_key,
                last=LastList(ledger, BOOKING_LIST, BookingsChanged.type_name()),
                clock=self._clock,
                faults=faults,
                again_seconds=self._settings.centre.republish_seconds * LATER,
            )
        ]

    def _open_chart(self, ledger: Ledger) -> ChartPort:
        return FolderChart(self._chart.inbox, self._keyring.identity(self._clinic.id), LedgerStages(ledger))

    def _standing_key(self) -> bytes:
        return self._keyring.epoch_key(self._clinic.id, KeyClass.STANDING, self._clock.now())

    def _loop(self, part: Part, ending: threading.Event, bell: threading.Event | None) -> None:
        try:
            while not ending.is_set():
                self._ticks[part.name] = self._clock.monotonic()
                seconds = part.step()
                if seconds:
                    _wait(bell or ending, ending, seconds)
            part.close()
        except BaseException as error:  # noqa: BLE001 - handed to the role's own thread, which raises it
            self._failure = error

    def _end(self, running: _Running, threads: list[threading.Thread], ending: threading.Event) -> None:
        ending.set()
        for bell in running.bells.values():
            bell.set()
        for thread in threads:
            thread.join()
        if self._failure is None:
            _attempt(lambda: _drain(running.sender))


def _wait(bell: threading.Event, ending: threading.Event, seconds: float) -> None:
    bell.wait(seconds)
    if not ending.is_set():
        bell.clear()


def _drain(sender: Sender) -> None:
    for _ in range(TURNS_AT_END):
        if not sender.send_waiting():
            break
    sender.close()


def _attempt(act: Callable[[], None]) -> None:
    """Do what may as well be done at the next start."""
    try:
        act()
    except (AwayError, UnroutableError, LedgerAwayError):
        return
