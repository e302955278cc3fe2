"""One terminal's role in a temporary folder, with the embedded broker and the centre's side in the test's hands."""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import Delivery
from pipeline.clinic_settings import Clinic, Terminal
from pipeline.clock import Clock, SystemClock
from pipeline.contents import SealedFile, file_context, request_context
from pipeline.envelope import enclose, pack, read, write
from pipeline.events import (
    ErasureOrder,
    Event,
    FileCaptured,
    FileStored,
    HoldReleased,
    HoldSet,
    RequestPlace,
)
from pipeline.keyring import Keyring, issue
from pipeline.sealing import Opener, Sealer
from pipeline.settings import CentreSettings, EdgeSettings, KeysSettings, Settings
from pipeline.topology import Binding, Exchange, QueueSpec, Topology, build
from producers.terminal import custody_counts, ledger_path
from producers.terminal.role import TerminalRole
from tests.support.eventually import eventually

E = TypeVar("E", bound=Event)
FACE = "OQSsiquc01res_face_9919000011{:020d}_20260512100804.xml"
XML = '<?xml version="1.0" encoding="UTF-8"?><XmlMsg><MessageHeader/><MessageBody>{}</MessageBody></XmlMsg>'
EAR = "test.ear"
CENTRE_SAW = ("C3", "C5", "C6")


def face_name(number: int) -> str:
    return FACE.format(number)


def content(number: int) -> bytes:
    return XML.format(f"<A>{number}</A>").encode()


class SteppingClock:
    """The system's clock, which a test can set wrong."""

    def __init__(self) -> None:
        self.shift = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.shift

    def monotonic(self) -> float:
        return SystemClock().monotonic()


def make_settings(
    root: Path,
    *,
    edge: dict[str, object] | None = None,
    terminal: dict[str, object] | None = None,
    centre: dict[str, object] | None = None,
) -> Settings:
    places = {name: root / "oqs" / name for name in ("face", "res", "req")}
    for path in places.values():
        path.mkdir(parents=True, exist_ok=True)
    quick = {"state": root / "state" / "edge", "scan_seconds": 0.1, "settle_seconds": 0.1, "unfinished_seconds": 0.8}
    return Settings(
        root=root,
        keys=KeysSettings(dir=root / "keys"),
        edge=EdgeSettings.model_validate({**quick, **(edge or {})}),
        centre=CentreSettings.model_validate(centre or {}),
        clinics=(
            Clinic(
                id="c001",
                institution_codes=("9919000011",),
                terminals=(Terminal.model_validate({"id": "t1", **places, **(terminal or {})}),),
            ),
        ),
    )


def topology_of(settings: Settings) -> Topology:
    """The real one, with an ear that hears everything an edge says."""
    real = build(settings.edges)
    return Topology(
        real.exchanges, (*real.queues, QueueSpec(EAR)), (*real.bindings, Binding(Exchange.INTAKE, EAR, "#"))
    )


