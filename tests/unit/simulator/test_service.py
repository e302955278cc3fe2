"""What does the simulated service answer, when, and what does it send back?"""

from datetime import timedelta

import pytest

from pipeline.oqs.answers import Layer, answer_of, people
from pipeline.oqs.names import MessageKind, parse_name, response_name
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    CheckupRecord,
    ConsentWithdrawalRecord,
    EligibilityRecord,
    ErrNotice,
    MedicationRecord,
    PdfDocument,
    RegistrationRecord,
    ReturnedRequest,
    UploadReceipt,
)
from pipeline.oqs.requests import read_request
from producers.simulator.cases import Case
from tests.support.desk import Desk, Settable, consented, named, read, registration, search, visit_of
from tests.support.eventually import eventually


def test_card_query_finds_the_person_with_the_certificate(desk: Desk) -> None:
    person = visit_of(desk.terminal, Case.LIMIT_CERTIFICATE_MISMATCH).person
    record = desk.ask(MessageKind.ELIGIBILITY, [], search(person))
    assert isinstance(record, EligibilityRecord)
    assert answer_of(record).layer is Layer.OK
    assert record.results[0].name_kana is not None
    assert record.results[0].limit_certificate is not None
    assert record.results[0].consents == ()
    assert record.search is not None
    assert record.search.number == person.coverage.number
    assert record.header.arbitrary_file_identifier == "A1"


def test_unknown_person_has_no_coverage(desk: Desk) -> None:
    person = desk.terminal.visits[0].person
    record = desk.ask(MessageKind.ELIGIBILITY, [], search(person, InsuredIdentificationNumber="000"))
    assert isinstance(record, EligibilityRecord)
    assert (record.validity, record.results) == ("4", ())


def test_twins_without_branch_number_are_several(desk: Desk) -> None:
    person = visit_of(desk.terminal, Case.TWINS).person
    record = desk.ask(MessageKind.ELIGIBILITY, [], search(person, branch=False))
    assert isinstance(record, EligibilityRecord)
    assert (record.validity, len(record.results)) == ("5", 2)


def test_impossible_birthdate_is_an_error_of_the_person(desk: Desk) -> None:
    record = desk.ask(MessageKind.ELIGIBILITY, [], search(desk.terminal.visits[0].person, Birthdate="20010230"))
    assert answer_of(record).layer is Layer.PERSON_ERROR


def test_unreadable_request_comes_back_with_a_notice(desk: Desk) -> None:
    path = desk.put(MessageKind.ELIGIBILITY, [], [])
    path.write_bytes(b"<XmlMsg><MessageHeader>")
    desk.terminal.service.poll()
    back, notice = desk.folders.res / path.name, desk.folders.res / (path.stem + ".err")
    assert back.read_bytes() == b"<XmlMsg><MessageHeader>"
    assert isinstance(read(back), ReturnedRequest)
    assert isinstance(read(notice), ErrNotice)


def test_request_of_another_institution_comes_back(desk: Desk) -> None:
    path = desk.put(MessageKind.ELIGIBILITY, [], search(desk.terminal.visits[0].person))
    path.write_text(path.read_text(encoding="utf-8").replace("9919000011", "9919000099"), encoding="utf-8")
    desk.terminal.service.poll()
    assert {found.suffix for found in desk.folders.res.iterdir()} == {".xml", ".err"}
    assert (desk.folders.res / path.name).exists()


def test_foreign_and_temporary_names_are_left_alone(desk: Desk) -> None:
    for name in ("OQSsiquc01req_202605120001.tmp", "EPSsiDMP01req_202605120001.xml", "del1.txt"):
        (desk.folders.req / name).write_text("x")
    assert desk.terminal.service.poll() == 0
    assert len(list(desk.folders.req.iterdir())) == 3


def test_registered_number_comes_back_with_the_next_answer(desk: Desk) -> None:
    person = visit_of(desk.terminal, Case.INSURANCE_MISMATCH).person
    before = desk.ask(MessageKind.ELIGIBILITY, [], search(person))
    assert "K777" not in people(before)[0].reference_numbers
    done = desk.ask(MessageKind.REGISTRATION, [], registration(person, "K777"))
    assert isinstance(done, RegistrationRecord)
    assert answer_of(done).layer is Layer.OK
    record = desk.ask(MessageKind.ELIGIBILITY, [], search(person))
    assert people(record)[0].reference_numbers == ("K777",)


