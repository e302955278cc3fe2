from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from pipeline.oqs.answers import Layer, answer_of, people
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind, Phase, parse_name, request_name, response_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import (
    BulkEligibilityRecord,
    BulkRegistrationRecord,
    CheckupRecord,
    ConsentWithdrawalRecord,
    EligibilityRecord,
    ErrNotice,
    MedicationRecord,
    PdfDocument,
    Record,
    RegistrationRecord,
    ReturnedRequest,
    UploadReceipt,
)
from pipeline.oqs.requests import read_request
from pipeline.oqs.times import format_day
from producers.simulator.cases import Case
from producers.simulator.desk import MAX_MONTHS, months_of
from producers.simulator.people import Person
from producers.simulator.terminal import Folders, SimulatedTerminal
from producers.simulator.visits import Visit
from tests.support.eventually import eventually

Make = Callable[..., SimulatedTerminal]
Fields = list[tuple[str, Any]]


class Settable(Protocol):
    def pass_by(self, span: timedelta) -> None: ...


def _xml(fields: Fields) -> str:
    return "".join(
        f"<{tag}>{value if isinstance(value, str) else _xml(value)}</{tag}>" for tag, value in fields if value
    )


class Desk:
    """Puts requests into `req` and reads the answers."""

    def __init__(self, terminal: SimulatedTerminal, folders: Folders) -> None:
        self.terminal = terminal
        self.folders = folders
        self._serial = 0

    def put(self, kind: MessageKind, header: Fields, body: Fields, phase: Phase = "01") -> Path:
        self._serial += 1
        name = request_name(kind, phase, f"20260512{self._serial:08d}")
        head = [("MedicalInstitutionCode", "9919000011"), *header, ("ArbitraryFileIdentifier", f"A{self._serial}")]
        text = f"<XmlMsg><MessageHeader>{_xml(head)}</MessageHeader><MessageBody>{_xml(body)}</MessageBody></XmlMsg>"
        path = self.folders.req / name
        path.write_text(text, encoding="utf-8")
        return path

    def ask(self, kind: MessageKind, header: Fields, body: Fields, phase: Phase = "01") -> Record:
        path = self.put(kind, header, body, phase)
        assert self.terminal.service.poll() == 1
        assert not path.exists()
        base = response_name(path.name).removesuffix(".xml")
        (answer,) = [found for found in self.folders.res.iterdir() if found.stem == base]
        return _read(answer)

    def ask_history(self, kind: MessageKind, person: Person, category: str, start: str = "202604") -> Record:
        period = [("StartDate", start), ("EndDate", "999999")] if kind is MessageKind.MEDICATION else []
        return self.ask(kind, _named(person), [*period, ("FileCategory", category), ("PrDiInfClassification", "1")])


def _read(path: Path) -> Record:
    name = parse_name(path.name)
    assert name is not None
    return parse(name, path.read_bytes())


def _named(person: Person) -> Fields:
    one = person.coverage
    return [
        ("InsurerNumber", one.insurer.number),
        ("InsuranceCardSymbol", one.symbol),
        ("InsuredPersonIdentificationNumber", one.number),
        ("BranchNumber", one.branch_number),
    ]


def _search(person: Person, *, branch: bool = True, **changes: str) -> Fields:
    one = person.coverage
    fields = {
        "InsurerNumber": one.insurer.number,
        "InsuredCardSymbol": one.symbol,
        "InsuredIdentificationNumber": one.number,
        "InsuredBranchNumber": one.branch_number if branch else "",
        "Birthdate": format_day(person.birthdate),
        "LimitApplicationCertificateRelatedConsFlg": "1",
    }
    return [("QualificationConfirmSearchInfo", list((fields | changes).items()))]


def _registration(person: Person, number: str, *, branch: bool = True) -> Fields:
    (_, fields), *_ = _search(person, branch=branch, Birthdate="", LimitApplicationCertificateRelatedConsFlg="")
    return [("ReferenceNumberRegistrationInfo", [("ReferenceNumber", number), *fields])]


@pytest.fixture
def terminal(terminal_of: Make) -> SimulatedTerminal:
    return terminal_of(count=120)


@pytest.fixture
def desk(terminal: SimulatedTerminal, folders: Folders) -> Desk:
    return Desk(terminal, folders)


