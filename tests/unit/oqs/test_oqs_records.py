import pytest

from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, EligibilityResult
from pipeline.oqs.names import FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    CheckupRecord,
    EligibilityRecord,
    ReturnedRequest,
    parse_record_json,
)
from pipeline.oqs.rejection import RejectedError, RejectReason

FACE = "OQSsiquc01res_face_20260512091533.xml"
HEADER = "<ProcessExecutionTime>20260512091533</ProcessExecutionTime>"


def _name(text: str) -> FileName:
    name = parse_name(text)
    assert name is not None
    return name


def _message(body: str, header: str = HEADER) -> bytes:
    frame = f"<XmlMsg><MessageHeader>{header}</MessageHeader><MessageBody>{body}</MessageBody></XmlMsg>"
    return frame.encode()


def _face(body: str) -> EligibilityRecord:
    record = parse(_name(FACE), _message(body))
    assert isinstance(record, EligibilityRecord)
    return record


def _result(inside: str) -> EligibilityResult:
    record = _face(
        f"<ResultList><ResultOfQualificationConfirmation>{inside}</ResultOfQualificationConfirmation></ResultList>"
    )
    return record.results[0]


def test_results_are_found_in_one_list_in_several_lists_and_in_none() -> None:
    one = "<ResultOfQualificationConfirmation><Name>{}</Name></ResultOfQualificationConfirmation>"
    a, b = one.format("a"), one.format("b")
    forms = [
        f"<ResultList>{a}{b}</ResultList>",
        f"<ResultList>{a}</ResultList><ResultList>{b}</ResultList>",
        f"{a}{b}",
    ]
    assert all([result.name for result in _face(form).results] == ["a", "b"] for form in forms)


@pytest.mark.parametrize("blank", ["<Name/>", "<Name></Name>", "<Name>  </Name>", "<Name>\n\u3000</Name>", ""])
def test_blank_is_the_same_as_missing(blank: str) -> None:
    assert _result(f"{blank}<Sex1>1</Sex1>").name is None


def test_a_blank_group_is_the_same_as_none() -> None:
    result = _result("<Sex1>1</Sex1><LimitApplicationCertificateRelatedInfo/><PublicExpenseResultList/>")
    assert (result.limit_certificate, result.medical_tickets) == (None, ())


def test_a_value_keeps_every_space_and_zero() -> None:
    result = _result("<InsurerNumber>  012345</InsurerNumber><Name> 見本　花子 </Name><Birthdate>00000000</Birthdate>")
    assert (result.insurer_number, result.name, result.birthdate) == ("  012345", " 見本　花子 ", "00000000")


def test_what_is_unknown_is_kept_aside_with_its_path() -> None:
    record = _face("<New>1</New><ResultList><Other><Deep>2</Deep></Other></ResultList><Status>3</Status>stray")
    assert record.unknown == (
        ("MessageBody/New", "1"),
        ("MessageBody/ResultList/Other/Deep", "2"),
        ("MessageBody/Status", "3"),
    )


def test_children_where_a_value_is_due_are_kept_aside() -> None:
    record = _face(
        "<QualificationValidity><x>1</x></QualificationValidity><ProcessingResultStatus>1</ProcessingResultStatus>"
    )
    assert record.validity is None
    assert record.unknown == (("MessageBody/QualificationValidity/x", "1"),)


def test_text_beside_elements_is_kept_aside() -> None:
    record = _face("stray<ProcessingResultStatus>1</ProcessingResultStatus>")
    assert record.unknown == (("MessageBody", "stray"),)


def test_a_second_value_is_kept_aside_and_does_not_replace_the_first() -> None:
    record = _face(
        "<QualificationValidity>1</QualificationValidity><QualificationValidity>2</QualificationValidity>"
        "<QualificationConfirmSearchInfo><Birthdate>19850412</Birthdate></QualificationConfirmSearchInfo>"
        "<QualificationConfirmSearchInfo><Birthdate>19850413</Birthdate></QualificationConfirmSearchInfo>"
    )
    assert record.validity == "1"
    assert record.search is not None
    assert record.search.birthdate == "19850412"
    assert record.duplicates == (
        ("MessageBody/QualificationConfirmSearchInfo/Birthdate", "19850413"),
        ("MessageBody/QualificationValidity", "2"),
    )


