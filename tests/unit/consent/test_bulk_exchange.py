"""How does a bulk exchange go from its upload to its result?"""

import itertools
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.consent import Consent, inquiries
from consumers.consent.asking import RequestFile, add
from consumers.consent.exchange import Patience
from consumers.consent.requests import take_back
from pipeline.contents import request_context
from pipeline.oqs.eligibility import Header
from pipeline.oqs.names import MessageKind, parse_name
from pipeline.oqs.records import BulkEligibilityRecord, ErrNotice, Record, ReturnedRequest, UploadReceipt
from pipeline.oqs.requests import DownloadRequest, read_request
from pipeline.request_row import RequestMessage
from pipeline.sealing import Opener
from pipeline.storage.schema import requests
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import NOW, store_file
from tests.unit.consent.test_consent_requests import _due, _handle

SECOND = timedelta(seconds=1)
NUMBER = "20260512070012345678901234567890123456"
KIND = MessageKind.BULK_VISIT


def _upload(centre: Centre) -> RequestFile:
    clinic = centre.settings.clinics[0]
    days = (NOW.date(), NOW.date())
    (wanted,) = inquiries.visit(clinic, centre.keyring, days, "s1", NOW)
    with centre.store.transaction() as connection:
        add(connection, centre.keyring, wanted, timedelta(minutes=3), NOW)
    return wanted.file


def _receipt(identifier: str | None = None, number: str | None = NUMBER) -> UploadReceipt:
    header = Header(institution_code="9919000011", arbitrary_file_identifier=identifier)
    return UploadReceipt(schema_kind="upload_receipt", header=header, reception_number=number)


def _download_answer(segment: str, identifier: str | None = None, number: str = NUMBER) -> BulkEligibilityRecord:
    header = Header(
        institution_code="9919000011", arbitrary_file_identifier=identifier, reception_number=number, segment=segment
    )
    return BulkEligibilityRecord(schema_kind="bulk_eligibility", header=header)


def _arrive(centre: Centre, base: str, record: Record, now: datetime = NOW, name: str = "") -> None:
    _handle(centre, store_file(centre, f"{base}{name}", record, kind=KIND, correlation=base), now)


def _steps(centre: Centre) -> list[dict[str, Any]]:
    return sorted(centre.rows(requests), key=lambda row: (row["phase"], row["attempt"]))


def _open(centre: Centre, row: dict[str, Any]) -> RequestFile:
    raw = Opener(centre.keyring).open("c1", request_context(row["request_id"]), row["sealed_request"])
    return RequestFile.model_validate_json(raw)


def test_a_receipt_wants_the_download_of_its_reception_number_after_a_while(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt(upload.arbitrary_file_identifier))
    first, second = _steps(centre)
    assert (first["state"], first["inquiry_id"]) == ("answered", first["request_id"])
    assert (second["state"], second["phase"], second["attempt"]) == ("wanted", "02", 1)
    assert (second["inquiry_id"], second["asked_by"], second["terminal"]) == (first["request_id"], "s1", "t1")
    file = _open(centre, second)
    name = parse_name(f"{file.base_name}.xml")
    assert name is not None
    written = read_request(KIND, file.content, "02")
    assert isinstance(written, DownloadRequest)
    assert (name.kind, name.phase, written.reception_number) == (KIND, "02", NUMBER)
    assert (file.reception_number, file.arbitrary_file_identifier) == (NUMBER, upload.arbitrary_file_identifier)


def test_a_download_is_not_ordered_before_its_time(centre: Centre) -> None:
    upload = _upload(centre)
    _due(centre, NOW)
    _arrive(centre, upload.base_name, _receipt())
    assert _due(centre, NOW + 9 * SECOND) == []
    (order,) = _due(centre, NOW + 10 * SECOND)
    assert order.withdraw_at == NOW + timedelta(seconds=10, minutes=3)