def _visit(terminal: SimulatedTerminal, case: Case) -> Visit:
    return next(visit for visit in terminal.visits if visit.case is case)


def _consented(terminal: SimulatedTerminal) -> Person:
    visit = _visit(terminal, Case.CONSENTS_2025)
    terminal.write_face(visit)
    return visit.person


def test_card_query_finds_the_person_with_the_certificate(desk: Desk) -> None:
    person = _visit(desk.terminal, Case.LIMIT_CERTIFICATE_MISMATCH).person
    record = desk.ask(MessageKind.ELIGIBILITY, [], _search(person))
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
    record = desk.ask(MessageKind.ELIGIBILITY, [], _search(person, InsuredIdentificationNumber="000"))
    assert isinstance(record, EligibilityRecord)
    assert (record.validity, record.results) == ("4", ())


def test_twins_without_branch_number_are_several(desk: Desk) -> None:
    person = _visit(desk.terminal, Case.TWINS).person
    record = desk.ask(MessageKind.ELIGIBILITY, [], _search(person, branch=False))
    assert isinstance(record, EligibilityRecord)
    assert (record.validity, len(record.results)) == ("5", 2)


def test_impossible_birthdate_is_an_error_of_the_person(desk: Desk) -> None:
    record = desk.ask(MessageKind.ELIGIBILITY, [], _search(desk.terminal.visits[0].person, Birthdate="20010230"))
    assert answer_of(record).layer is Layer.PERSON_ERROR


def test_unreadable_request_comes_back_with_a_notice(desk: Desk) -> None:
    path = desk.put(MessageKind.ELIGIBILITY, [], [])
    path.write_bytes(b"<XmlMsg><MessageHeader>")
    desk.terminal.service.poll()
    back, notice = desk.folders.res / path.name, desk.folders.res / (path.stem + ".err")
    assert back.read_bytes() == b"<XmlMsg><MessageHeader>"
    assert isinstance(_read(back), ReturnedRequest)
    assert isinstance(_read(notice), ErrNotice)


def test_request_of_another_institution_comes_back(desk: Desk) -> None:
    path = desk.put(MessageKind.ELIGIBILITY, [], _search(desk.terminal.visits[0].person))
    path.write_text(path.read_text(encoding="utf-8").replace("9919000011", "9919000099"), encoding="utf-8")
    desk.terminal.service.poll()
    assert {found.suffix for found in desk.folders.res.iterdir()} == {".xml", ".err"}
    assert (desk.folders.res / path.name).exists()


def test_foreign_and_temporary_names_are_left_alone(desk: Desk) -> None:
    for name in ("OQSsiquc01req_202605120001.tmp", "EPSsiDMP01req_202605120001.xml", "del1.txt"):
        (desk.folders.req / name).write_text("x")
    assert desk.terminal.service.poll() == 0
    assert len(list(desk.folders.req.iterdir())) == 3


def test_medication_is_told_while_the_consent_lasts(desk: Desk, clock: Settable) -> None:
    person = _consented(desk.terminal)
    record = desk.ask_history(MessageKind.MEDICATION, person, "4", start="202508")
    assert isinstance(record, MedicationRecord)
    assert answer_of(record).layer is Layer.OK
    assert record.header.subject is not None
    assert record.header.subject.name == person.name
    assert record.months
    assert record.prescribed
    assert record.dispensed
    assert any(day.treatments for month in record.months for day in month.days)
    assert (record.unknown, record.duplicates) == ((), ())
    clock.pass_by(timedelta(hours=24))
    late = desk.ask_history(MessageKind.MEDICATION, person, "4")
    assert isinstance(late, MedicationRecord)
    assert (late.header.result_code, late.months) == ("9", ())
    assert late.header.message_contents


def test_medication_without_consent_is_refused_with_a_text(desk: Desk) -> None:
    visit = _visit(desk.terminal, Case.ALL_REFUSED)
    desk.terminal.write_face(visit)
    record = desk.ask_history(MessageKind.MEDICATION, visit.person, "2")
    assert answer_of(record).layer is Layer.MESSAGE_ERROR
    assert answer_of(record).message


