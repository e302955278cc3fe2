import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    CheckupRecord,
    EligibilityRecord,
    ErrNotice,
    MedicationRecord,
    Record,
    RegistrationRecord,
    ReturnedRequest,
    UploadReceipt,
    parse_record_json,
    record_json,
)
from pipeline.oqs.whole import is_complete

SAMPLES = Path(__file__).parents[2] / "samples"
XML = sorted(SAMPLES.glob("*/*.xml"))
RecordOf = Callable[[str], Record]


def _name(path: Path) -> FileName:
    name = parse_name(path.name)
    assert name is not None
    return name


def _values(tree: Any) -> Iterator[str]:
    if isinstance(tree, dict):
        for key, value in tree.items():
            yield from _values(value) if key != "schema_kind" else ()
    elif isinstance(tree, list):
        for value in tree:
            yield from _values(value)
    elif isinstance(tree, str):
        yield tree


def _leaves(content: bytes) -> Counter[str]:
    # libxml2 knows no cp932: it reads full-width minus and wave dash as other characters.
    text = content.decode("cp932" if b"Shift_JIS" in content else "utf-8").partition("?>")[2]
    return Counter(node.text for node in etree.fromstring(text).iter() if not len(node) and node.text)


def test_all_forty_four_samples_are_here() -> None:
    assert len(XML) == 44


@pytest.mark.parametrize("path", XML, ids=lambda path: path.name)
def test_no_leaf_of_a_sample_is_lost_or_changed(path: Path) -> None:
    content = path.read_bytes()
    record = parse(_name(path), content)
    held = Counter(_values(json.loads(record_json(record))))
    assert not _leaves(content) - held


