"""How does a test let patient lists and files reach reconciliation, and read what came of it?"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import insert

from consumers.reconciliation import Reconciliation
from pipeline.contents import patients_context, request_context, result_context
from pipeline.custody import FileOutcome
from pipeline.events import Event, PatientsChanged, RecordParsed, derive_id
from pipeline.oqs.eligibility import EligibilityResult, Header
from pipeline.oqs.history import HistoryHeader, HistoryInquiry, Subject
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import EligibilityRecord, MedicationRecord, Record
from pipeline.outcome import Outcome
from pipeline.patient_row import PatientRow, rows_to_bytes
from pipeline.request_row import RequestDetail
from pipeline.results import ResultDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import files, requests, results
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import store_file

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
BASE = "YZKsiquc01req_202605120031"


def face(*results_of: EligibilityResult, validity: str = "1") -> EligibilityRecord:
    header = Header(segment="1", process_execution_time="20260512094210", confirmed_on="20260512")
    return EligibilityRecord(
        schema_kind="eligibility", header=header, status="1", validity=validity, results=results_of or (result(),)
    )


def result(**changes: Any) -> EligibilityResult:
    values: dict[str, Any] = {
        "card_classification": "01",
        "insurer_number": "06999999",
        "symbol": "7001",
        "number": "0001234",
        "branch_number": "00",
        "name": "見本　花子",
        "name_kana": "ﾐﾎﾝ ﾊﾅｺ",
        "sex1": "2",
        "birthdate": "19850412",
    }
    return EligibilityResult(**(values | changes))


def medication(identifier: str | None = "a1", **changes: Any) -> MedicationRecord:
    values: dict[str, Any] = {
        "insurer_number": "06999999",
        "symbol": "7001",
        "number": "0001234",
        "branch_number": "00",
        "name": "見本　花子",
        "name_kana": "ﾐﾎﾝ ﾊﾅｺ",
        "birthdate": "19850412",
        "sex1": "2",
    }
    inquiry = HistoryInquiry(arbitrary_file_identifier=identifier)
    header = HistoryHeader(inquiry=inquiry, subject=Subject(**(values | changes)), result_code="1")
    return MedicationRecord(schema_kind="medication", header=header)


@dataclass
class Desk:
    """One centre with one reconciliation, one event at a time."""

    root: Path
    url: str = ""
    """Of the store; SQLite where none is given."""
    centre: Centre = field(init=False)
    consumer: Reconciliation = field(init=False)

    def __post_init__(self) -> None:
        settings = make_settings(self.root)
        keyring = make_keyring(self.root, settings, NOW)
        self.centre = Centre(settings, keyring, make_store(self.url or f"sqlite:///{self.root}/onshi.db"))
        self.consumer = Reconciliation(settings, keyring)

    def parts(
        self, people: Sequence[PatientRow], *, hours: float = 0, parts: int = 1, clinic: str = "c1", **changes: Any
    ) -> list[PatientsChanged]:
        """Write a list as its parts."""
        taken_at = NOW - timedelta(hours=24) + timedelta(hours=hours)
        list_id = derive_id("list", clinic, str(hours), str(len(people)))
        public = self.centre.keyring.epoch_key(clinic, KeyClass.STANDING, NOW)
        made = []
        for part in range(1, parts + 1):
            content = rows_to_bytes(people[part - 1 :: parts])
            sealed = Sealer().seal(public, clinic, patients_context(list_id, part), content)
            values: dict[str, Any] = {"rows": len(people), "sealed": sealed} | changes
            made.append(
                PatientsChanged(
                    clinic=clinic, edge="chart", list_id=list_id, taken_at=taken_at, part=part, parts=parts, **values
                )
            )
        return made

    def take_list(self, *rows: PatientRow, hours: float = 0, clinic: str = "c1") -> str:
        """Let a list arrive whole; returns the word of the last part."""
        return [self.handle(event).result for event in self.parts(rows, hours=hours, clinic=clinic)][-1]

    def file(
        self,
        name: str,
        record: Record,
        *,
        kind: MessageKind = MessageKind.FACE,
        correlation: str | None = None,
        outcome: FileOutcome = FileOutcome.PENDING,
    ) -> RecordParsed:
        return store_file(self.centre, name, record, kind=kind, correlation=correlation, outcome=outcome.value)

    def parsed(self, name: str, record: Record, **options: Any) -> Outcome:
        return self.handle(self.file(name, record, **options))

    def handle(self, event: Event) -> Outcome:
        return self.centre.handle(self.consumer, event, NOW)

    def due(self) -> list[Event]:
        return self.centre.due(self.consumer, NOW)

    def asked(self, patient_id: str | None = "10234", base: str = BASE, **changes: Any) -> None:
        """Write the row of a request of ours."""
        values: dict[str, Any] = {
            "base_name": base,
            "arbitrary_file_identifier": "a1",
            "patient_id": patient_id,
            "insurer_number": "06999999",
            "symbol": "7001",
            "number": "0001234",
            "branch_number": "00",
            "birthdate": "19850412",
            "kana": "ﾐﾎﾝ ﾊﾅｺ",
        }
        detail = RequestDetail(**(values | changes))
        request_id, keyring = derive_id("request", base), self.centre.keyring
        public = keyring.epoch_key("c1", KeyClass.STANDING, NOW)
        sealed = Sealer().seal(public, "c1", request_context(request_id), detail.model_dump_json().encode())
        row = {
            "request_id": request_id,
            "clinic": "c1",
            "terminal": "t1",
            "kind": MessageKind.MEDICATION.value,
            "state": "placed",
            "base_hash": keyring.identity("c1").mac("correlation", base.encode()),
            "sealed_request": sealed,
            "wanted_at": NOW,
            "withdraw_at": NOW,
            "asked_by": "consent",
        }
        with self.centre.store.transaction() as connection:
            connection.execute(insert(requests).values(**row))

    def result(self, event: RecordParsed, number: int = 0) -> dict[str, Any]:
        rows = self.centre.rows(results)
        return next(row for row in rows if row["file_id"] == event.file_id and row["result"] == number)

    def detail(self, event: RecordParsed, number: int = 0) -> ResultDetail:
        row = self.result(event, number)
        context = result_context(event.file_id, number)
        return ResultDetail.model_validate_json(Opener(self.centre.keyring).open("c1", context, row["sealed_result"]))

    def stored(self, event: RecordParsed) -> dict[str, Any]:
        return next(row for row in self.centre.rows(files) if row["file_id"] == event.file_id)