def test_a_second_header_or_body_is_kept_aside() -> None:
    content = _message("<QualificationValidity>1</QualificationValidity>").replace(
        b"</XmlMsg>",
        b"<MessageBody><QualificationValidity>2</QualificationValidity></MessageBody><Tail>x</Tail></XmlMsg>",
    )
    record = parse(_name(FACE), content)
    assert isinstance(record, EligibilityRecord)
    assert record.validity == "1"
    assert record.duplicates == (("MessageBody/QualificationValidity", "2"),)
    assert record.unknown == (("Tail", "x"),)


def test_every_consent_category_is_read_under_its_official_name() -> None:
    official = {
        "SpecificHealthCheckupsInfo": "checkup",
        "PharmacistsInfo": "medication",
        "DiagnosisInfo": "diagnosis",
        "OperationInfo": "operation",
        "DiagnosisName": "disease_name",
        "InfectiousInfo": "infection",
        "AllergyInfo": "allergy",
        "ContraindicationInfo": "drug_allergy",
        "TestInfo": "test",
        "PrescriptionInfo": "prescription",
    }
    for stem, category in official.items():
        result = _result(
            f"<{stem}ConsFlg>1</{stem}ConsFlg><{stem}ConsTime>2</{stem}ConsTime>"
            f"<{stem}AvailableTime>3</{stem}AvailableTime><{stem}ConsExpiredReason>0</{stem}ConsExpiredReason>"
        )
        assert result.consents == (
            ConsentGroup(
                category=ConsentCategory(category),
                flag="1",
                consented_at="2",
                available_until="3",
                expired_reason="0",
            ),
        )


VENDOR = [
    "<PharmaceuticalInfoConsFlg>1</PharmaceuticalInfoConsFlg>",
    "<PharmaceuticalInfoConsTime>1</PharmaceuticalInfoConsTime>",
    "<PharmacistsInfoConsFlg>1</PharmacistsInfoConsFlg><PharmacistsInfoAcquisitionTime>1</PharmacistsInfoAcquisitionTime>",
    "<DiagnosisInfoConsFlg>1</DiagnosisInfoConsFlg><DiagnosisInfoConsTim>1</DiagnosisInfoConsTim>",
]


@pytest.mark.parametrize("elements", VENDOR)
def test_a_consent_in_a_vendors_spelling_is_marked(elements: str) -> None:
    (group,) = _result(elements).consents
    assert group.vendor_spelling


@pytest.mark.parametrize("is_first", [True, False])
def test_the_official_spelling_wins_wherever_it_stands(*, is_first: bool) -> None:
    vendor = "<PharmaceuticalInfoConsFlg>1</PharmaceuticalInfoConsFlg>"
    official = "<PharmacistsInfoConsFlg>0</PharmacistsInfoConsFlg>"
    record = _face(
        "<ResultList><ResultOfQualificationConfirmation>"
        + (official + vendor if is_first else vendor + official)
        + "</ResultOfQualificationConfirmation></ResultList>"
    )
    (group,) = record.results[0].consents
    assert (group.flag, group.vendor_spelling) == ("0", False)
    assert [value for _, value in record.duplicates] == ["1"]


def test_consents_of_two_results_do_not_mix() -> None:
    one = "<ResultOfQualificationConfirmation><TestInfoConsFlg>{}</TestInfoConsFlg></ResultOfQualificationConfirmation>"
    record = _face(one.format(1) + one.format(0))
    assert [result.consents[0].flag for result in record.results] == ["1", "0"]


def test_a_unit_has_as_many_reference_numbers_as_it_names() -> None:
    body = "<BulkConfirmUnit><ReferenceNumber>1</ReferenceNumber><ReferenceNumber>2</ReferenceNumber></BulkConfirmUnit>"
    record = parse(_name("OQSmuhvq02res_202605120007.xml"), _message(body))
    assert isinstance(record, BulkEligibilityRecord)
    assert record.units[0].reference_numbers == ("1", "2")


