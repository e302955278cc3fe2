"""The life of a reference number (照会番号), with the simulator's service at the other end."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from consumers.consent import asking
from consumers.consent.asking import Wanted
from consumers.consent.composing import compose
from consumers.consent.references import ledger, report
from consumers.consent.references.ledger import Write
from consumers.consent.references.report import Finding
from consumers.consent.references.state import ReferenceState
from consumers.reconciliation.review import Decision, confirm
from pipeline.booking_row import BookingRow
from pipeline.contents import record_context
from pipeline.oqs.answers import reception_number
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import parse_record_json
from pipeline.oqs.requests import DownloadHeader, DownloadRequest
from pipeline.sealing import Opener, Sealer
from pipeline.storage.schema import reference_numbers, requests
from producers.simulator import insurers
from producers.simulator.cases import Case
from producers.simulator.chart_rows import rows_of
from producers.simulator.people import Population
from producers.simulator.register import Register
from producers.simulator.visits import Visit, visits_of
from tests.support.line import CLINIC, CODE, NOW
from tests.support.service_line import ServiceLine, bookings_changed

PLAIN = [
    replace(visit, reference_number="")
    for visit in visits_of(Population(7, 160, CODE, NOW.date()))
    if visit.case is Case.MATCH and visit.person.coverage.branch_number and not visit.person.coverage.is_medical_aid
]
FIRST, SECOND = PLAIN[:2]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[ServiceLine]:
    made = ServiceLine(tmp_path, register=Register(PLAIN), institution={"references": {"enabled": True}})
    made.patients(*(row for visit in PLAIN for row in visit.chart))
    yield made
    made.centre.store.close()


def numbers(line: ServiceLine) -> list[dict[str, Any]]:
    return line.rows(reference_numbers)


def states(line: ServiceLine) -> list[tuple[str, str | None]]:
    return [(row["state"], row["reason"]) for row in numbers(line)]


def changed(visit: Visit) -> Visit:
    """The same person under another insurance."""
    other = next(one for one in insurers.SOCIETIES if one is not visit.person.coverage.insurer)
    person = visit.person.with_coverage(replace(visit.person.coverage, insurer=other, number="4711"))
    return replace(visit, people=(person,), chart=rows_of(person))


def download(line: ServiceLine, upload: dict[str, Any]) -> None:
    """Ask for the result of a bulk upload, unless its exchange has done so by itself."""
    if any(row["phase"] == "02" for row in line.rows(requests)):
        return
    keyring, opener = line.centre.keyring, Opener(line.centre.keyring)
    sealed = line.file(upload["answer_file_id"])["sealed_record"]
    receipt = parse_record_json(opener.open(CLINIC, record_context(upload["answer_file_id"]), sealed))
    reception = reception_number(receipt) or ""
    kind = MessageKind.BULK_REGISTRATION
    file = compose(
        lambda _: DownloadRequest(kind=kind, header=DownloadHeader(institution_code=CODE), reception_number=reception)
    )
    inquiry_id = upload["inquiry_id"]
    wanted = Wanted(CLINIC, "t1", kind.value, file, None, inquiry_id=inquiry_id, phase="02")
    with line.centre.store.transaction() as connection:
        asking.add(connection, keyring, wanted, timedelta(minutes=3), line.now)
    line.pass_to(line.now)


def test_a_number_is_registered_comes_back_and_is_registered_again_for_another_insurance(line: ServiceLine) -> None:
    line.visit(FIRST)
    assert line.register.reference_number(FIRST.person.coverage) == FIRST.person.patient_id
    assert states(line) == [("registered", None)]
    line.now += timedelta(hours=1)
    line.visit(FIRST)
    assert states(line) == [("verified", None)]
    moved = changed(FIRST)
    line.register._enter(moved)
    line.now += timedelta(days=1)
    line.patients(*moved.chart, *(row for visit in PLAIN[1:] for row in visit.chart))
    line.visit(moved)
    assert line.register.reference_number(moved.person.coverage) == FIRST.person.patient_id
    assert sorted(states(line)) == [("registered", None), ("verified", None)]
    line.now += timedelta(hours=1)
    line.visit(moved)
    assert states(line) == [("verified", None)] * 2
    asked = [row["kind"] for row in line.rows(requests) if not MessageKind(row["kind"]).is_history]
    assert asked == [MessageKind.REGISTRATION.value] * 2
    assert not line.parked


def test_a_wrong_number_is_reported_when_a_person_has_confirmed_and_registered_over_only_by_one(
    line: ServiceLine,
) -> None:
    line.register.assign(FIRST.person.coverage, "nobody")
    file_id = line.visit(FIRST)
    assert not numbers(line)
    said = Decision("s1", "looked at the card", line.now)
    with line.centre.store.transaction() as connection:
        event = confirm(connection, line.centre.keyring, f"{file_id}#0", said, FIRST.person.patient_id)
    line.run(event)
    assert states(line) == [("wrong", "other_number")]
    assert not line.asked
    keyring, today = line.centre.keyring, line.now.date()
    with line.centre.store.transaction() as connection:
        book = report.read(connection, keyring, Opener(keyring), CLINIC, today)
        (found,) = [one for one in report.lines(book) if one.finding is Finding.WRONG]
        assert found.reference.detail.carried == "nobody"
        assert found.reference not in report.of_everybody(book)
        made = [
            Write(own, ReferenceState.WANTED, CODE, "s1") for own in report.of_patient(book, FIRST.person.patient_id)
        ]
        ledger.write(connection, keyring, Sealer(), made, line.now)
    line.pass_to(line.now)
    assert states(line) == [("registered", None)]
    assert line.register.reference_number(FIRST.person.coverage) == FIRST.person.patient_id


def test_a_restart_between_asking_and_answer_registers_once(line: ServiceLine) -> None:
    line.is_answered = False
    line.visit(FIRST)
    assert states(line) == [("asked", None)]
    line.restart()
    line.pass_to(line.now)
    line.visit(FIRST, line.now - timedelta(minutes=1))
    assert len(line.rows(requests)) == 1


def test_a_request_without_an_answer_leaves_the_number_refused_for_a_person(line: ServiceLine) -> None:
    line.is_answered = False
    line.visit(FIRST)
    line.pass_to(line.now + timedelta(hours=1))
    assert states(line) == [("refused", "no_answer")]
    line.visit(FIRST)
    assert len(line.rows(requests)) == 1


def test_many_numbers_go_out_in_one_file_and_each_is_answered_by_itself(tmp_path: Path) -> None:
    several = PLAIN[:7]
    line = ServiceLine(
        tmp_path, register=Register(several[1:]), institution={"references": {"enabled": True, "at": "18:00"}}
    )
    line.patients(*(row for visit in several for row in visit.chart))
    for visit in several:
        line.visit(visit)
    assert {state for state, _ in states(line)} == {"wanted"}
    line.pass_to(NOW.replace(hour=9))
    (upload,) = [row for row in line.rows(requests) if row["phase"] == "01"]
    assert upload["kind"] == MessageKind.BULK_REGISTRATION.value
    assert {row["inquiry_id"] for row in numbers(line)} == {upload["inquiry_id"]}
    assert {state for state, _ in states(line)} == {"asked"}
    line.pass_to(line.now + timedelta(seconds=30))
    download(line, upload)
    assert sorted({state for state, _ in states(line)}) == ["refused", "registered"]
    (refused,) = [reason for state, reason in states(line) if state == "refused"]
    assert str(refused).startswith("service_refused SAMPLE")
    line.centre.store.close()


def test_a_clinic_that_is_not_configured_to_registers_nothing(tmp_path: Path) -> None:
    line = ServiceLine(tmp_path, register=Register(PLAIN))
    line.patients(*(row for visit in PLAIN for row in visit.chart))
    line.visit(FIRST)
    assert not numbers(line)
    line.centre.store.close()


def test_a_new_institution_code_registers_every_number_again(tmp_path: Path) -> None:
    days = [{"code": CODE, "to": "2026-05-31"}, {"code": "9919000029", "from": "2026-06-01"}]
    made = {"references": {"enabled": True}, "institution_codes": days}
    line = ServiceLine(tmp_path, register=Register(PLAIN), institution=made)
    line.patients(*(row for visit in PLAIN for row in visit.chart))
    line.visit(SECOND)
    assert [row["institution_code"] for row in numbers(line)] == [CODE]
    line.code = "9919000029"
    line.restart()
    line.pass_to(NOW + timedelta(days=31))
    assert [(row["state"], row["institution_code"]) for row in numbers(line)] == [("registered", "9919000029")]
    assert [request.header.institution_code for request in line.asked] == [CODE, "9919000029"]
    line.centre.store.close()


def test_the_store_may_be_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    made = {"references": {"enabled": True}, "bookings": {"path": tmp_path / "bookings.csv"}}
    line = ServiceLine(tmp_path, register=Register(PLAIN), institution=made, store_url=postgresql_url)
    line.patients(*(row for visit in PLAIN for row in visit.chart))
    line.visit(FIRST)
    line.now += timedelta(hours=1)
    line.visit(FIRST)
    assert states(line) == [("verified", None)]
    tomorrow = date(2026, 5, 13)
    for hour in (2, 1):
        number = SECOND.person.patient_id if hour == 1 else FIRST.person.patient_id
        line.run(bookings_changed(line, BookingRow(patient_id=number, day=tomorrow), at=NOW + timedelta(hours=hour)))
    line.pass_to(NOW.replace(hour=9))
    line.restart()
    line.pass_to(NOW.replace(hour=10))
    (booked,) = [request for request in line.asked if request.searches]
    assert [one.number for one in booked.searches] == [FIRST.person.coverage.number]
    line.centre.store.close()