def test_later_refusal_at_the_reader_ends_the_consent(desk: Desk) -> None:
    visit = _visit(desk.terminal, Case.CONSENTS_2025)
    desk.terminal.write_face(visit)
    coverage = visit.person.coverage
    assert desk.terminal.register.granted_until(coverage, ConsentCategory.MEDICATION) is not None
    for category in visit.consents:
        visit.consents[category] = False
    desk.terminal.write_face(visit)
    assert desk.terminal.register.granted_until(coverage, ConsentCategory.MEDICATION) is None


def test_vendor_spelling_gives_no_consent(desk: Desk) -> None:
    visit = _visit(desk.terminal, Case.VENDOR_SPELLING)
    desk.terminal.write_face(visit)
    record = desk.ask_history(MessageKind.MEDICATION, visit.person, "2")
    assert answer_of(record).layer is Layer.MESSAGE_ERROR


@pytest.mark.parametrize("kind", [MessageKind.MEDICATION, MessageKind.CHECKUP])
def test_pdf_is_given_when_asked_and_an_xml_when_refused(desk: Desk, kind: MessageKind) -> None:
    person = _consented(desk.terminal)
    assert isinstance(desk.ask_history(kind, person, "1"), PdfDocument)
    refused = desk.ask_history(kind, _visit(desk.terminal, Case.ALL_REFUSED).person, "1")
    assert answer_of(refused).layer is Layer.MESSAGE_ERROR


def test_checkups_are_told(desk: Desk) -> None:
    record = desk.ask_history(MessageKind.CHECKUP, _consented(desk.terminal), "2")
    assert isinstance(record, CheckupRecord)
    assert [checkup.day[:4] for checkup in record.checkups if checkup.day] == ["2025", "2024"]
    assert record.checkups[0].items[0].unit == "mmHg"


@pytest.mark.parametrize(
    ("start", "end", "count"),
    [
        ("202604", "999999", 2),
        ("202605", "202605", 1),
        ("202108", "202201", 0),
        ("202606", "999999", 0),
        ("202201", "202412", MAX_MONTHS),
        ("202201", "202501", 0),
        (None, "202501", 0),
    ],
)
def test_period_is_held_to_the_rules(start: str | None, end: str, count: int, clock: Any) -> None:
    request = ReturnedRequest(schema_kind="returned_request", start=start, end=end)
    assert len(months_of(request, clock.now().date())) == count


def test_registered_number_comes_back_with_the_next_answer(desk: Desk) -> None:
    person = _visit(desk.terminal, Case.INSURANCE_MISMATCH).person
    before = desk.ask(MessageKind.ELIGIBILITY, [], _search(person))
    assert "K777" not in people(before)[0].reference_numbers
    done = desk.ask(MessageKind.REGISTRATION, [], _registration(person, "K777"))
    assert isinstance(done, RegistrationRecord)
    assert answer_of(done).layer is Layer.OK
    record = desk.ask(MessageKind.ELIGIBILITY, [], _search(person))
    assert people(record)[0].reference_numbers == ("K777",)


def test_registration_without_branch_number_is_refused(desk: Desk) -> None:
    person = _visit(desk.terminal, Case.INSURANCE_MISMATCH).person
    refused = desk.ask(MessageKind.REGISTRATION, [], _registration(person, "K777", branch=False))
    assert answer_of(refused).layer is Layer.PERSON_ERROR


@pytest.mark.parametrize(("count", "extension"), [(0, ".err"), (300, ".xml"), (301, ".err")])
def test_a_bulk_request_of_more_than_three_hundred_or_of_none_comes_back(
    desk: Desk, count: int, extension: str
) -> None:
    person = _visit(desk.terminal, Case.MATCH).person
    path = desk.put(MessageKind.BULK_ELIGIBILITY, [], _search(person) * count)
    desk.terminal.service.poll()
    assert extension in {found.suffix for found in desk.folders.res.iterdir()}
    assert (path.stem + ".err" in {found.name for found in desk.folders.res.iterdir()}) is (extension == ".err")


def _bulk(desk: Desk, kind: MessageKind, body: Fields) -> tuple[Record, Record]:
    """Ask at once and again when it is ready."""
    receipt = desk.ask(kind, [], body)
    assert isinstance(receipt, UploadReceipt)
    again: Fields = [("ReceptionNumber", receipt.reception_number)]
    return desk.ask(kind, [], again, "02"), _later(desk, kind, again)


