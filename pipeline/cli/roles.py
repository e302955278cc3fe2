"""Which parts does a role consist of? The one place where settings, broker, store, consumers and producers meet."""

import logging
import shutil
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from pipeline.ballast import Ballast, keeper
from pipeline.broker.open import open_broker
from pipeline.broker.watched import WatchedBroker
from pipeline.cli.keys import caretaker, issue_keys
from pipeline.cli.supervise import Part
from pipeline.cli.turns import in_turns
from pipeline.clock import Clock, SystemClock
from pipeline.errors import AwayError, OnshiError
from pipeline.events import EdgeReported
from pipeline.expiry import ExpiryWatch, files_of, watcher
from pipeline.keyring import Keyring
from pipeline.metrics import DISK_FREE, show_edge
from pipeline.pulse import Pulse
from pipeline.runner import Runner
from pipeline.settings import BALLAST_NAME, Settings
from pipeline.storage import Store, open_store
from pipeline.topology import CENTRE_ROLES, CHART_EDGE, EDGE_ROLES, Reader, Role, build
from pipeline.vendor_register import Register

LOG = logging.getLogger("onshi.supervisor")
READY_EVERY_SECONDS = 1.0
FIRST_PAUSE_SECONDS = 0.5
MISSED_EVERY_SECONDS = 1.0
DECLARE_EVERY_SECONDS = 60.0
MEASURE_EVERY = 5
"""Every how many looks an edge's counts are measured; each asks its ledger."""

PARTS: dict[Role, str] = {
    Role.TERMINAL: "producers.terminal:TerminalRole",
    Role.CHART: "producers.chart:ChartRole",
    Role.PARSING: "consumers.parsing:Parsing",
    Role.RECONCILIATION: "consumers.reconciliation:Reconciliation",
    Role.CONSENT: "consumers.consent:Consent",
    Role.FORWARDING: "consumers.forwarding:Forwarding",
    Role.DELETION: "consumers.deletion:Deletion",
    Role.PUBLICATION: "consumers.publication:Publication",
}
"""Where each role's own part is. Imported when it is needed: a process that runs one role starts twice as fast."""


def _part(role: Role) -> Any:
    module, _, name = PARTS[role].partition(":")
    return getattr(import_module(module), name)


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
        if any(role in CENTRE_ROLES for role in roles):
            issue_keys(settings)
        self._keyring = Keyring(settings.keys.dir)
        broker = open_broker(settings.broker.url, settings.state, settings.broker.certificates)
        self._broker = WatchedBroker(broker, declares=settings.broker.declare)
        self._store = open_store(settings.store.url) if any(role in CENTRE_ROLES for role in roles) else None
        self._schema_made = threading.Lock()
        self._has_schema = False
        self.pulses: list[Pulse] = []
        DISK_FREE.set_function(lambda: _free_bytes(settings.state))

    def parts(self) -> list[Part]:
        """Make the parts; the topology is declared beside them, so that an edge works on while the broker is away."""
        made = [Part("topology", self._keep_declared)]
        if self._store and _is_kept_here(self._settings):
            path, size = self._settings.state / BALLAST_NAME, self._settings.centre.ballast_bytes
            made.append(Part("ballast", keeper(Ballast(path, size, "centre"))))
        if self._store:
            ends_keys = self._store if Role.DELETION in self._roles else None
            made.append(Part("keys", caretaker(self._settings, self._keyring, ends_keys, self._clock)))
        if files := files_of(self._settings.broker.certificates):
            made.append(Part("certificates", watcher(ExpiryWatch(files, self._authority(), self._clock))))
        for role in self._roles:
            made.extend(self._edge_parts(role) if role in EDGE_ROLES else [self._centre_part(role)])
        return made

    def _authority(self) -> Path | None:
        """Say where the group's authority is, in the role that shows what is the group's."""
        group = self._settings.group
        return group.ca_dir if group and Role.DELETION in self._roles else None

    def close(self) -> None:
        self._broker.close()
        if self._store:
            self._store.close()

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
        pulse = Pulse(role)
        self.pulses.append(pulse)

        def run(stop: threading.Event) -> None:
            assert self._store is not None
            self._prepare_store(self._store, pulse, stop)
            in_turns(self._settings, stop, lambda settings, turn: self._runner(role, settings, pulse).run(turn))

        return Part(role, run)

    def _runner(self, role: Role, settings: Settings, pulse: Pulse) -> Runner:
        assert self._store is not None
        return Runner(
            _part(role)(settings, self._keyring),
            self._store,
            self._broker,
            self._clock,
            batch=settings.centre.batch,
            repeat_after=timedelta(seconds=settings.centre.republish_seconds),
            pulse=pulse,
            has_vendors=bool(settings.vendors),
            is_shared=len(settings.clinics) > 1,
        )

    def _prepare_store(self, store: Store, pulse: Pulse, stop: threading.Event) -> None:
        while not stop.is_set():
            with self._schema_made:
                if self._has_schema:
                    return
                try:
                    store.make_schema()
                except AwayError as error:
                    LOG.warning("store away", extra={"reason": str(error)})
                    pulse.not_ready("store_away")
                else:
                    self._has_schema = True
            pulse.beat()
            stop.wait(0 if self._has_schema else 1)

    def _edge_parts(self, role: Role) -> Iterator[Part]:
        edge_role = _part(role)
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


def _is_kept_here(settings: Settings) -> bool:
    """Say whether the centre writes to a disk of this machine."""
    return settings.broker.url.startswith("embedded:") or settings.store.url.startswith("sqlite:")


def _watch(role: _EdgeRole, pulse: Pulse, done: threading.Event) -> None:
    """Carry an edge's own signs of life over to its pulse."""
    last, looks = 0.0, 0
    while not done.wait(READY_EVERY_SECONDS):
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
