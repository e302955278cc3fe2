"""What does reconciliation leave in the store, and what does it say?"""

import pytest

from consumers.reconciliation.rematch import FILES_AT_ONCE
from pipeline.custody import FileOutcome
from pipeline.events import RecordReconciled
from pipeline.oqs.eligibility import Header, Unit
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    EligibilityRecord,
    PdfDocument,
    Record,
    ReturnedHeader,
    ReturnedRequest,
)
from pipeline.outcome import NOTHING
from pipeline.storage.schema import receipts, results
from tests.support.centre import types_of
from tests.unit.reconciliation.desk import BASE, Desk, face, medication, result
from tests.unit.reconciliation.people import AID, row

PDF = PdfDocument(schema_kind="pdf", size=3)


def test_a_matched_result_is_written_sealed_with_its_receipt_and_event(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", face())
    outcome = desk.handle(event)
    held = desk.result(event)
    assert types_of(outcome.events) == ["record.reconciled"]
    assert (held["state"], held["verdicts"], held["needs_review"], held["revision"]) == ("closed", "match", False, 1)
    assert held["person_hash"]
    assert held["patient_hash"]
    assert held["processed_at"] is not None
    assert desk.detail(event).patient_id == "10234"
    assert desk.centre.row(receipts)["consumer"] == "reconciliation"


def test_a_repeated_event_changes_nothing(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", face())
    desk.handle(event)
    before = desk.centre.rows(results)
    assert desk.handle(event).events == ()
    assert desk.centre.rows(results) == before


@pytest.mark.parametrize("ended", [FileOutcome.NOT_DUE, FileOutcome.REJECTED])
def test_what_is_not_delivered_gets_no_result(desk: Desk, ended: FileOutcome) -> None:
    desk.take_list(row())
    assert desk.parsed("a", face(), outcome=ended) == NOTHING
    assert desk.centre.rows(results) == []
    assert desk.centre.rows(receipts) == []


def test_a_file_that_the_store_does_not_know_is_parked(desk: Desk) -> None:
    event = desk.file("a", face()).model_copy(update={"file_id": "nothing"})
    assert desk.handle(event).park == "file_unknown"


def test_without_a_list_a_result_waits_and_says_nothing(desk: Desk) -> None:
    event = desk.file("a", face())
    assert desk.handle(event).events == ()
    assert desk.result(event)["state"] == "waiting"
    assert desk.centre.rows(receipts) == []
    assert desk.due() == []


def test_what_waited_is_decided_when_a_list_is_there_and_keeps_its_first_revision(desk: Desk) -> None:
    event = desk.file("a", face())
    desk.handle(event)
    desk.take_list(row())
    (reconciled,) = desk.due()
    assert isinstance(reconciled, RecordReconciled)
    assert (reconciled.file_id, reconciled.revision, reconciled.needs_review) == (event.file_id, 1, False)
    assert desk.result(event)["state"] == "closed"
    assert len(desk.centre.rows(receipts)) == 1
    assert desk.due() == []


def test_a_new_patient_is_found_when_the_next_list_has_it(desk: Desk) -> None:
    desk.take_list(row(patient_id="1", birthdate="1970-01-01", kana="レイジ", insurer_number="06888888"))
    event = desk.file("a", face())
    desk.handle(event)
    assert desk.result(event)["verdicts"] == "new_patient"
    desk.take_list(row(), hours=1)
    (reconciled,) = desk.due()
    assert isinstance(reconciled, RecordReconciled)
    assert reconciled.revision == 2
    assert desk.stored(event)["revision"] == 2
    assert desk.result(event)["verdicts"] == "match"


def test_a_result_that_stays_the_same_is_only_marked_as_seen(desk: Desk) -> None:
    desk.take_list(row(patient_id="1", birthdate="1970-01-01", kana="レイジ", insurer_number="06888888"))
    event = desk.file("a", face())
    desk.handle(event)
    before = desk.result(event)["list_id"]
    desk.take_list(row(patient_id="1", birthdate="1970-01-01", kana="レイジ", insurer_number="06888888"), hours=1)
    assert desk.due() == []
    assert desk.result(event)["list_id"] != before
    assert desk.stored(event)["revision"] == 1


def test_a_match_is_not_decided_again_by_a_new_list(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", face())
    desk.handle(event)
    desk.take_list(row(patient_id="999"), hours=1)
    assert desk.due() == []
    assert desk.detail(event).patient_id == "10234"


def test_more_files_than_one_turn_takes_are_all_decided(desk: Desk) -> None:
    for at in range(FILES_AT_ONCE + 3):
        desk.parsed(f"f{at}", face())
    desk.take_list(row())
    assert len(desk.due()) == FILES_AT_ONCE
    assert len(desk.due()) == 3
    assert desk.due() == []


def test_a_bulk_answer_that_waited_is_decided_as_a_whole(desk: Desk) -> None:
    unit = Unit(status="1", validity="1", results=(result(),))
    units = (unit,) * (FILES_AT_ONCE + 5)
    record = BulkEligibilityRecord(schema_kind="bulk_eligibility", header=Header(segment="1"), units=units)
    desk.parsed("a", record, kind=MessageKind.BULK_ELIGIBILITY)
    desk.take_list(row())
    assert len(desk.due()) == 1
    assert {found["state"] for found in desk.centre.rows(results)} == {"closed"}
    assert desk.due() == []


def test_the_patients_of_another_clinic_are_never_found(desk: Desk) -> None:
    desk.take_list(row(), clinic="c2")
    desk.take_list(row(patient_id="1", birthdate="1970-01-01", kana="レイジ", insurer_number="06888888"))
    event = desk.file("a", face())
    desk.handle(event)
    assert desk.result(event)["verdicts"] == "new_patient"


def test_a_like_name_is_found_by_birthdate_alone_and_only_suggested(desk: Desk) -> None:
    desk.take_list(row(kana="", insurer_number="", number=""))
    event = desk.file("a", face(result(name="見本　花●", insurer_number=None)))
    desk.handle(event)
    assert desk.detail(event).patient_id is None
    assert desk.detail(event).candidates == ("10234",)


def test_a_chart_whose_other_row_says_another_birthdate_is_never_matched_by_one_row(desk: Desk) -> None:
    desk.take_list(row(), row(birthdate="1985-04-13", insurer_number="06888888", number="5"))
    event = desk.file("a", face())
    desk.handle(event)
    assert desk.detail(event).patient_id is None


def test_all_insurances_of_a_patient_are_read_though_one_is_found(desk: Desk) -> None:
    desk.take_list(row(), row(**AID))
    aid = result(card_classification="A1", insurer_number="12999999", symbol=None, number="7654321", branch_number=None)
    event = desk.file("a", face(result(), aid))
    desk.handle(event)
    assert [row["verdicts"] for row in desk.centre.rows(results)] == ["match", "match"]


def test_insurance_and_medical_aid_of_two_patients_are_both_left_to_a_person(desk: Desk) -> None:
    other = row(**(AID | {"patient_id": "555", "name": "担当　月子", "kana": "タントウ　ツキコ"}))
    desk.take_list(row(), other)
    aid = result(
        card_classification="A1",
        insurer_number="12999999",
        symbol=None,
        number="7654321",
        branch_number=None,
        name="担当　月子",
        name_kana="ﾀﾝﾄｳ ﾂｷｺ",
    )
    event = desk.file("a", face(result(), aid))
    desk.handle(event)
    assert [desk.detail(event, at).patient_id for at in (0, 1)] == [None, None]
    assert desk.detail(event, 0).candidates == ("10234", "555")


def test_medical_aid_follows_the_insurance_of_the_same_person(desk: Desk) -> None:
    desk.take_list(row())
    aid = result(card_classification="A1", insurer_number="12999999", symbol=None, number="7654321", branch_number=None)
    event = desk.file("a", face(result(), aid))
    desk.handle(event)
    assert [desk.detail(event, at).patient_id for at in (0, 1)] == ["10234", "10234"]
    assert desk.result(event, 1)["verdicts"] == "medical_aid_unregistered"


def test_medical_aid_does_not_lend_its_patient_to_an_insurance_of_another_sex(desk: Desk) -> None:
    desk.take_list(row(), row(**AID))
    aid = result(
        card_classification="A1",
        insurer_number="12999999",
        symbol=None,
        number="7654321",
        branch_number=None,
        sex1=None,
    )
    event = desk.file("a", face(result(sex1="1"), aid))
    desk.handle(event)
    assert [desk.detail(event, at).patient_id for at in (0, 1)] == [None, None]
    assert desk.detail(event, 0).candidates == ("10234",)


def test_each_unit_of_a_bulk_answer_stands_alone(desk: Desk) -> None:
    desk.take_list(row())
    units = (
        Unit(status="1", validity="1", results=(result(),)),
        Unit(status="2", message="処理に失敗しました。"),
        Unit(
            status="1", validity="1", results=(result(name_kana="ﾚｲｼﾞ", name="例示", birthdate="19700101", number="9"),)
        ),
    )
    record = BulkEligibilityRecord(schema_kind="bulk_eligibility", header=Header(segment="1"), units=units)
    desk.parsed("a", record, kind=MessageKind.BULK_ELIGIBILITY)
    assert [found["verdicts"] for found in desk.centre.rows(results)] == ["match", "service_error", "new_patient"]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(EligibilityRecord(schema_kind="eligibility", header=Header(segment="9")), id="message failed"),
        pytest.param(
            EligibilityRecord(schema_kind="eligibility", header=Header(segment="1"), status="1"), id="no validity"
        ),
        pytest.param(
            BulkEligibilityRecord(schema_kind="bulk_eligibility", header=Header(segment="9")), id="bulk failed"
        ),
        pytest.param(ReturnedRequest(schema_kind="returned_request"), id="returned"),
    ],
)
def test_an_error_of_the_service_is_a_result_that_names_nobody(desk: Desk, record: Record) -> None:
    desk.take_list(row())
    event = desk.file("a", record, kind=MessageKind.ELIGIBILITY)
    desk.handle(event)
    assert desk.result(event)["verdicts"] == "service_error"
    assert desk.detail(event).patient_id is None


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(medication(), id="medication"),
        pytest.param(medication(identifier=None), id="no identifier in the answer"),
        pytest.param(PDF, id="PDF by the name of its request alone"),
        pytest.param(
            ReturnedRequest(
                schema_kind="returned_request", header=ReturnedHeader(arbitrary_file_identifier="a1", number="0001234")
            ),
            id="our own request, returned",
        ),
    ],
)
def test_an_answer_to_our_request_goes_to_the_patient_it_was_asked_for(desk: Desk, record: Record) -> None:
    # The chart's insurance is another, so that nothing but the request could say so.
    desk.take_list(row(insurer_number="", symbol="", number="", branch_number=""))
    desk.asked()
    event = desk.file("a", record, kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    assert desk.detail(event).patient_id == "10234"


@pytest.mark.parametrize("has_list", [True, False])
@pytest.mark.parametrize(
    "record",
    [
        pytest.param(medication(identifier="a2"), id="another identifier"),
        pytest.param(medication(identifier="a1 "), id="an identifier that is not exactly equal"),
        pytest.param(medication(birthdate="19850413"), id="another birthdate"),
        pytest.param(medication(name_kana="ﾐﾎﾝ ﾂｷｺ", name="見本　月子", branch_number=None), id="the twin"),
        pytest.param(medication(number="99", name_kana=None), id="another insurance"),
    ],
)
def test_another_persons_answer_to_our_request_is_never_delivered(
    desk: Desk,
    record: Record,
    has_list: bool,  # noqa: FBT001 - a table
) -> None:
    if has_list:
        desk.take_list(row())
    desk.asked()
    event = desk.file("a", record, kind=MessageKind.MEDICATION, correlation=BASE)
    outcome = desk.handle(event)
    assert types_of(outcome.events) == ["file.rejected"]
    assert desk.centre.rows(results) == []
    stored = desk.stored(event)
    assert (stored["outcome"], stored["reason"]) == ("rejected", "foreign_answer")
    assert stored["outcome_at"] is not None


def test_an_answer_whose_patient_the_chart_now_says_was_born_otherwise_is_left_to_a_person(desk: Desk) -> None:
    desk.take_list(row(birthdate="1985-04-13"))
    desk.asked()
    event = desk.file("a", medication(), kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    assert desk.detail(event).patient_id is None
    assert desk.result(event)["needs_review"]


@pytest.mark.parametrize(
    ("chart", "record"),
    [
        pytest.param({"birthdate": "1970-01-01", "sex": "1"}, PDF, id="PDF, born otherwise"),
        pytest.param({"birthdate": "", "sex": ""}, PDF, id="PDF, another name"),
        pytest.param({"birthdate": "", "sex": ""}, medication(), id="medication, another name"),
    ],
)
def test_an_answer_is_not_given_to_whoever_has_the_chart_number_by_now(
    desk: Desk, chart: dict[str, str], record: Record
) -> None:
    desk.take_list(row(name="例示　次郎", kana="レイジ　ジロウ", insurer_number="06888888", number="9", **chart))
    desk.asked(name="見本　花子")
    event = desk.file("a", record, kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    assert desk.detail(event).patient_id is None
    assert desk.detail(event).candidates == ("10234",)
    assert desk.result(event)["needs_review"]


def test_a_stranger_met_by_a_card_that_is_not_valid_is_not_the_patient_asked_for(desk: Desk) -> None:
    desk.take_list(row())
    desk.asked(name="見本　花子")
    stranger = face(result(name="担当　月子", name_kana="ﾀﾝﾄｳ ﾂｷｺ"), validity="2")
    header = stranger.header.model_copy(update={"arbitrary_file_identifier": "a1"})
    record = stranger.model_copy(update={"header": header})
    event = desk.file("a", record, kind=MessageKind.ELIGIBILITY, correlation=BASE)
    desk.handle(event)
    assert desk.detail(event).patient_id is None
    assert desk.result(event)["verdicts"] == "name_mismatch ineligible"


def test_an_answer_to_a_request_for_nobody_known_is_matched_by_its_own_fields(desk: Desk) -> None:
    desk.take_list(row())
    desk.asked(patient_id=None)
    event = desk.file("a", medication(), kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    assert desk.detail(event).patient_id == "10234"


def test_a_pdf_that_nobody_asked_for_is_nobodys(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", PDF, kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    assert desk.result(event)["verdicts"] == "new_patient"


def test_an_older_result_that_comes_late_leaves_the_newer_one_alone(desk: Desk) -> None:
    desk.take_list(row())
    newer = desk.file("new", face())
    desk.handle(newer)
    before = desk.result(newer)
    desk.parsed("old", face(result(address="見本県他市")).model_copy(update={"header": Header(segment="1")}))
    assert desk.result(newer) == before


def test_no_name_lies_readable_in_the_store(desk: Desk) -> None:
    desk.take_list(row())
    desk.parsed("a", face())
    desk.centre.store.close()
    raw = b"".join(path.read_bytes() for path in desk.root.glob("onshi.db*"))
    for canary in ("花子", "ハナコ", "ﾊﾅｺ", "0001234", "10234"):
        assert canary.encode() not in raw
