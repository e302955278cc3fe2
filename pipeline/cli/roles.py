"""Which parts does a role consist of? The one place where settings, broker, store, consumers and producers meet."""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pipeline.ballast import Ballast, keeper
from pipeline.broker.open import open_broker
from pipeline.broker.tls import files_of
from pipeline.broker.watched import WatchedBroker
from pipeline.cli.parts import part_of
from pipeline.cli.supervise import Part
from pipeline.clock import Clock, SystemClock
from pipeline.errors import OnshiError
from pipeline.events import EdgeReported
from pipeline.keyring import Keyring
from pipeline.metrics import DISK_FREE, show_edge
from pipeline.pulse import Pulse
from pipeline.settings import Settings
from pipeline.topology import CENTRE_ROLES, CHART_EDGE, EDGE_ROLES, Reader, Role, build
from pipeline.vendor_register import Register

if TYPE_CHECKING:
    from pipeline.cli.centre import Centre

LOG = logging.getLogger("onshi.supervisor")
READY_FIRST_SECONDS = 0.1
READY_EVERY_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
MISSED_EVERY_SECONDS = 1.0
DECLARE_EVERY_SECONDS = 60.0
MEASURE_EVERY = 5
"""Every how many looks an edge's counts are measured; each asks its ledger."""


def _free_bytes(folder: Path) -> float:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return float(shutil.disk_usage(folder).free)


class _EdgeRole(Protocol):
    def run(self, stop: threading.Event) -> None: ...

    def is_ready(self) -> tuple[bool, str]: ...

    def last_tick(self) -> float: ...


@runtime_checkable
class _Measured(_EdgeRole, Protocol):
    """An edge that can count its files at any time: a terminal."""

    def snapshot(self) -> EdgeReported: ...


class Assembly:
    """Everything that one process runs for some roles."""

    def __init__(self, settings: Settings, roles: Sequence[Role], clock: Clock | None = None) -> None:
        self._settings = settings
        self._roles = tuple(roles)
        self._clock = clock or SystemClock()
        self._centre = self._open_centre() if any(role in CENTRE_ROLES for role in roles) else None
        self._keyring = self._centre.keyring if self._centre else Keyring(settings.keys.dir)
        broker = open_broker(settings.broker.url, settings.state, settings.broker.certificates)
        self._broker = WatchedBroker(broker, declares=settings.broker.declare)
        self.pulses: list[Pulse] = []
        DISK_FREE.set_function(lambda: _free_bytes(settings.state))

    def parts(self) -> list[Part]:
        """Make the parts; the topology is declared beside them, so that an edge works on while the broker is away."""
        made = [Part("topology", self._keep_declared)]
        if self._centre:
            made.extend(self._centre.parts())
        if files := files_of(self._settings.broker.certificates):
            made.append(Part("certificates", self._watch_certificates(files)))
        for role in self._roles:
            made.extend(self._edge_parts(role) if role in EDGE_ROLES else [self._centre_part(role)])
        return made

    def _open_centre(self) -> "Centre":
        # Store and runner are slow to import, and an edge has neither.
        from pipeline.cli.centre import Centre  # noqa: PLC0415

        return Centre(self._settings, self._roles, self._clock)

    def _watch_certificates(self, files: Mapping[str, Path]) -> Callable[[threading.Event], None]:
        # What reads certificates is slow to import, and on the embedded broker there are none.
        from pipeline.expiry import ExpiryWatch, watcher  # noqa: PLC0415

        return watcher(ExpiryWatch(files, self._authority(), self._clock))

    def _authority(self) -> Path | None:
        """Say where the group's authority is, in the role that shows what is the group's."""
        group = self._settings.group
        return group.ca_dir if group and Role.DELETION in self._roles else None

    def close(self) -> None:
        self._broker.close()
        if self._centre:
            self._centre.close()

    def _keep_declared(self, stop: threading.Event) -> None:
        """Declare at the start, and again when a part misses something: a broker may come back empty."""
        register = Register(self._settings)
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            self._broker.missed.clear()
            settings = register.settings()
            topology = build(settings.edges, [Reader(each.id, each.retention) for each in settings.vendors])
            try:
                if self._settings.broker.declare:
                    self._broker.declare(topology)
                else:
                    self._broker.check(topology)
            except OnshiError as error:
                LOG.warning("topology", extra={"reason": str(error)})
                stop.wait(pause)
                pause = min(pause * 2, 30)
                continue
            # Not at once again: what was missed while we declared is there now, and a check alone mends nothing.
            stop.wait(pause)
            declared_at = time.monotonic()
            # A binding that is gone is missed by nobody, so it is all declared again now and then.
            while not stop.is_set() and time.monotonic() - declared_at < DECLARE_EVERY_SECONDS:
                if self._broker.missed.wait(MISSED_EVERY_SECONDS):
                    break
                pause = FIRST_PAUSE_SECONDS
            pause = min(pause * 2, 30)

    def _centre_part(self, role: Role) -> Part:
        assert self._centre is not None
        pulse = Pulse(role)
        self.pulses.append(pulse)
        return self._centre.part(role, self._broker, pulse)

    def _edge_parts(self, role: Role) -> Iterator[Part]:
        edge_role = part_of(role)
        for clinic in self._settings.clinics:
            if role is Role.TERMINAL:
                for terminal in clinic.terminals:
                    name = f"terminal {clinic.id}/{terminal.id}"
                    yield self._edge_part(
                        name,
                        lambda c=clinic, t=terminal: edge_role(  # type: ignore[misc]
                            self._settings, c, t, self._keyring, self._broker, self._clock
                        ),
                    )
            elif clinic.chart:
                name = f"chart {clinic.id}"
                path = self._settings.edge.state / f"{clinic.id}.chart.ballast"
                ballast = Ballast(path, self._settings.edge.ballast_bytes, f"{clinic.id}/{CHART_EDGE}")
                yield Part(f"ballast {clinic.id}/{CHART_EDGE}", keeper(ballast))
                yield self._edge_part(
                    name,
                    lambda c=clinic: edge_role(self._settings, c, self._keyring, self._broker, self._clock),  # type: ignore[misc]
                )

    def _edge_part(self, name: str, make: Callable[[], _EdgeRole]) -> Part:
        pulse = Pulse(name)
        self.pulses.append(pulse)

        def run(stop: threading.Event) -> None:
            role = make()
            done = threading.Event()
            watcher = threading.Thread(target=_watch, args=(role, pulse, done), name=f"{name} pulse", daemon=True)
            watcher.start()
            try:
                role.run(stop)
            finally:
                done.set()
                watcher.join()
                pulse.not_ready("stopped")

        return Part(name, run)


def _watch(role: _EdgeRole, pulse: Pulse, done: threading.Event) -> None:
    """Carry an edge's own signs of life over to its pulse."""
    last, looks, pause = 0.0, 0, READY_FIRST_SECONDS
    while not done.wait(pause):
        # Soon at first: what waits for the role has nothing else to wait for.
        pause = min(2 * pause, READY_EVERY_SECONDS)
        looks += 1
        if looks % MEASURE_EVERY == 0 and isinstance(role, _Measured):
            # A role that is just ending has closed its ledger.
            with suppress(sqlite3.ProgrammingError):
                show_edge(role.snapshot())
        if role.last_tick() != last:
            last = role.last_tick()
            pulse.beat()
        is_ready, why = role.is_ready()
        if is_ready:
            pulse.ready()
        else:
            pulse.not_ready(why)
