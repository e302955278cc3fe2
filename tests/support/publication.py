"""How does a test get facts as the other consumers leave them, and publication to tell vendors of them?"""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from consumers.publication import Publication
from pipeline.contents import record_context
from pipeline.envelope import WireEvent, enclose, write
from pipeline.events import Event, RecordReconciled
from pipeline.keyring import Keyring, issue, issue_vendors
from pipeline.outcome import Outcome
from pipeline.sealing import KeyClass, Sealer
from pipeline.settings import load
from pipeline.storage import Store
from pipeline.storage.schema import files, grants, results
from pipeline.vendor_events import Notice
from tests.support.centre import Centre
from tests.support.vendors import make_key, table

CONFIGURATION = """
[broker]
url = "amqp://127.0.0.1:1/"
[[clinics]]
id = "c1"
institution_codes = ["9919000011"]
[[clinics]]
id = "c2"
institution_codes = ["9919000012"]
"""
RECORD = {
    "schema_kind": "eligibility",
    "validity": "1",
    "results": [{"name": "見本　花子"}],
    "unknown": [["Z", "ASIDE"]],
}


class Publishing:
    """A centre whose publication is driven as the runner drives it. acme reads records, beta only clinic c2."""

    def __init__(self, root: Path, store: Store, now: datetime) -> None:
        self.root, self.now = root, now
        self.config = root / "onshi.toml"
        self.key = make_key(root / "acme.jwk")
        self.configure(
            table("acme", records=["face"], public_key_file="acme.jwk"),
            table("beta", clinics=["c2"]),
            table("gamma", events=["record.reconciled"], kinds=["medication"]),
        )
        settings = load(self.config)
        issue(root / "keys", ["c1", "c2"], (), now)
        issue_vendors(root / "keys", ["acme", "beta", "gamma"])
        self.keyring = Keyring(root / "keys")
        self.centre = Centre(settings, self.keyring, store)
        self.publication = Publication(settings, self.keyring)

    def configure(self, *tables: str) -> None:
        self.config.write_text(CONFIGURATION + "".join(tables))

    def add_file(self, file_id: str, *, clinic: str = "c1", kind: str = "face", **changes: Any) -> str:
        key = self.keyring.epoch_key(clinic, KeyClass.ORIGINAL, self.now)
        sealed = Sealer().seal(key, clinic, record_context(file_id), json.dumps(RECORD).encode())
        row = {
            "file_id": file_id,
            "clinic": clinic,
            "terminal": "t1",
            "kind": kind,
            "outcome": "pending",
            "revision": 1,
            "suffix": ".xml",
            "sealed_record": sealed,
            "captured_at": self.now,
            "stored_at": self.now,
        }
        self.centre.insert(files, **{**row, **changes})
        self.centre.insert(
            results,
            file_id=file_id,
            result=0,
            clinic=clinic,
            revision=1,
            state="open",
            verdicts="name_mismatch address_mismatch",
            needs_review=True,
            sealed_result=b"x",
            person_hash="PERSONHASH",
            patient_hash="PATIENTHASH",
            decided_at=self.now,
        )
        return file_id

    def add_grant(self, grant_id: str, file_id: str) -> str:
        self.centre.insert(
            grants,
            grant_id=grant_id,
            clinic="c1",
            terminal="t1",
            file_id=file_id,
            person_hash="PERSONHASH",
            patient_hash="PATIENTHASH",
            category="medication",
            source="reader",
            granted=True,
            consented_at=self.now,
            until=self.now + timedelta(days=1),
            may_request=True,
            recorded_at=self.now,
        )
        return grant_id

    def handle(self, event: Event) -> Outcome:
        return self.centre.handle(self.publication, event, self.now)

    def told(self, event: Event) -> dict[str, Notice]:
        """Handle an event; the notices by vendor."""
        return by_vendor(self.handle(event).events)

    def due(self) -> list[Notice]:
        return [event for event in self.centre.due(self.publication, self.now) if isinstance(event, Notice)]

    def wire(self, notice: Notice, cause: Event) -> WireEvent:
        return write(enclose(notice, self.now, enclose(cause, self.now)))


def by_vendor(events: tuple[Event, ...]) -> dict[str, Notice]:
    return {event.edge: event for event in events if isinstance(event, Notice)}


def reconciled(file_id: str, clinic: str = "c1", revision: int = 1) -> RecordReconciled:
    return RecordReconciled(clinic=clinic, file_id=file_id, revision=revision, needs_review=True)
