from pathlib import Path
from typing import Any

import pytest
from lxml import etree

from pipeline.oqs.names import MessageKind, Phase, parse_name
from pipeline.oqs.rejection import RejectedError, RejectReason
from pipeline.oqs.requests import (
    BookingQuery,
    BulkEligibilityRequest,
    BulkRegistrationRequest,
    CheckupRequest,
    DatedHeader,
    DownloadHeader,
    DownloadRequest,
    EligibilityQuery,
    EligibilityRequest,
    Header,
    HistoryHeader,
    HistoryPeriod,
    HistoryWish,
    LimitOnFile,
    MedicalAidPeriod,
    MedicalAidRequest,
    MedicationRequest,
    OnlinePeriod,
    OnlineRequest,
    RegistrationEntry,
    RegistrationRequest,
    Request,
    VisitPeriod,
    VisitRequest,
    WithdrawalEntry,
    WithdrawalRequest,
    read_request,
)
from pipeline.oqs.writer import render

SAMPLES = sorted((Path(__file__).parents[2] / "samples" / "req").glob("*.xml"))
CODE = "9919000011"
PERSON: dict[str, Any] = {"insurer_number": "06999999", "symbol": "7001", "number": "0001234", "branch_number": "00"}


def _leaves(content: bytes) -> list[tuple[str, str | None]]:
    root = etree.fromstring(content)
    tree = root.getroottree()
    return [(tree.getpath(node), node.text) for node in root.iter() if not len(node)]


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.name)
def test_a_sample_is_written_again_value_for_value_in_its_order(path: Path) -> None:
    name = parse_name(path.name)
    assert name is not None
    content = path.read_bytes()
    request = read_request(name.kind, content, name.phase)
    written = render(request)
    assert _leaves(written) == _leaves(content)
    assert written.partition(b"\n")[0] == content.partition(b"\n")[0].rstrip(b"\r")
    assert read_request(name.kind, written, name.phase) == request


def _single(**changes: Any) -> EligibilityRequest:
    query = {**PERSON, "birthdate": "19850412", "limit_consent_flag": "0"} | changes
    return EligibilityRequest(
        header=DatedHeader(confirmed_on="20260512", institution_code=CODE), search=EligibilityQuery(**query)
    )


def _medication(**changes: Any) -> MedicationRequest:
    fields = {"start": "202602", "end": "999999", "file_category": "4"} | changes
    return MedicationRequest(header=HistoryHeader(institution_code=CODE, **PERSON), **fields)


EVERY: list[Request] = [
    _single(),
    _single(prescription_issue="2", arbitrary_identifier="a"),
    _single(treatment_flag="3", limit_display="1", specific_disease_display="0"),
    _single(
        treatment_flag="2",
        histories=(
            HistoryWish(kind="TKK", file_category="2"),
            HistoryWish(
                kind="YZK",
                file_category="4",
                period=HistoryPeriod(start="202601", end="202605", last="20260101"),
                prescription_view="1",
            ),
        ),
    ),
    RegistrationRequest(
        header=Header(institution_code=CODE), registration=RegistrationEntry(reference_number="1", **PERSON)
    ),
    BulkRegistrationRequest(
        header=Header(institution_code=CODE, arbitrary_file_identifier="x"),
        registrations=(
            RegistrationEntry(reference_number="1", **PERSON),
            RegistrationEntry(reference_number="2", **PERSON),
        ),
    ),
    BulkEligibilityRequest(
        header=DatedHeader(confirmed_on="20260512", institution_code=CODE),
        searches=(
            BookingQuery(birthdate="19850412", **PERSON),
            BookingQuery(birthdate="19850412", limit_on_file=LimitOnFile(classification="01", flag="A03"), **PERSON),
        ),
    ),
    MedicalAidRequest(header=Header(institution_code=CODE), search=MedicalAidPeriod(treatment_month="202605")),
    VisitRequest(
        header=Header(institution_code=CODE), search=VisitPeriod(consented_from="20260501", consented_to="20260512")
    ),
    OnlineRequest(
        header=Header(institution_code=CODE), search=OnlinePeriod(examined_from="20260501", examined_to="20260512")
    ),
    OnlineRequest(
        header=Header(institution_code=CODE), search=OnlinePeriod(consented_from="20260501", consented_to="20260501")
    ),
    *(
        DownloadRequest(kind=kind, header=DownloadHeader(institution_code=CODE), reception_number="2" * 38)
        for kind in MessageKind
        if kind.is_bulk
    ),
    WithdrawalRequest(
        header=Header(institution_code=CODE),
        withdrawal=WithdrawalEntry(birthdate="19350815", treatment_flag="2", **PERSON),
    ),
    _medication(),
    _medication(last="20260101", end="202604", treatment_flag="1", prescription_view="0"),
    CheckupRequest(header=HistoryHeader(institution_code=CODE, **PERSON), file_category="1", treatment_flag="1"),
]


@pytest.mark.parametrize("request_", EVERY, ids=lambda request_: type(request_).__name__)
def test_every_kind_of_request_reads_back_the_same(request_: Request) -> None:
    phase: Phase = request_.phase
    assert read_request(request_.kind, render(request_), phase) == request_