@pytest.mark.parametrize("path", XML, ids=lambda path: path.name)
def test_every_element_of_a_sample_is_known(path: Path) -> None:
    record = parse(_name(path), path.read_bytes())
    assert not isinstance(record, ErrNotice)
    assert getattr(record, "unknown") == ()  # noqa: B009 - not every record has it
    assert getattr(record, "duplicates") == ()  # noqa: B009


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.*")), ids=lambda path: path.name)
def test_a_record_survives_json(path: Path) -> None:
    record = parse(_name(path), path.read_bytes())
    assert parse_record_json(record_json(record)) == record


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*/*.*")), ids=lambda path: path.name)
def test_repr_and_str_of_a_record_show_no_value(path: Path) -> None:
    record = parse(_name(path), path.read_bytes())
    assert repr(record) == f"{type(record).__name__}()"
    assert str(record) == ""


@pytest.mark.parametrize("path", XML, ids=lambda path: path.name)
def test_a_whole_sample_is_complete_and_one_cut_short_is_not(path: Path) -> None:
    content = path.read_bytes()
    assert is_complete(_name(path), content)
    assert not is_complete(_name(path), content.rstrip()[:-1])


def test_face_with_everything_consented(record_of: RecordOf) -> None:
    record = record_of("_20260512091533.xml")
    assert isinstance(record, EligibilityRecord)
    (result,) = record.results
    assert record.header.process_execution_time == "20260512091533"
    assert (record.status, record.validity, record.prescription_issue, record.treatment_flag) == ("1", "1", "2", "1")
    assert (result.insurer_number, result.symbol, result.number, result.branch_number) == (
        "06999999",
        "7001",
        "0001234",
        "00",
    )
    assert (result.name, result.name_kana, result.sex1, result.birthdate) == ("見本　花子", "ﾐﾎﾝ ﾊﾅｺ", "2", "19850412")
    assert (result.address, result.postal_code) == (
        "見本県例示市試験町１丁目２番３号　サンプルハイツ４０１",
        "990-0001",
    )
    assert result.reference_number == "10234"
    assert result.limit_certificate is not None
    assert (result.limit_certificate.classification, result.limit_certificate.flag) == ("01", "A03")
    assert (result.limit_certificate.valid_from, result.limit_certificate.valid_to) == ("20260401", "20270331")
    assert {group.category for group in result.consents} == set(ConsentCategory)
    for group in result.consents:
        assert (group.flag, group.consented_at, group.available_until) == ("1", "20260512091533", "20260513091533")
        assert not group.vendor_spelling


def test_face_in_shift_jis_reads_like_one_in_utf8(record_of: RecordOf) -> None:
    record = record_of("_20260512101544.xml")
    assert isinstance(record, EligibilityRecord)
    (result,) = record.results
    assert record.header.character_code == "1"
    assert (result.preschool, result.relationship) == ("1", "2")
    assert result.name is not None
    assert "　" in result.name


def test_padded_insurer_number_and_unknown_characters_stay_as_they_came(record_of: RecordOf) -> None:
    record = record_of("_20260512094210.xml")
    assert isinstance(record, EligibilityRecord)
    (result,) = record.results
    assert result.insurer_number == "  999995"
    assert "●" in (result.name or "")
    assert result.elderly_recipient is not None
    assert len(result.specific_diseases) == 1
    assert result.limit_certificate is not None
    assert result.limit_certificate.flag == "B05"


def test_refusals_are_groups_with_a_flag_and_no_times(record_of: RecordOf) -> None:
    record = record_of("_20260512100804.xml")
    assert isinstance(record, EligibilityRecord)
    (result,) = record.results
    assert (result.symbol, result.branch_number, result.burden_ratio) == (None, None, "010")
    assert [(group.flag, group.consented_at, group.available_until) for group in result.consents] == [
        ("0", None, None)
    ] * 4


def test_several_candidates_all_stay(record_of: RecordOf) -> None:
    record = record_of("OQSsiquc01res_202605120012.xml")
    assert isinstance(record, EligibilityRecord)
    assert [result.branch_number for result in record.results] == ["03", "04"]


def test_medical_aid_ticket(record_of: RecordOf) -> None:
    record = record_of("OQSsiquc01res_202605120019.xml")
    assert isinstance(record, EligibilityRecord)
    (ticket,) = record.results[0].medical_tickets
    assert record.results[0].card_classification == "A1"
    assert (ticket.ticket_type, ticket.treatment_month, ticket.self_pay) == ("01", "202605", "0")
    assert (ticket.injury_name1, ticket.handling_contact) == ("高血圧症", "例示　担当")


def test_booking_bulk_keeps_units_in_order_with_results_directly_below(record_of: RecordOf) -> None:
    record = record_of("OQSmuquc02res_202605120002.xml")
    assert isinstance(record, BulkEligibilityRecord)
    assert [(unit.status, unit.validity, len(unit.results)) for unit in record.units] == [
        ("1", "1", 1),
        ("1", "3", 1),
        ("2", None, 0),
    ]
    assert record.units[0].reference_numbers == ("10234",)
    assert record.units[0].search is not None
    assert record.units[0].search.arbitrary_identifier == "10234"
    assert record.header.count_processed == "3"


def test_visit_bulk_keeps_expired_consents_with_their_reason(record_of: RecordOf) -> None:
    record = record_of("OQSmuhvq02res_202605120007.xml")
    assert isinstance(record, BulkEligibilityRecord)
    (unit,) = record.units
    medication = unit.results[0].consent(ConsentCategory.MEDICATION)
    assert medication is not None
    assert (medication.flag, medication.expired_reason) == ("2", "2")
    assert unit.available_until == "99991231235959"
    assert record.search is not None
    assert record.search.consented_from == "20260501"


def test_medication_holds_claims_prescriptions_and_dispensing(record_of: RecordOf) -> None:
    record = record_of("YZKsiquc01res_202605120031.xml")
    assert isinstance(record, MedicationRecord)
    dispensed_at_pharmacy, at_clinic = record.months
    assert [len(day.drugs) for day in dispensed_at_pharmacy.days] == [2, 1]
    assert dispensed_at_pharmacy.days[0].drugs[1].special_instruction == "一包化"
    assert [treatment.code for treatment in at_clinic.days[0].treatments] == ["999900001", "999900002"]
    assert record.prescribed[0].days[0].drugs[0].name == "見本降圧錠５ｍｇ"
    assert record.dispensed[0].days[0].prescribed_on == "20260508"
    assert record.header.subject is not None
    assert (record.header.subject.number, record.header.subject.reference_number) == ("0001234", "10234")


def test_checkups_hold_their_items(record_of: RecordOf) -> None:
    record = record_of("TKKsiquc01res_202605120032.xml")
    assert isinstance(record, CheckupRecord)
    assert [(checkup.day, len(checkup.items)) for checkup in record.checkups] == [("20251015", 8), ("20241009", 2)]
    assert (record.checkups[0].items[4].name, record.checkups[0].items[4].value) == ("HbA1c（ＮＧＳＰ値）", "5.8")


def test_registrations_receipts_and_returned_requests(record_of: RecordOf) -> None:
    single = record_of("OQSsiimm01res_202605120022.xml")
    bulk = record_of("OQSmuimm02res_202605120005.xml")
    receipt = record_of("OQSmuquc01res_202605120001.xml")
    returned = record_of("OQSsiquc01req_202605120018.xml")
    note = record_of("OQSsiquc01req_202605120018.err")
    assert isinstance(single, RegistrationRecord)
    assert isinstance(bulk, BulkRegistrationRecord)
    assert isinstance(receipt, UploadReceipt)
    assert isinstance(returned, ReturnedRequest)
    assert isinstance(note, ErrNotice)
    assert single.registration is not None
    assert single.registration.reference_number == "10777"
    assert [unit.status for unit in bulk.units] == ["1", "1", "2"]
    assert receipt.reception_number == "20260512070012345678901234567890123456"
    assert returned.searches[0].birthdate == "19700101"
    assert note.encoding == "utf-8"
    assert note.text.startswith("（見本）")