def test_registration_without_branch_number_is_refused(desk: Desk) -> None:
    person = visit_of(desk.terminal, Case.INSURANCE_MISMATCH).person
    refused = desk.ask(MessageKind.REGISTRATION, [], registration(person, "K777", branch=False))
    assert answer_of(refused).layer is Layer.PERSON_ERROR


def test_withdrawn_consent_is_not_told_again(desk: Desk) -> None:
    person = desk.terminal.register.visitors[0].person
    assert answer_of(desk.ask(MessageKind.VISIT, [], search(person))).layer is Layer.OK
    (_, fields), *_ = search(person, LimitApplicationCertificateRelatedConsFlg="", MedicalTreatmentFlag="2")
    done = desk.ask(MessageKind.WITHDRAWAL, [], [("ConsentCancelInfo", fields)])
    assert isinstance(done, ConsentWithdrawalRecord)
    assert answer_of(done).layer is Layer.OK
    after = desk.ask(MessageKind.VISIT, [], search(person))
    assert answer_of(after).layer is Layer.NEGATIVE_VALIDITY


@pytest.mark.parametrize("kind", [MessageKind.ELIGIBILITY, MessageKind.MEDICATION])
def test_service_told_to_fail_fails(desk: Desk, kind: MessageKind) -> None:
    desk.terminal.behaviour.fails = frozenset({kind})
    record = desk.ask(kind, [], search(desk.terminal.visits[0].person) if kind is MessageKind.ELIGIBILITY else [])
    assert answer_of(record).layer is Layer.MESSAGE_ERROR


def test_delayed_answer_comes_when_its_time_is_there(desk: Desk, clock: Settable) -> None:
    desk.terminal.behaviour.answer_after = timedelta(seconds=10)
    desk.put(MessageKind.ELIGIBILITY, [], search(desk.terminal.visits[0].person))
    assert desk.terminal.service.poll() == 1
    clock.pass_by(timedelta(seconds=9))
    desk.terminal.service.poll()
    assert list(desk.folders.res.iterdir()) == []
    clock.pass_by(timedelta(seconds=1))
    desk.terminal.service.poll()
    assert len(list(desk.folders.res.iterdir())) == 1


def test_silent_service_takes_and_never_answers_but_remembers(desk: Desk) -> None:
    desk.terminal.behaviour.is_silent = True
    path = desk.put(MessageKind.ELIGIBILITY, [], search(desk.terminal.visits[0].person))
    desk.terminal.service.poll()
    assert list(desk.folders.res.iterdir()) == []
    (asked,) = desk.terminal.service.asked
    assert (asked.name.base_name, asked.replies) == (path.stem, ())
    assert asked.request is not None
    assert asked.request.searches


def test_serving_answers_on_its_own(desk: Desk) -> None:
    with desk.terminal.serving() as service:
        desk.put(MessageKind.ELIGIBILITY, [], search(desk.terminal.visits[0].person))
        eventually(lambda: any(desk.folders.res.iterdir()))
    assert len(service.asked) == 1


def test_everything_holds_every_kind_and_is_read(desk: Desk) -> None:
    desk.terminal.write_every_kind()
    records = [read(desk.folders.res / one.name) for one in desk.terminal.written]
    kinds = {type(record) for record in records}
    assert kinds == {
        EligibilityRecord,
        BulkEligibilityRecord,
        UploadReceipt,
        RegistrationRecord,
        BulkRegistrationRecord,
        MedicationRecord,
        CheckupRecord,
        ConsentWithdrawalRecord,
        ReturnedRequest,
        ErrNotice,
        PdfDocument,
    }
    assert {answer_of(record).layer for record in records} == set(Layer)
    names = [parse_name(one.name) for one in desk.terminal.written]
    assert {name.kind for name in names if name} == set(MessageKind) - {MessageKind.FACE}
    assert {name.extension for name in names if name} == {".xml", ".pdf", ".zip", ".err"}


def test_requests_of_our_own_writer_are_understood(desk: Desk) -> None:
    person = consented(desk.terminal)
    path = desk.put(MessageKind.CHECKUP, named(person), [("FileCategory", "2")])
    # The same file is one that the core's strict reader accepts, so that both sides mean the same request.
    read_request(MessageKind.CHECKUP, path.read_bytes())
    desk.terminal.service.poll()
    assert isinstance(read(desk.folders.res / response_name(path.name)), CheckupRecord)
