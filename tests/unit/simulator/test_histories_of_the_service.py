"""Which medication and checkups does the simulated service tell of, and under which consent?"""

from datetime import timedelta
from typing import Any

import pytest

from pipeline.oqs.answers import Layer, answer_of
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import (
    CheckupRecord,
    MedicationRecord,
    PdfDocument,
    ReturnedRequest,
)
from producers.simulator.cases import Case
from producers.simulator.desk import MAX_MONTHS, months_of
from tests.support.desk import Desk, Settable, consented, visit_of


def test_medication_is_told_while_the_consent_lasts(desk: Desk, clock: Settable) -> None:
    person = consented(desk.terminal)
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
    visit = visit_of(desk.terminal, Case.ALL_REFUSED)
    desk.terminal.write_face(visit)
    record = desk.ask_history(MessageKind.MEDICATION, visit.person, "2")
    assert answer_of(record).layer is Layer.MESSAGE_ERROR
    assert answer_of(record).message


def test_later_refusal_at_the_reader_ends_the_consent(desk: Desk) -> None:
    visit = visit_of(desk.terminal, Case.CONSENTS_2025)
    desk.terminal.write_face(visit)
    coverage = visit.person.coverage
    assert desk.terminal.register.granted_until(coverage, ConsentCategory.MEDICATION) is not None
    for category in visit.consents:
        visit.consents[category] = False
    desk.terminal.write_face(visit)
    assert desk.terminal.register.granted_until(coverage, ConsentCategory.MEDICATION) is None


def test_vendor_spelling_gives_no_consent(desk: Desk) -> None:
    visit = visit_of(desk.terminal, Case.VENDOR_SPELLING)
    desk.terminal.write_face(visit)
    record = desk.ask_history(MessageKind.MEDICATION, visit.person, "2")
    assert answer_of(record).layer is Layer.MESSAGE_ERROR


@pytest.mark.parametrize("kind", [MessageKind.MEDICATION, MessageKind.CHECKUP])
def test_pdf_is_given_when_asked_and_an_xml_when_refused(desk: Desk, kind: MessageKind) -> None:
    person = consented(desk.terminal)
    assert isinstance(desk.ask_history(kind, person, "1"), PdfDocument)
    refused = desk.ask_history(kind, visit_of(desk.terminal, Case.ALL_REFUSED).person, "1")
    assert answer_of(refused).layer is Layer.MESSAGE_ERROR


def test_checkups_are_told(desk: Desk) -> None:
    record = desk.ask_history(MessageKind.CHECKUP, consented(desk.terminal), "2")
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