def test_a_receipt_that_comes_again_in_other_bytes_wants_no_second_download(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    _arrive(centre, upload.base_name, _receipt(upload.arbitrary_file_identifier), NOW + SECOND, "again")
    assert len(_steps(centre)) == 2
    assert _steps(centre)[1]["not_before"] == NOW + 10 * SECOND


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_answers_in_any_order_and_twice_make_one_step_each(centre: Centre, order: tuple[int, ...]) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    first = _open(centre, _steps(centre)[1]).base_name
    answers = [(upload.base_name, _receipt()), (first, _download_answer("2")), (first, _download_answer("2"))]
    events = [
        store_file(centre, f"file {at}", record, kind=KIND, correlation=base)
        for at, (base, record) in enumerate(answers)
    ]
    for at in (*order, *order):
        _handle(centre, events[at])
    assert [(row["phase"], row["attempt"], row["state"]) for row in _steps(centre)] == [
        ("01", 1, "answered"),
        ("02", 1, "answered"),
        ("02", 2, "wanted"),
    ]


def test_a_result_still_in_the_making_is_asked_for_again_later_each_time(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    now, waits = NOW, []
    for _ in range(7):
        row = _steps(centre)[-1]
        waits.append((row["not_before"] - now).total_seconds())
        now = row["not_before"] + SECOND
        _arrive(centre, _open(centre, row).base_name, _download_answer("2"), now)
        assert _steps(centre)[-2]["reason"] == "still_processing"
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    last = _steps(centre)[-1]
    _arrive(centre, _open(centre, last).base_name, _download_answer("1"), now)
    assert [row["state"] for row in _steps(centre)] == ["answered"] * 9
    assert len({_open(centre, row).base_name for row in _steps(centre)}) == 9


def test_a_service_that_never_gets_done_is_given_up_after_the_limit(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    download = _open(centre, _steps(centre)[1]).base_name
    _arrive(centre, download, _download_answer("2"), NOW + timedelta(hours=24))
    assert [(row["state"], row["reason"]) for row in _steps(centre)] == [
        ("answered", None),
        ("timed_out", "still_processing"),
    ]


@pytest.mark.parametrize("number", [None, "", "番号"], ids=["none", "blank", "unusable"])
def test_a_receipt_without_a_usable_number_refuses_the_request(centre: Centre, number: str | None) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt(number=number))
    (only,) = _steps(centre)
    assert (only["state"], only["reason"]) == ("refused", "no_reception_number")


def test_a_receipt_with_another_file_identifier_is_foreign_and_leads_to_nothing(centre: Centre) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt("BULK20260513_01"))
    (only,) = _steps(centre)
    assert (only["state"], only["reason"]) == ("refused", "foreign_answer")


@pytest.mark.parametrize(
    "wrong",
    [_download_answer("2", number="2" * 38), _download_answer("2", identifier="another")],
    ids=["reception number", "file identifier"],
)
def test_an_answer_of_another_exchange_is_foreign(centre: Centre, wrong: BulkEligibilityRecord) -> None:
    upload = _upload(centre)
    _arrive(centre, upload.base_name, _receipt())
    _arrive(centre, _open(centre, _steps(centre)[1]).base_name, wrong)
    assert [(row["state"], row["reason"]) for row in _steps(centre)] == [
        ("answered", None),
        ("refused", "foreign_answer"),
    ]


def test_waits_are_never_longer_than_the_most(centre: Centre) -> None:
    patience = Patience.of(centre.settings.centre)
    assert patience.wait(1_000_000) == timedelta(minutes=5)


_CODE_ONLY = UploadReceipt(schema_kind="upload_receipt", header=Header(segment="9", error_code="SAMPLE001"))


@pytest.mark.parametrize("notice_first", [True, False])
@pytest.mark.parametrize(
    "beside", [ReturnedRequest(schema_kind="returned_request"), _CODE_ONLY], ids=["the request itself", "a bare code"]
)
def test_words_of_the_service_are_kept_in_either_order(centre: Centre, beside: Record, *, notice_first: bool) -> None:
    upload = _upload(centre)
    notice = ErrNotice(schema_kind="err_notice", text="（見本）形式が正しくありません。", encoding="utf-8")
    for record in (notice, beside) if notice_first else (beside, notice):
        _arrive(centre, upload.base_name, record, NOW, record.schema_kind)
    (only,) = _steps(centre)
    assert only["state"] == "refused"
    raw = Opener(centre.keyring).open("c1", request_context(only["request_id"]), only["sealed_message"])
    message = RequestMessage.model_validate_json(raw)
    assert (message.layer, message.text) == ("returned", "（見本）形式が正しくありません。")


def test_nothing_of_an_exchange_shows_in_a_repr(centre: Centre) -> None:
    upload = _upload(centre)
    event = store_file(centre, "r", _receipt(), kind=KIND, correlation=upload.base_name)
    consent = Consent(centre.settings, centre.keyring)
    with centre.store.transaction() as connection:
        facts = consent.gather(connection, [event])
        outcome = consent.decide(event, facts, NOW)
    assert NUMBER not in repr((facts, outcome))


@pytest.mark.postgresql
def test_an_exchange_says_the_same_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    settings = make_settings(tmp_path)
    centre = Centre(settings, make_keyring(tmp_path, settings, NOW), make_store(postgresql_url))
    upload = _upload(centre)
    for name in ("one", "two"):
        _arrive(centre, upload.base_name, _receipt(upload.arbitrary_file_identifier), NOW, name)
    download = _open(centre, _steps(centre)[1]).base_name
    _arrive(centre, download, _download_answer("2"))
    assert [(row["phase"], row["attempt"], row["state"]) for row in _steps(centre)] == [
        ("01", 1, "answered"),
        ("02", 1, "answered"),
        ("02", 2, "wanted"),
    ]
    last = _steps(centre)[-1]["request_id"]
    with centre.store.transaction() as connection:
        assert take_back(connection, last, NOW)
        assert not take_back(connection, last, NOW)
    centre.store.close()
