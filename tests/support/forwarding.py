"""How does a test get files as parsing and reconciliation leave them, and forwarding to handle them?"""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert, select

from consumers.forwarding import Forwarding
from pipeline.contents import (
    SealedDelivery,
    SealedFile,
    delivery_context,
    file_context,
    record_context,
    result_context,
)
from pipeline.events import DeliveryWanted, Event
from pipeline.keyring import Keyring
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import record_json
from pipeline.outcome import Outcome
from pipeline.results import Compared, ResultDetail
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.settings import Settings
from pipeline.storage import Store
from pipeline.storage.schema import deliveries, files, receipts, results
from tests.support.chart import CLINIC, envelope_of, file_id_of, settings_in


class ForwardingClinic:
    """Puts files into the store and has events decided and applied like the runner does."""

    def __init__(self, root: Path, store: Store, **chart: Any) -> None:
        self.settings: Settings = settings_in(root, **chart)
        self.keyring = Keyring(self.settings.keys.dir)
        self.store = store
        self.now = datetime.now(UTC)
        self._sealer = Sealer()
        self.forwarding = Forwarding(self.settings, self.keyring)

    def seal(self, key_class: KeyClass, context: str, content: bytes) -> bytes:
        return self._sealer.seal(self.keyring.epoch_key(CLINIC, key_class, self.now), CLINIC, context, content)

    def add_file(self, number: int, sample: Path, people: int = 1, **changes: Any) -> str:
        file_id, content, name = file_id_of(number), sample.read_bytes(), parse_name(sample.name)
        assert name is not None
        record = record_json(parse(name, content)).encode()
        row = {
            "file_id": file_id,
            "clinic": CLINIC,
            "terminal": "t1",
            "kind": name.kind.value,
            "outcome": "pending",
            "revision": 1,
            "suffix": name.extension.value,
            "sealed_original": self.seal(
                KeyClass.ORIGINAL, file_context(file_id), SealedFile(sample.name, "face", content).to_bytes()
            ),
            "sealed_record": self.seal(KeyClass.ORIGINAL, record_context(file_id), record),
            "captured_at": self.now,
            "stored_at": self.now,
        }
        with self.store.transaction() as connection:
            connection.execute(insert(files).values({**row, **changes}))
            for result in range(people):
                self._add_result(connection, file_id, result)
        return file_id

    def _add_result(self, connection: Connection, file_id: str, result: int) -> None:
        detail = ResultDetail(
            patient_id=f"P{result}", candidates=("P8", "P9"), compared={"name": Compared(file="山田", chart="山口")}
        )
        sealed = self.seal(KeyClass.CONFIRMATION, result_context(file_id, result), detail.model_dump_json().encode())
        row = {
            "file_id": file_id,
            "result": result,
            "clinic": CLINIC,
            "revision": 1,
            "state": "closed",
            "verdicts": "name_mismatch address_mismatch",
            "needs_review": True,
            "sealed_result": sealed,
            "decided_at": self.now,
        }
        connection.execute(insert(results).values(row))

    def set_file(self, file_id: str, **changes: Any) -> None:
        with self.store.transaction() as connection:
            connection.execute(files.update().where(files.c.file_id == file_id).values(changes))

    def handle(self, *events: Event) -> list[Outcome]:
        consumer = self.forwarding
        prepared = [consumer.prepare(envelope_of(event)) for event in events]
        with self.store.transaction() as connection:
            facts = consumer.gather(connection, prepared)
            outcomes = [consumer.decide(one, facts, self.now) for one in prepared]
            consumer.apply(connection, outcomes, self.now)
        return outcomes

    def opened(self, outcome: Outcome) -> SealedDelivery:
        (event,) = outcome.events
        assert isinstance(event, DeliveryWanted)
        context = delivery_context(event.file_id, event.revision)
        return SealedDelivery.from_bytes(Opener(self.keyring).open(CLINIC, context, event.sealed))

    def delivery(self, file_id: str) -> tuple[str, int, int, str | None]:
        with self.store.reading() as connection:
            row = connection.execute(select(deliveries).where(deliveries.c.file_id == file_id)).one()
        return row.state, row.wanted_revision, row.done_revision, row.reason

    def outcome(self, file_id: str) -> str:
        with self.store.reading() as connection:
            return str(connection.scalar(select(files.c.outcome).where(files.c.file_id == file_id)))

    def receipts(self, file_id: str) -> Sequence[tuple[str, str]]:
        query = select(receipts.c.consumer, receipts.c.result).where(receipts.c.file_id == file_id)
        with self.store.reading() as connection:
            return [(row.consumer, row.result) for row in connection.execute(query)]
