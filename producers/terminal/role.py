"""The terminal's role: four threads around one ledger, and how they are.

Capturing (scan, settle, spool), sending (files, evidence, reports), orders (stored, erasures, holds, requests) and
the watcher. A full disk or a broker that is away is a fault that is reported and survived; anything else ends the
role, for a supervisor to start it again.
"""

import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pipeline.ballast import Ballast
from pipeline.broker.port import Broker, BrokerAwayError
from pipeline.clinic_settings import Clinic, Terminal
from pipeline.clock import Clock
from pipeline.edge_words import EdgeFault
from pipeline.events import EdgeReported
from pipeline.keyring import Keyring, KeyringError
from pipeline.settings import Settings
from pipeline.topology import Edge, orders_queue
from producers.terminal import copies, evidence
from producers.terminal.capture import Capture, CaptureRules
from producers.terminal.erase import SOFTWARE, Eraser, ErasureRules
from producers.terminal.faults import Faults
from producers.terminal.folders import Folders, folders_of
from producers.terminal.holdings import Holdings, ballast_path, of_spool, spool_path
from producers.terminal.keep import Keeper
from producers.terminal.ledger import Ledger, counts, ledger_path
from producers.terminal.orders import Orders
from producers.terminal.orphans import Orphans
from producers.terminal.publish import PublishRules, Sending
from producers.terminal.recovery import Recovery
from producers.terminal.requests import Requests
from producers.terminal.seals import Seals
from producers.terminal.settle import Rules
from producers.terminal.spool import Spool, SpoolError
from producers.terminal.trust import EdgeClock
from producers.terminal.watch import watch

_PRUNE_SECONDS = 600.0
_FAULT_PAUSE_SECONDS = 1.0
_LONG_PASS = 5
"""A woken scan waits this many times as long as the last one took, so that a burst does not scan all the time."""
_log = logging.getLogger("onshi.terminal")


