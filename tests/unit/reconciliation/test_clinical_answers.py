"""Is a clinical answer entered for the patient whom the result list names, and for nobody else?"""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import update

from consumers.reconciliation import review
from pipeline import clinical_rows
from pipeline.clinical_rows import Clinical
from pipeline.custody import FileOutcome
from pipeline.events import RecordParsed
from pipeline.oqs.history import HistoryHeader, Subject
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import MedicationRecord, PdfDocument, record_json
from pipeline.persons import patient_hash
from pipeline.sealing import KeyClass, Opener, Sealer
from pipeline.storage.schema import clinical_answers, files, requests
from tests.support.clinical import checkup_of, medication_of
from tests.unit.reconciliation.desk import BASE, NOW, Desk, medication
from tests.unit.reconciliation.people import row

PDF = PdfDocument(schema_kind="pdf", size=1)


def whole(record: MedicationRecord, **changes: Any) -> MedicationRecord:
    """An answer about the patient of the tests that holds these drugs."""
    return record.model_copy(update={"header": medication(**changes).header})


def entered(desk: Desk) -> list[dict[str, Any]]:
    return desk.centre.rows(clinical_answers)


def hash_of(desk: Desk, patient_id: str = "10234") -> str:
    return patient_hash(desk.centre.keyring.identity("c1"), patient_id)


def arrive(desk: Desk, name: str = "a", record: Any = None, **options: Any) -> RecordParsed:
    event = desk.file(name, record or whole(medication_of("202604")), kind=MessageKind.MEDICATION, **options)
    desk.handle(event)
    return event


def ask_for(desk: Desk, **values: object) -> None:
    desk.asked()
    with desk.centre.store.transaction() as connection:
        connection.execute(update(requests).values(**values))


def test_an_answer_is_entered_with_its_patient_its_request_and_the_month_asked_for(desk: Desk) -> None:
    desk.take_list(row())
    ask_for(desk, period="202604", person_hash="p" * 64)
    event = arrive(desk, correlation=BASE)
    (found,) = entered(desk)
    request = desk.centre.row(requests)
    assert found == {
        "file_id": event.file_id,
        "clinic": "c1",
        "kind": "medication",
        "form": "data",
        "person_hash": "p" * 64,
        "patient_hash": hash_of(desk),
        "request_id": request["request_id"],
        "month": "202604",
        "processed_at": desk.result(event)["processed_at"],
    }


def test_an_answer_nobody_asked_for_is_entered_for_the_person_it_names(desk: Desk) -> None:
    desk.take_list(row())
    event = arrive(desk)
    (found,) = entered(desk)
    assert (found["request_id"], found["month"]) == (None, None)
    assert found["person_hash"] == desk.result(event)["person_hash"] is not None


def test_a_pdf_is_entered_as_such_and_fills_no_month(desk: Desk) -> None:
    desk.take_list(row())
    ask_for(desk, period="202604", person_hash="p" * 64)
    event = desk.file("a", PDF, kind=MessageKind.MEDICATION, correlation=BASE)
    with desk.centre.store.transaction() as connection:
        connection.execute(update(files).values(suffix=".pdf"))
    desk.handle(event)
    (found,) = entered(desk)
    assert (found["form"], found["patient_hash"]) == ("pdf", hash_of(desk))


def test_a_checkup_says_when_it_was_made(desk: Desk) -> None:
    desk.take_list(row())
    record = checkup_of("20251015", "138")
    subject = medication().header.subject
    header = HistoryHeader(subject=subject, result_code="1", process_execution_time="20260512100000")
    event = desk.file("a", record.model_copy(update={"header": header}), kind=MessageKind.CHECKUP)
    desk.handle(event)
    older = header.model_copy(update={"process_execution_time": "20260511100000"})
    desk.handle(desk.file("b", record.model_copy(update={"header": older}), kind=MessageKind.CHECKUP))
    found = {(one["kind"], one["month"], one["processed_at"]) for one in entered(desk)}
    assert found == {("checkup", None, NOW - timedelta(days=1)), ("checkup", None, NOW)}


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(HistoryHeader(result_code="9", message_contents="同意していません"), id="of nobody"),
        pytest.param(HistoryHeader(result_code="9", subject=Subject(birthdate="19850412")), id="with a person"),
    ],
)
def test_a_refusal_of_the_service_is_no_answer(desk: Desk, header: HistoryHeader) -> None:
    desk.take_list(row())
    arrive(desk, record=MedicationRecord(schema_kind="medication", header=header))
    assert entered(desk) == []


