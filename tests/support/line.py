"""The whole centre without a broker: every consumer, a chart that takes all it is given, a terminal that erases."""

from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Table

from consumers.consent import Consent
from consumers.deletion import Deletion
from consumers.forwarding import Forwarding
from consumers.parsing import Parsing
from consumers.reconciliation import Reconciliation
from pipeline.consumer import Consumer
from pipeline.contents import SealedDelivery, SealedFile, delivery_context, file_context, patients_context
from pipeline.events import (
    DeliveryDone,
    DeliveryWanted,
    ErasureOrder,
    Event,
    FileCaptured,
    FileErased,
    FileReparse,
    PatientsChanged,
    derive_id,
)
from pipeline.oqs.names import parse_name
from pipeline.patient_row import PatientRow, rows_to_bytes
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.settings import Settings
from pipeline.storage.schema import copies, files
from pipeline.topology import CHART_EDGE
from tests.support.centre import Centre, make_keyring, make_store

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
CLINIC = "c1"
CODE = "9919000011"


@dataclass
class Line:
    """One clinic. Files go in with `capture` or `reread`; `run` lets everything follow."""

    root: Path
    now: datetime = NOW
    has_chart: bool = True
    """Whether its chart takes what it is given."""
    centre: Centre = field(init=False)
    consumers: list[Consumer[Any, Any]] = field(init=False)
    deliveries: list[tuple[str, int, SealedDelivery]] = field(default_factory=list)
    parked: list[tuple[str, str]] = field(default_factory=list)
    said: list[Event] = field(default_factory=list)

    def __post_init__(self) -> None:
        root = self.root
        folders = {part: root / "t1" / part for part in ("face", "res", "req")}
        chart = {"inbox": root / "inbox", "patients": root / "patients.csv"}
        for folder in (*folders.values(), chart["inbox"]):
            folder.mkdir(parents=True)
        # Tests of the line say themselves what is asked.
        silent = {"fetch": {"enabled": False}}
        clinics = [
            {
                "id": CLINIC,
                "institution_codes": [CODE],
                "terminals": [{"id": "t1", **folders}],
                "chart": chart,
                **silent,
            },
            {"id": "c2", "institution_codes": ["9919000012"], **silent},
        ]
        settings = Settings.model_validate({"root": root, "keys": {"dir": root / "keys"}, "clinics": clinics})
        keyring = make_keyring(root, settings, NOW)
        self.centre = Centre(settings, keyring, make_store(f"sqlite:///{root}/onshi.db"))
        kinds: list[Any] = [Parsing, Reconciliation, Consent, Forwarding, Deletion]
        self.consumers = [kind(settings, keyring) for kind in kinds]

    def patients(self, *rows: PatientRow) -> None:
        list_id = derive_id("list", CLINIC, str(self.now))
        public = self.centre.keyring.epoch_key(CLINIC, KeyClass.STANDING, NOW)
        sealed = Sealer().seal(public, CLINIC, patients_context(list_id, 1), rows_to_bytes(rows))
        about = {"list_id": list_id, "taken_at": self.now, "part": 1, "parts": 1, "rows": len(rows)}
        self.run(PatientsChanged(clinic=CLINIC, edge=CHART_EDGE, sealed=sealed, **about))

    def captured(self, path: Path, name: str | None = None, content: bytes | None = None) -> FileCaptured:
        raw, called = content if content is not None else path.read_bytes(), name or path.name
        parsed = parse_name(called)
        mac = self.centre.keyring.identity(CLINIC).mac("content", raw)
        file_id = derive_id("file", CLINIC, mac, (parsed.correlation if parsed else None) or "")
        public = self.centre.keyring.epoch_key(CLINIC, KeyClass.ORIGINAL, NOW)
        inside = SealedFile(called, "face", raw).to_bytes()
        return FileCaptured(
            clinic=CLINIC,
            edge="t1",
            file_id=file_id,
            copy_id=derive_id("copy", CLINIC, called, mac),
            kind=parsed.kind.value if parsed else "other",
            size=len(raw),
            mac=mac,
            sealed=Sealer().seal(public, CLINIC, file_context(file_id), inside),
            seen_at=self.now,
            captured_at=self.now,
        )

    def capture(self, path: Path, name: str | None = None, content: bytes | None = None) -> str:
        event = self.captured(path, name, content)
        self.run(event)
        return event.file_id

    def reread(self, file_id: str, asking: str = "one") -> list[Event]:
        """Order a file to be read again; returns what was said because of it."""
        row = self.file(file_id)
        before = len(self.said)
        self.run(
            FileReparse(
                clinic=row["clinic"],
                edge="t1",
                file_id=file_id,
                asked_id=asking,
                sealed=row["sealed_original"],
                captured_at=row["captured_at"],
            )
        )
        return self.said[before:]

    def run(self, *events: Event) -> None:
        """Handle these and all that follows from them, then let time do its part until nothing more comes."""
        waiting = deque(events)
        while waiting:
            event = waiting.popleft()
            waiting.extend(self._edge(event))
            for consumer in self.consumers:
                if isinstance(event, consumer.listens):
                    waiting.extend(self._handle(consumer, event))
            if not waiting:
                self.now += timedelta(seconds=1)
                for consumer in self.consumers:
                    waiting.extend(self._said(self.centre.due(consumer, self.now)))

    def _handle(self, consumer: Consumer[Any, Any], event: Event) -> list[Event]:
        outcome = self.centre.handle(consumer, event, self.now)
        if outcome.park:
            self.parked.append((consumer.role.value, outcome.park))
        return self._said(outcome.events)

    def _said(self, events: Any) -> list[Event]:
        self.said.extend(events)
        return list(events)

    def _edge(self, event: Event) -> list[Event]:
        if isinstance(event, DeliveryWanted) and self.has_chart:
            return [self._deliver(event)]
        if isinstance(event, ErasureOrder):
            return [self._erase(event)]
        return []

    def _deliver(self, event: DeliveryWanted) -> DeliveryDone:
        context = delivery_context(event.file_id, event.revision)
        raw = Opener(self.centre.keyring).open(CLINIC, context, event.sealed)
        self.deliveries.append((event.file_id, event.revision, SealedDelivery.from_bytes(raw)))
        about = {"file_id": event.file_id, "revision": event.revision}
        return DeliveryDone(clinic=CLINIC, edge=CHART_EDGE, receipt="r", done_at=self.now, **about)

    def _erase(self, event: ErasureOrder) -> FileErased:
        row = next(row for row in self.rows(copies) if row["copy_id"] == event.copy_id)
        return FileErased(
            clinic=CLINIC,
            edge="t1",
            file_id=event.file_id,
            copy_id=event.copy_id,
            level="L1",
            method="overwrite-once",
            mac=row["mac"],
            size=row["size"],
            first_seen_at=self.now,
            stored_at=self.now,
            intended_at=self.now,
            erased_at=self.now,
            verified_absent=True,
            bytes_read_back=row["size"],
            filesystem="ext4",
            clock_offset_seconds=None,
            preconditions=("C1", "C2", "C4", "C7", "C8"),
            software="0.1.0",
        )

    def rows(self, table: Table) -> list[dict[str, Any]]:
        return self.centre.rows(table)

    def file(self, file_id: str) -> dict[str, Any]:
        return next(row for row in self.rows(files) if row["file_id"] == file_id)