def _later(desk: Desk, kind: MessageKind, body: Fields) -> Record:
    desk.terminal._clock.pass_by(timedelta(seconds=3))  # type: ignore[attr-defined]
    return desk.ask(kind, [], body, "02")


@pytest.mark.parametrize("zips", [True, False])
def test_booking_query_is_in_work_and_then_answered(desk: Desk, zips: bool) -> None:  # noqa: FBT001
    desk.terminal.behaviour.zips_bulk = zips
    known = desk.terminal.visits[0].person
    body = _search(known) + _search(known, InsuredIdentificationNumber="000") + _search(known, Birthdate="20010230")
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
        _registration(person, "K1") + _registration(person, "K2", branch=False),
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


def test_withdrawn_consent_is_not_told_again(desk: Desk) -> None:
    person = desk.terminal.register.visitors[0].person
    assert answer_of(desk.ask(MessageKind.VISIT, [], _search(person))).layer is Layer.OK
    (_, fields), *_ = _search(person, LimitApplicationCertificateRelatedConsFlg="", MedicalTreatmentFlag="2")
    done = desk.ask(MessageKind.WITHDRAWAL, [], [("ConsentCancelInfo", fields)])
    assert isinstance(done, ConsentWithdrawalRecord)
    assert answer_of(done).layer is Layer.OK
    after = desk.ask(MessageKind.VISIT, [], _search(person))
    assert answer_of(after).layer is Layer.NEGATIVE_VALIDITY


@pytest.mark.parametrize("kind", [MessageKind.ELIGIBILITY, MessageKind.MEDICATION])
def test_service_told_to_fail_fails(desk: Desk, kind: MessageKind) -> None:
    desk.terminal.behaviour.fails = frozenset({kind})
    record = desk.ask(kind, [], _search(desk.terminal.visits[0].person) if kind is MessageKind.ELIGIBILITY else [])
    assert answer_of(record).layer is Layer.MESSAGE_ERROR


def test_delayed_answer_comes_when_its_time_is_there(desk: Desk, clock: Settable) -> None:
    desk.terminal.behaviour.answer_after = timedelta(seconds=10)
    desk.put(MessageKind.ELIGIBILITY, [], _search(desk.terminal.visits[0].person))
    assert desk.terminal.service.poll() == 1
    clock.pass_by(timedelta(seconds=9))
    desk.terminal.service.poll()
    assert list(desk.folders.res.iterdir()) == []
    clock.pass_by(timedelta(seconds=1))
    desk.terminal.service.poll()
    assert len(list(desk.folders.res.iterdir())) == 1


def test_silent_service_takes_and_never_answers_but_remembers(desk: Desk) -> None:
    desk.terminal.behaviour.is_silent = True
    path = desk.put(MessageKind.ELIGIBILITY, [], _search(desk.terminal.visits[0].person))
    desk.terminal.service.poll()
    assert list(desk.folders.res.iterdir()) == []
    (asked,) = desk.terminal.service.asked
    assert (asked.name.base_name, asked.replies) == (path.stem, ())
    assert asked.request is not None
    assert asked.request.searches


def test_serving_answers_on_its_own(desk: Desk) -> None:
    with desk.terminal.serving() as service:
        desk.put(MessageKind.ELIGIBILITY, [], _search(desk.terminal.visits[0].person))
        eventually(lambda: any(desk.folders.res.iterdir()))
    assert len(service.asked) == 1


def test_everything_holds_every_kind_and_is_read(desk: Desk) -> None:
    desk.terminal.write_every_kind()
    records = [_read(desk.folders.res / one.name) for one in desk.terminal.written]
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
    person = _consented(desk.terminal)
    path = desk.put(MessageKind.CHECKUP, _named(person), [("FileCategory", "2")])
    # The same file is one that the core's strict reader accepts, so that both sides mean the same request.
    read_request(MessageKind.CHECKUP, path.read_bytes())
    desk.terminal.service.poll()
    assert isinstance(_read(desk.folders.res / response_name(path.name)), CheckupRecord)