def test_every_kind_of_message_has_its_requests() -> None:
    asked = {(request.kind, request.phase) for request in EVERY}
    kinds = [kind for kind in MessageKind if kind is not MessageKind.FACE]
    assert asked == {(kind, "01") for kind in kinds} | {(kind, "02") for kind in kinds if kind.is_bulk}


def test_visit_and_online_queries_take_the_name_of_their_care() -> None:
    kinds = [_single(treatment_flag=flag).kind for flag in (None, "1", "2", "3")]
    assert kinds == [MessageKind.ELIGIBILITY, MessageKind.ELIGIBILITY, MessageKind.VISIT, MessageKind.ONLINE]


def test_a_six_digit_insurer_number_is_padded_with_spaces() -> None:
    request = _single(insurer_number="999995")
    assert request.search.insurer_number == "  999995"
    assert b"<InsurerNumber>  999995</InsurerNumber>" in render(request)


def test_markup_in_a_value_is_only_text() -> None:
    request = _single(symbol="</InsuredCardSymbol>&<x>]]>")
    assert read_request(MessageKind.ELIGIBILITY, render(request)) == request


BAD: list[dict[str, Any]] = [
    {"insurer_number": "123"},
    {"insurer_number": "00999995 "},
    {"insurer_number": "１２３４５６７８"},
    {"symbol": ""},
    {"symbol": " \u3000"},
    {"symbol": "a\nb"},
    {"symbol": "a\x00"},
    {"symbol": "あ" * 81},
    {"number": ""},
    {"number": None},
    {"branch_number": "1"},
    {"branch_number": "001"},
    {"birthdate": "1985-04-12"},
    {"birthdate": "19850412\n"},
    {"limit_consent_flag": "2"},
    {"limit_consent_flag": None},
    {"arbitrary_identifier": "a" * 51},
    {"arbitrary_identifier": "識別"},
    {"prescription_issue": "3"},
    {"treatment_flag": "4"},
    {"limit_display": "1"},
    {"treatment_flag": "3", "histories": (HistoryWish(kind="TKK", file_category="2"),)},
    {"treatment_flag": "2", "histories": (HistoryWish(kind="TKK", file_category="2"),) * 5},
    {"misspelt": "x"},
]


@pytest.mark.parametrize("changes", BAD, ids=range(len(BAD)))
def test_a_value_that_would_be_refused_is_not_asked(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        _single(**changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"start": "202108"},
        {"start": "202613"},
        {"start": "202605", "end": "202604"},
        {"start": "202301", "end": "202601"},
        {"end": "000000"},
        {"file_category": "5"},
        {"last": "202605"},
    ],
)
def test_a_period_that_would_be_refused_is_not_asked(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        _medication(**changes)


def test_the_longest_period_is_asked() -> None:
    assert _medication(start="202302", end="202601").end == "202601"


@pytest.mark.parametrize(
    "period",
    [
        {},
        {"consented_from": "20260501"},
        {"examined_from": "20260502", "examined_to": "20260501"},
        {
            "consented_from": "20260501",
            "consented_to": "20260501",
            "examined_from": "20260501",
            "examined_to": "20260501",
        },
    ],
)
def test_an_online_period_is_one_whole_pair(period: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        OnlinePeriod(**period)


def test_only_bulk_exchanges_are_downloaded() -> None:
    with pytest.raises(ValueError, match="only bulk"):
        DownloadRequest(kind=MessageKind.MEDICATION, header=DownloadHeader(institution_code=CODE), reception_number="1")


def test_a_checkup_is_not_asked_with_treatments() -> None:
    with pytest.raises(ValueError, match="category 1 or 2"):
        HistoryWish(kind="TKK", file_category="3")


def test_more_queries_than_a_file_may_hold_are_refused() -> None:
    query = BookingQuery(birthdate="19850412", **PERSON)
    header = DatedHeader(confirmed_on="20260512", institution_code=CODE)
    assert len(BulkEligibilityRequest(header=header, searches=(query,) * 300).searches) == 300
    with pytest.raises(ValueError, match="300"):
        BulkEligibilityRequest(header=header, searches=(query,) * 301)


def test_a_refused_value_is_not_shown() -> None:
    with pytest.raises(ValueError, match="validation error") as caught:
        _single(birthdate="昭和60年", number="秘密\n")
    assert "昭和" not in str(caught.value)
    assert "秘密" not in str(caught.value)
    assert repr(_single()) == "EligibilityRequest()"


def test_elements_that_a_request_does_not_have_are_refused() -> None:
    content = render(_single()).replace(b"</MessageBody>", b"<New>1</New></MessageBody>")
    with pytest.raises(RejectedError) as caught:
        read_request(MessageKind.ELIGIBILITY, content)
    assert caught.value.reason is RejectReason.WRONG_MESSAGE


def test_a_visit_query_under_the_name_of_another_is_refused() -> None:
    with pytest.raises(ValueError, match="another kind"):
        read_request(MessageKind.ELIGIBILITY, render(_single(treatment_flag="2")))
