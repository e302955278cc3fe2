"""How does the simulated service answer requests for many: a receipt at once, the answer when it is ready?"""

from datetime import timedelta

import pytest

from pipeline.oqs.answers import Layer, answer_of
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    Record,
    UploadReceipt,
)
from producers.simulator.cases import Case
from tests.support.desk import Desk, Fields, registration, search, visit_of


def _bulk(desk: Desk, kind: MessageKind, body: Fields) -> tuple[Record, Record]:
    """Ask at once and again when it is ready."""
    receipt = desk.ask(kind, [], body)
    assert isinstance(receipt, UploadReceipt)
    again: Fields = [("ReceptionNumber", receipt.reception_number)]
    return desk.ask(kind, [], again, "02"), _later(desk, kind, again)


def _later(desk: Desk, kind: MessageKind, body: Fields) -> Record:
    desk.terminal._clock.pass_by(timedelta(seconds=3))  # type: ignore[attr-defined]
    return desk.ask(kind, [], body, "02")


@pytest.mark.parametrize(("count", "extension"), [(0, ".err"), (300, ".xml"), (301, ".err")])
def test_a_bulk_request_of_more_than_three_hundred_or_of_none_comes_back(
    desk: Desk, count: int, extension: str
) -> None:
    person = visit_of(desk.terminal, Case.MATCH).person
    path = desk.put(MessageKind.BULK_ELIGIBILITY, [], search(person) * count)
    desk.terminal.service.poll()
    assert extension in {found.suffix for found in desk.folders.res.iterdir()}
    assert (path.stem + ".err" in {found.name for found in desk.folders.res.iterdir()}) is (extension == ".err")


@pytest.mark.parametrize("zips", [True, False])
def test_booking_query_is_in_work_and_then_answered(desk: Desk, zips: bool) -> None:  # noqa: FBT001
    desk.terminal.behaviour.zips_bulk = zips
    known = desk.terminal.visits[0].person
    body = search(known) + search(known, InsuredIdentificationNumber="000") + search(known, Birthdate="20010230")
    early, record = _bulk(desk, MessageKind.BULK_ELIGIBILITY, body)
    assert answer_of(early).layer is Layer.STILL_PROCESSING
    assert isinstance(record, BulkEligibilityRecord)
    assert [unit.validity for unit in record.units] == ["1", "4", None]
    assert [unit.status for unit in record.units] == ["1", "1", "2"]
    assert (record.header.count_processed, record.header.count_error) == ("3", "1")
    assert record.units[0].results[0].limit_changed == "0"
    suffixes = {path.suffix for path in desk.folders.res.iterdir()}
    assert (".zip" in suffixes) is zips


def test_bulk_registration_tells_of_each(desk: Desk) -> None:
    person = desk.terminal.visits[0].person
    _, record = _bulk(
        desk,
        MessageKind.BULK_REGISTRATION,
        registration(person, "K1") + registration(person, "K2", branch=False),
    )
    assert isinstance(record, BulkRegistrationRecord)
    assert [unit.status for unit in record.units] == ["1", "2"]


@pytest.mark.parametrize(
    ("kind", "search"),
    [
        (MessageKind.BULK_VISIT, [("ConsentDateFrom", "20260501"), ("ConsentDateTo", "20260512")]),
        (MessageKind.BULK_ONLINE, [("ExaminationDateFrom", "20260501"), ("ExaminationDateTo", "20260512")]),
        (MessageKind.BULK_MEDICAL_AID, [("MedicalTreatmentMonth", "202605")]),
    ],
)
def test_bulk_of_consents_and_of_aid_lists_people(desk: Desk, kind: MessageKind, search: Fields) -> None:
    _, record = _bulk(desk, kind, [("QualificationConfirmSearchInfo", search)])
    assert isinstance(record, BulkEligibilityRecord)
    assert record.units
    is_aid = kind is MessageKind.BULK_MEDICAL_AID
    assert all((unit.results[0].card_classification == "A1") >= is_aid for unit in record.units)
    assert all((unit.consent_flag == "1") is not is_aid for unit in record.units)


def test_unknown_reception_number_fails_the_message(desk: Desk) -> None:
    record = desk.ask(MessageKind.BULK_ELIGIBILITY, [], [("ReceptionNumber", "123")], "02")
    assert answer_of(record).layer is Layer.MESSAGE_ERROR