@pytest.mark.parametrize("spelling", ["KanaName", "KanasName"])
def test_both_spellings_of_a_kana_name_are_read(spelling: str) -> None:
    header = f"<ResultCode>1</ResultCode><QualificationsInfo><{spelling}>ｱ</{spelling}></QualificationsInfo>"
    record = parse(_name("TKKsiquc01res_202605120007.xml"), _message("", header))
    assert isinstance(record, CheckupRecord)
    assert record.header.subject is not None
    assert record.header.subject.name_kana == "ｱ"


def test_dental_additions_are_read() -> None:
    body = (
        "<MeTrMonthInf><DiDateInfs><DiDateInf><MeTrInfs><MeTrInf><DenMeTrAddInf><DenMeTrAddCd>12345</DenMeTrAddCd>"
        "</DenMeTrAddInf></MeTrInf></MeTrInfs></DiDateInf></DiDateInfs></MeTrMonthInf>"
    )
    record = parse(_name("YZKsiquc01res_202605120007.xml"), _message(body, "<ResultCode>1</ResultCode>"))
    assert record.model_dump()["months"][0]["days"][0]["treatments"][0]["dental_additions"][0]["code"] == "12345"


DISAGREEING = [
    ("OQSsiquc01res_1.xml", _message("<BulkConfirmUnit/>")),
    ("OQSsiquc01res_1.xml", _message("<ReceptionNumber>1</ReceptionNumber>")),
    ("OQSsiquc01res_1.xml", _message("", "<ResultCode>1</ResultCode>")),
    ("OQSsiquc01res_1.xml", _message("", "<MedicalInstitutionCode>9919000011</MedicalInstitutionCode>")),
    (FACE, _message("<ReferenceNumberRegistrationInfo/>")),
    ("OQSmuquc02res_1.xml", _message("<ResultList/>")),
    ("OQSmuquc01res_1.xml", _message("<BulkConfirmUnit/>")),
    ("OQSmuimm02res_1.xml", _message("<BulkConfirmUnit/>")),
    ("OQSsiimm01res_1.xml", _message("<ConsentCancelInfo/>")),
    ("OQSsihvd01res_1.xml", _message("<ReferenceNumberRegistrationInfo/>")),
    ("YZKsiquc01res_1.xml", _message("<SpecificHealthCheckupInfo/>", "<ResultCode>1</ResultCode>")),
    ("TKKsiquc01res_1.xml", _message("<MeTrMonthInf/>", "<ResultCode>1</ResultCode>")),
    ("TKKsiquc01res_1.xml", _message("")),
    ("OQSsiquc01req_1.xml", _message("")),
    ("OQSsiquc01req_1.xml", _message("<ConsentCancelInfo/>", "<MedicalInstitutionCode>1</MedicalInstitutionCode>")),
    (FACE, b"<XmlMsg/>"),
    (FACE, b"<XmlMsg><MessageBody><ProcessingResultStatus>1</ProcessingResultStatus></MessageBody></XmlMsg>"),
]


@pytest.mark.parametrize(("name", "content"), DISAGREEING, ids=range(len(DISAGREEING)))
def test_content_of_another_kind_than_the_name_says_is_refused(name: str, content: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        parse(_name(name), content)
    assert caught.value.reason is RejectReason.WRONG_MESSAGE


def test_a_returned_request_that_cannot_be_read_is_still_a_return() -> None:
    record = parse(_name("OQSsiquc01req_1.xml"), b"<XmlMsg><oops>")
    assert isinstance(record, ReturnedRequest)
    assert record.unreadable is RejectReason.TRUNCATED


def test_json_of_another_shape_is_refused_without_showing_it() -> None:
    with pytest.raises(ValueError, match="1 validation error") as caught:
        parse_record_json('{"schema_kind": "eligibility", "secret": "見本"}')
    assert "見本" not in str(caught.value)
