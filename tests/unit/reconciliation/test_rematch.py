"""What does a new list change, and what must it not change?"""

import threading
from pathlib import Path

import pytest
from sqlalchemy import text

from consumers.reconciliation.patient_list import _swap, current_lists
from consumers.reconciliation.rematch import FILES_AT_ONCE
from consumers.reconciliation.review import Decision, confirm, reopen
from pipeline import budget
from pipeline.envelope import enclose
from pipeline.events import PatientsChanged, RecordReconciled
from pipeline.oqs.eligibility import EligibilityResult, Header, Unit
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import BulkEligibilityRecord
from pipeline.storage import Store
from pipeline.storage.engine import StoreConflictError
from pipeline.storage.schema import results
from tests.support.eventually import eventually
from tests.unit.reconciliation.desk import NOW, Desk, face, result
from tests.unit.reconciliation.people import row

STRANGER = row(patient_id="1", birthdate="1970-01-01", kana="レイジ", name="例示", insurer_number="06888888")
BY = Decision("s1", "本人に確認した", NOW)


def _aid() -> EligibilityResult:
    return result(
        card_classification="A1", insurer_number="12999999", symbol=None, number="7654321", branch_number=None
    )


def _confirm(desk: Desk, target: str, patient_id: str) -> None:
    with desk.centre.store.transaction() as connection:
        confirm(connection, desk.centre.keyring, target, BY, patient_id)


def test_a_file_with_many_results_is_decided_whole(desk: Desk) -> None:
    units = tuple(Unit(status="1", validity="1", results=(result(),)) for _ in range(FILES_AT_ONCE + 5))
    record = BulkEligibilityRecord(schema_kind="bulk_eligibility", header=Header(segment="1"), units=units)
    desk.parsed("a", record, kind=MessageKind.BULK_ELIGIBILITY)
    desk.take_list(row())
    (reconciled,) = desk.due()
    assert isinstance(reconciled, RecordReconciled)
    assert reconciled.revision == 1
    assert {(held["state"], held["verdicts"]) for held in desk.centre.rows(results)} == {("closed", "match")}
    assert desk.due() == []


def test_files_that_waited_for_a_list_are_read_as_many_as_fit_into_memory(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budget, "BYTES", 1)
    for name in "abc":
        desk.parsed(name, face(result()))
    desk.take_list(row())
    assert [len(desk.due()) for _ in range(4)] == [1, 1, 1, 0]


def test_medical_aid_does_not_part_from_the_insurance_that_a_person_decided(desk: Desk) -> None:
    desk.take_list(STRANGER)
    event = desk.file("a", face(result(), _aid()))
    desk.handle(event)
    _confirm(desk, f"{event.file_id}#0", "1")
    desk.take_list(row(), STRANGER, hours=1)
    desk.due()
    assert [desk.detail(event, at).patient_id for at in (0, 1)] == ["1", None]
    assert desk.detail(event, 1).candidates == ("1", "10234")
    assert desk.result(event, 1)["verdicts"] == "ambiguous_patient"
    assert desk.due() == []


def test_what_is_reopened_does_not_part_from_what_a_person_decided_beside_it(desk: Desk) -> None:
    desk.take_list(row(), STRANGER)
    event = desk.file("a", face(result(), _aid()))
    desk.handle(event)
    for number in (0, 1):
        _confirm(desk, f"{event.file_id}#{number}", "1")
    with desk.centre.store.transaction() as connection:
        reopen(connection, desk.centre.keyring, f"{event.file_id}#1", BY)
    assert [desk.detail(event, at).patient_id for at in (0, 1)] == ["1", None]
    assert desk.detail(event, 1).candidates == ("1", "10234")


def test_a_list_is_not_swapped_while_a_decision_reads_it(tmp_path: Path, postgresql_url: str) -> None:
    desk = Desk(tmp_path, postgresql_url)
    desk.take_list(row(), row(patient_id="77777"))
    (swap,) = desk.parts([row(patient_id="5")] * 2, hours=1)
    store = desk.centre.store
    with store.transaction() as reader:
        assert current_lists(reader, ["c1"])
        with pytest.raises(StoreConflictError):
            _swap_in(store, swap)
    store.close()


def test_who_waited_for_a_swap_sees_the_list_that_came(tmp_path: Path, postgresql_url: str) -> None:
    desk = Desk(tmp_path, postgresql_url)
    desk.take_list(row(), row(patient_id="77777"))
    (swap,) = desk.parts([row(patient_id="5"), row(patient_id="6")], hours=1)
    store, seen = desk.centre.store, dict[str, str]()

    def look() -> None:
        with store.transaction() as reader:
            seen.update(current_lists(reader, ["c1", "c2"]))

    def is_waited_for() -> bool:
        with store.reading() as connection:
            return bool(connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted")))

    with store.transaction() as connection:
        prepared = desk.consumer.prepare(enclose(swap, NOW))
        facts = desk.consumer.gather(connection, [prepared])
        desk.consumer.apply(connection, [desk.consumer.decide(prepared, facts, NOW)], NOW)
        reader = threading.Thread(target=look)
        reader.start()
        eventually(is_waited_for)
    reader.join(30)
    store.close()
    assert seen == {"c1": swap.list_id}


def _swap_in(store: Store, event: PatientsChanged) -> None:
    with store.transaction() as connection:
        connection.execute(text("SET LOCAL lock_timeout = '200ms'"))
        _swap(connection, event.clinic, event.list_id, event.taken_at)