class TerminalRole:
    """One terminal's edge. `run` once; a new instance for a new start."""

    def __init__(  # noqa: PLR0917 - the order in which every role is made
        self, settings: Settings, clinic: Clinic, terminal: Terminal, keyring: Keyring, broker: Broker, clock: Clock
    ) -> None:
        self._settings = settings
        self._clinic = clinic
        self._terminal = terminal
        self._keyring = keyring
        self._broker = broker
        self._clock = EdgeClock(clock)
        self._faults = Faults()
        self._ended = threading.Event()
        self._wake = threading.Event()
        self._to_send = threading.Event()
        self._crash: BaseException | None = None
        self._ticks: dict[str, float] = {}
        self._scanned = False
        self._ledger: Ledger | None = None
        self._capture: Capture | None = None
        self._spool: Spool | None = None
        self._ballast = Ballast(
            ballast_path(settings.edge.state, clinic.id, terminal.id),
            settings.edge.ballast_bytes,
            f"{clinic.id}/{terminal.id}",
        )
        self._sending: Sending | None = None

    def run(self, stop: threading.Event) -> None:
        """Work until `stop`; return with the work in hand finished.

        Raises:
            PermanentError: `second_process`, or keys missing.
            Exception: a bug in one of the threads, as it was.
        """
        state = self._settings.edge.state
        self._ledger = ledger = Ledger(ledger_path(state, self._clinic.id, self._terminal.id))
        try:
            self._work(ledger, stop)
        finally:
            self._ledger = None
            ledger.close()
        if self._crash is not None:
            raise self._crash

    def is_ready(self) -> tuple[bool, str]:
        """Say whether files are being taken and the broker is reached, or one stable word why not."""
        if not self._scanned:
            return False, "starting"
        if self._sending is None or not self._sending.is_connected:
            return False, "broker_away"
        faults = self._faults.words()
        return not faults, faults[0] if faults else "ok"

    def last_tick(self) -> float:
        """Return when (monotonic) the slowest thread last came round."""
        return min(list(self._ticks.values()), default=time.monotonic())

    def snapshot(self) -> EdgeReported:
        """Say how this edge is. Counts and sizes only."""
        now = self._clock.now()
        custody: dict[str, int] = {}
        backlog, oldest, spool, in_use = 0, None, Holdings(), set[str]()
        standing = self._keyring.standing_id(self._clinic.id)
        ledger, capture = self._ledger, self._capture
        if ledger is not None:
            with ledger.reading() as db:
                custody = counts(db)
                backlog, oldest = copies.backlog(db)
                in_use = evidence.sealed_to(db)
                spool = of_spool(db, self._spool_path(), self._settings.edge.spool_days)
        if capture is not None:
            backlog += capture.seen
            oldest = min((at for at in (oldest, capture.oldest_seen()) if at), default=None)
        return EdgeReported(
            clinic=self._clinic.id,
            edge=self._terminal.id,
            reported_at=now,
            software=SOFTWARE,
            custody=custody,
            backlog=backlog,
            oldest_seconds=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
            free_bytes=_free_bytes(self._settings),
            clock_reliable=self._clock.is_reliable(),
            spool_bytes=spool.size,
            spool_segments=spool.segments,
            spool_files=spool.files,
            spool_oldest_at=spool.oldest_at,
            spool_until=spool.until,
            ballast_bytes=self._ballast.bytes_held(),
            # What waits here, sealed to the former key, will be said again: that key must not end yet.
            standing_key=standing if in_use <= {standing} else "",
            faults=self._faults.words(),
        )

    # Threads

    def _work(self, ledger: Ledger, stop: threading.Event) -> None:
        seals = Seals(self._keyring, self._clinic, self._terminal)
        own = folders_of(self._terminal, seals.identity)
        other = folders_of(self._terminal, seals.identity)
        self._spool = spool = Spool(self._spool_path())
        requests = Requests(self._edge(), folders=other, ledger=ledger, seals=seals, clock=self._clock)
        self._capture = self._make_capture(own, ledger, spool, seals, requests)
        eraser = Eraser(self._erasure_rules(), other, ledger, seals, self._clock)
        orders = self._make_orders(ledger, eraser, requests)
        kept = self._spool_path().with_suffix(".orphans")
        orphans = Orphans(other, ledger, seals, clock=self._clock, faults=self._faults, kept=kept)
        self._sending = Sending(
            self._publish_rules(), self._broker, ledger=ledger, spool=spool, clock=self._clock, faults=self._faults
        )
        folders = [folder.path for folder in own.scanned]
        threads = [
            self._thread("capture", lambda: self._capturing(ledger)),
            self._thread("send", self._sending_loop),
            self._thread("orders", lambda: self._ordering(orders, requests, Recovery(eraser, self._clock), orphans)),
            self._thread("watch", lambda: watch(folders, self._wake, self._ended, poll=self._settings.edge.poll)),
        ]
        for thread in threads:
            thread.start()
        self._supervise(threads, stop)
        orders.close()
        self._sending.close()
        spool.close()
        own.close()
        other.close()

    def _supervise(self, threads: list[threading.Thread], stop: threading.Event) -> None:
        while not stop.wait(0.1) and not self._ended.is_set():
            pass
        self._ended.set()
        self._wake.set()
        self._to_send.set()
        for thread in threads:
            thread.join()

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                work()
            except BaseException as fault:  # noqa: BLE001 - carried to the thread of `run`, which raises it
                self._crash = self._crash or fault
            finally:
                self._ticks.pop(name, None)
                self._ended.set()

        return threading.Thread(target=run, name=f"terminal {self._terminal.id} {name}")

    def _tick(self, name: str) -> None:
        self._ticks[name] = time.monotonic()

    def _capturing(self, ledger: Ledger) -> None:
        capture = self._capture
        pruned_at = -_PRUNE_SECONDS
        while capture is not None and not self._ended.is_set():
            self._tick("capture")
            self._wake.clear()
            began = time.monotonic()
            pause = self._guarded("capture", capture.run_once, capture.wait_seconds) if self._has_room() else None
            took = time.monotonic() - began
            if time.monotonic() - pruned_at > _PRUNE_SECONDS or pause is None:
                self._prune(ledger, keep_days=0.0 if EdgeFault.DISK_FULL in self._faults.words() else None)
                pruned_at = time.monotonic()
            self._ended.wait(min(_LONG_PASS * took, 1.0))
            self._wake.wait(_FAULT_PAUSE_SECONDS if pause is None else pause)

    def _has_room(self) -> bool:
        """Say whether something new may be begun; without a ballast the room is for what is in hand."""
        if self._ballast.tend():
            self._faults.clear(EdgeFault.DISK_FULL, "ballast")
            return True
        if self._faults.raise_(EdgeFault.DISK_FULL, "ballast"):
            _log.error("disk full", extra={"part": "ballast"})
        return False

    def _note_ledger(self, fault: sqlite3.OperationalError, part: str) -> None:
        word = _word(fault)
        if word == EdgeFault.DISK_FULL:
            self._ballast.release()
        self._faults.raise_(word, part)

    def _clear_ledger(self, part: str) -> None:
        for word in (EdgeFault.DISK_FULL, EdgeFault.LEDGER):
            self._faults.clear(word, part)

    def _guarded(self, part: str, work: Callable[[Callable[[], bool]], int], wait: Callable[[], float]) -> float | None:
        """Do one round; None when it met a fault that is survived."""
        try:
            kept = work(self._ended.is_set)
        except (SpoolError, sqlite3.OperationalError, KeyringError) as fault:
            word = _word(fault)
            if word == EdgeFault.DISK_FULL:
                self._ballast.release()
            if self._faults.raise_(word, part):
                _log.error("fault", extra={"fault": word, "part": part})
            return None
        for word in (EdgeFault.DISK_FULL, EdgeFault.SPOOL, EdgeFault.LEDGER, EdgeFault.KEYS):
            self._faults.clear(word, part)
        self._scanned = True
        if kept or part == "capture":
            self._to_send.set()
        return wait()

    def _prune(self, ledger: Ledger, keep_days: float | None) -> None:
        days = self._settings.edge.spool_days if keep_days is None else keep_days
        with ledger.reading() as db:
            kept = copies.segments_kept(db, self._clock.now() - timedelta(days=days))
        if self._spool is not None:
            self._spool.prune(kept)

    def _sending_loop(self) -> None:
        reported_at = -self._settings.edge.report_seconds
        sending = self._sending
        while sending is not None and not self._ended.is_set():
            self._tick("send")
            self._to_send.clear()
            is_due = time.monotonic() - reported_at >= self._settings.edge.report_seconds
            sent = self._guarded_send(sending, report=is_due)
            if is_due and sending.is_connected:
                reported_at = time.monotonic()
            if not sent:
                self._ended.wait(sending.pause_seconds())
                self._to_send.wait(min(1.0, self._settings.edge.report_seconds))

    def _guarded_send(self, sending: Sending, *, report: bool) -> int:
        try:
            sent = sending.send(self.snapshot() if report else None)
        except sqlite3.OperationalError as fault:
            self._note_ledger(fault, "send")
            self._ended.wait(_FAULT_PAUSE_SECONDS)
            return 0
        self._clear_ledger("send")
        return sent

    def _ordering(self, orders: Orders, requests: Requests, recovery: Recovery, orphans: Orphans) -> None:
        while not self._ended.is_set():
            self._tick("orders")
            try:
                recovery.turn()
                orphans.turn(self._settings.edge.spool_days)
                requests.tend()
                if orders.receive(timedelta(seconds=0.5)):
                    self._to_send.set()
            except BrokerAwayError:
                orders.away()
                self._ended.wait(_FAULT_PAUSE_SECONDS)
            except sqlite3.OperationalError as fault:
                self._note_ledger(fault, "orders")
                self._ended.wait(_FAULT_PAUSE_SECONDS)
            else:
                self._clear_ledger("orders")
            self._note_clock()

    def _note_clock(self) -> None:
        if self._clock.is_reliable():
            self._faults.clear(EdgeFault.CLOCK, "orders")
        elif self._faults.raise_(EdgeFault.CLOCK, "orders"):
            _log.error("clock unreliable")

    # Parts

    def _make_capture(
        self, folders: Folders, ledger: Ledger, spool: Spool, seals: Seals, requests: Requests
    ) -> Capture:
        edge = self._settings.edge
        keeper = Keeper(self._clinic.id, self._terminal.id, ledger, spool, seals, self._clock, self._faults)
        rules = CaptureRules(
            settle=Rules(edge.settle_seconds, edge.unfinished_seconds),
            size_limit=edge.size_limit_bytes,
            scan_seconds=edge.scan_seconds,
            only_our_answers=self._terminal.mode == "beside",
        )
        return Capture(
            rules=rules,
            folders=folders,
            ledger=ledger,
            keeper=keeper,
            seals=seals,
            clock=self._clock,
            faults=self._faults,
            is_ours=requests.is_ours,
            tick=lambda: self._tick("capture"),
        )

    def _make_orders(self, ledger: Ledger, eraser: Eraser, requests: Requests) -> Orders:
        return Orders(
            queue=orders_queue(self._edge()),
            clinic=self._clinic.id,
            edge=self._terminal.id,
            broker=self._broker,
            ledger=ledger,
            eraser=eraser,
            requests=requests,
            clock=self._clock,
            faults=self._faults,
            keys_dir=self._keyring.directory,
        )

    def _erasure_rules(self) -> ErasureRules:
        age = self._settings.centre.minimum_age_seconds
        if self._terminal.mode == "beside":
            age = max(age, self._terminal.erase_after.total_seconds())
        return ErasureRules(self._clinic.id, self._terminal.id, age)

    def _spool_path(self) -> Path:
        return spool_path(self._settings.edge.state, self._clinic.id, self._terminal.id)

    def _edge(self) -> Edge:
        return Edge(self._clinic.id, self._terminal.id)

    def _publish_rules(self) -> PublishRules:
        repeat = timedelta(seconds=self._settings.centre.republish_seconds)
        return PublishRules(self._clinic.id, self._terminal.id, repeat)


def _word(fault: Exception) -> EdgeFault:
    if isinstance(fault, SpoolError):
        return fault.word
    if isinstance(fault, KeyringError):
        return EdgeFault.KEYS
    is_full = getattr(fault, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
    return EdgeFault.DISK_FULL if is_full else EdgeFault.LEDGER


def _free_bytes(settings: Settings) -> int:
    try:
        status = os.statvfs(settings.edge.state)
    except OSError:
        return 0
    return status.f_bavail * status.f_frsize