def test_another_persons_answer_is_never_entered(desk: Desk) -> None:
    desk.take_list(row())
    desk.asked()
    arrive(desk, record=whole(medication_of("202604"), identifier="a2"), correlation=BASE)
    assert entered(desk) == []


def test_an_eligibility_answer_is_none_of_these(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", medication(), kind=MessageKind.FACE)
    desk.handle(event)
    assert entered(desk) == []


def test_without_a_patient_list_it_is_entered_when_the_list_is_here(desk: Desk) -> None:
    arrive(desk)
    assert entered(desk) == []
    desk.take_list(row())
    desk.due()
    assert [found["patient_hash"] for found in entered(desk)] == [hash_of(desk)]


def test_what_a_person_decides_moves_the_answer_to_that_patient(desk: Desk) -> None:
    desk.take_list(row(patient_id="1", name="別人　太郎", kana="ベツジン　タロウ", number="9", birthdate="1970-01-01"))
    event = arrive(desk)
    assert [found["patient_hash"] for found in entered(desk)] == [None]
    with desk.centre.store.transaction() as connection:
        decision = review.Decision("s1", "seen", NOW)
        review.confirm(connection, desk.centre.keyring, event.file_id, decision, "1")
    assert [found["patient_hash"] for found in entered(desk)] == [hash_of(desk, "1")]
    with desk.centre.store.reading() as connection:
        assert len(clinical_rows.answers_of(connection, "c1", hash_of(desk, "1"), tuple(Clinical))) == 1
        assert clinical_rows.answers_of(connection, "c1", hash_of(desk), tuple(Clinical)) == []


def test_a_later_reading_of_the_original_replaces_what_is_shown(desk: Desk) -> None:
    desk.take_list(row())
    event = arrive(desk, record=whole(medication_of("202604", "読み違い")))
    again = record_json(whole(medication_of("202604", "見本錠"))).encode()
    public = desk.centre.keyring.epoch_key("c1", KeyClass.CLINICAL, NOW)
    sealed = Sealer().seal(public, "c1", f"record:{event.file_id}", again)
    with desk.centre.store.transaction() as connection:
        connection.execute(update(files).values(revision=2, sealed_record=sealed))
    desk.handle(event.model_copy(update={"revision": 2}))
    with desk.centre.store.reading() as connection:
        opener = Opener(desk.centre.keyring)
        history = clinical_rows.history_of(connection, "c1", hash_of(desk), tuple(Clinical), opener)
    assert [drug.name for drug in history.medication.drugs] == ["見本錠"]


@pytest.mark.parametrize(
    "header",
    [
        pytest.param(medication().header.model_copy(update={"result_code": "9"}), id="a refusal"),
        pytest.param(medication(identifier="a2").header, id="another person's answer"),
    ],
)
def test_a_later_reading_that_shows_no_answer_takes_it_out(desk: Desk, header: HistoryHeader) -> None:
    desk.take_list(row())
    desk.asked()
    event = arrive(desk, correlation=BASE)
    assert len(entered(desk)) == 1
    again = record_json(MedicationRecord(schema_kind="medication", header=header)).encode()
    public = desk.centre.keyring.epoch_key("c1", KeyClass.CLINICAL, NOW)
    sealed = Sealer().seal(public, "c1", f"record:{event.file_id}", again)
    with desk.centre.store.transaction() as connection:
        connection.execute(update(files).values(revision=2, sealed_record=sealed))
    desk.handle(event.model_copy(update={"revision": 2}))
    assert entered(desk) == []


@pytest.mark.parametrize(
    ("outcome", "header"),
    [
        pytest.param(FileOutcome.DELIVERED, medication(identifier="a2").header, id="another person's, and delivered"),
        pytest.param(FileOutcome.NOT_DUE, medication().header, id="no answer yet"),
    ],
)
def test_a_later_reading_takes_an_answer_out_also_where_the_file_is_closed(
    desk: Desk, outcome: FileOutcome, header: HistoryHeader
) -> None:
    desk.take_list(row())
    desk.asked()
    event = arrive(desk, correlation=BASE)
    assert len(entered(desk)) == 1
    again = record_json(MedicationRecord(schema_kind="medication", header=header)).encode()
    public = desk.centre.keyring.epoch_key("c1", KeyClass.CLINICAL, NOW)
    sealed = Sealer().seal(public, "c1", f"record:{event.file_id}", again)
    with desk.centre.store.transaction() as connection:
        connection.execute(update(files).values(revision=2, sealed_record=sealed, outcome=outcome.value))
    desk.handle(event.model_copy(update={"revision": 2}))
    assert entered(desk) == []
    assert desk.stored(event)["outcome"] == outcome.value