class TerminalBench:
    """The role under test, and the centre as the test plays it."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        self.settings = settings
        self.clinic = settings.clinics[0]
        self.terminal = self.clinic.terminals[0]
        self.clock = clock or SystemClock()
        issue(settings.keys.dir, ["c001"], settings.edges, datetime.now(UTC))
        self.keyring = Keyring(settings.keys.dir)
        self.broker = EmbeddedBroker(settings.state / "broker.db")
        self.broker.declare(topology_of(settings))
        self.heard: list[Event] = []
        self._ear = self.broker.subscribe(EAR, 1000)
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.role: TerminalRole | None = None
        self.crash: BaseException | None = None

    # The role

    def start(self) -> TerminalRole:
        self.role = role = TerminalRole(
            self.settings, self.clinic, self.terminal, self.keyring, self.broker, self.clock
        )
        self._stop = stop = threading.Event()

        def run() -> None:
            try:
                role.run(stop)
            except BaseException as fault:  # noqa: BLE001 - looked at by the test
                self.crash = fault

        self._thread = threading.Thread(target=run)
        self._thread.start()
        return role

    def stop(self) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._thread = None
        if self.crash:
            raise self.crash

    def close(self) -> None:
        try:
            self.stop()
        finally:
            self.broker.close()

    # The share

    def drop(self, number: int, body: bytes | None = None) -> Path:
        path = self.terminal.face / face_name(number)
        path.write_bytes(content(number) if body is None else body)
        return path

    def quarantined(self) -> list[Path]:
        return sorted(self.terminal.face.glob(".onshi-*"))

    # The centre

    def listen(self) -> list[Event]:
        """Hear everything said so far."""
        arrived: Sequence[Delivery] = self._ear.receive(1000, timedelta(0))
        self.heard.extend(envelope.event for delivery in arrived for envelope in read(delivery))
        if arrived:
            self._ear.ack(arrived)
        return self.heard

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.listen() if type(event) is kind]

    def wait_for(self, kind: type[E], count: int = 1, seconds: float = 40.0) -> list[E]:
        def enough() -> list[E]:
            found = self.of(kind)
            return found if len(found) >= count else []

        return eventually(enough, seconds, f"{count} {kind.__name__}")

    def captured(self, count: int = 1, seconds: float = 40.0) -> list[FileCaptured]:
        """Wait for this many different copies."""

        def copies() -> list[FileCaptured]:
            seen = {e.copy_id: e for e in self.listen() if isinstance(e, FileCaptured)}
            return list(seen.values()) if len(seen) >= count else []

        return eventually(copies, seconds, f"{count} captured")

    def opened(self, event: FileCaptured) -> SealedFile:
        return SealedFile.from_bytes(Opener(self.keyring).open("c001", file_context(event.file_id), event.sealed))

    def order(self, *events: Event) -> None:
        now = self.clock.now()
        publisher = self.broker.publisher()
        publisher.publish_confirmed(pack([write(enclose(event, now)) for event in events]))
        publisher.close()

    def store(self, *captured: FileCaptured) -> None:
        now = self.clock.now()
        self.order(
            *[
                FileStored(clinic="c001", edge="t1", file_id=e.file_id, copy_id=e.copy_id, stored_at=now)
                for e in captured
            ]
        )

    def erasure(self, captured: FileCaptured, **changed: object) -> ErasureOrder:
        return ErasureOrder.model_validate(
            {
                "clinic": "c001",
                "edge": "t1",
                "file_id": captured.file_id,
                "copy_id": captured.copy_id,
                "order_id": str(uuid4()),
                "until": self.clock.now() + timedelta(minutes=2),
                "preconditions": CENTRE_SAW,
                **changed,
            }
        )

    def hold(self, captured: FileCaptured, *, release: bool = False) -> HoldSet:
        kind = HoldReleased if release else HoldSet
        until = self.clock.now() + timedelta(minutes=2)
        return kind(
            clinic="c001", edge="t1", file_id=captured.file_id, copy_id=captured.copy_id, hold_id="h1", until=until
        )

    def request(self, free: str, **changed: object) -> RequestPlace:
        request_id = str(changed.pop("request_id", uuid4()))
        inside = SealedFile(f"OQSsiquc01req_{free}.xml", "req", content(1))
        sealed = Sealer().seal(
            self.keyring.edge_key("c001", "t1"), "c001", request_context(request_id), inside.to_bytes()
        )
        now = self.clock.now()
        return RequestPlace.model_validate(
            {
                "clinic": "c001",
                "edge": "t1",
                "request_id": request_id,
                "sealed": sealed,
                "until": now + timedelta(minutes=2),
                "withdraw_at": now + timedelta(minutes=3),
                **changed,
            }
        )

    # The ledger

    @property
    def ledger(self) -> Path:
        return ledger_path(self.settings.edge.state, "c001", "t1")

    def custody(self) -> dict[str, int]:
        return custody_counts(self.ledger)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        db = sqlite3.connect(self.ledger, timeout=10)
        try:
            return db.execute(query).fetchall()
        finally:
            db.close()

    def write(self, statement: str) -> None:
        """Change the ledger of a role that does not run."""
        db = sqlite3.connect(self.ledger)
        db.execute(statement)
        db.commit()
        db.close()


BenchMaker = Callable[..., TerminalBench]


@contextmanager
def benches(root: Path) -> Iterator[BenchMaker]:
    """Make benches in one folder; all are closed at the end."""
    made: list[TerminalBench] = []

    def make(clock: Clock | None = None, *, start: bool = True, **tables: dict[str, object]) -> TerminalBench:
        bench = TerminalBench(make_settings(root, **tables), clock)
        made.append(bench)
        if start:
            bench.start()
        return bench

    try:
        yield make
    finally:
        for bench in made:
            bench.close()
