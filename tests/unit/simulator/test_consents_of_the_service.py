from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from pipeline.oqs.eligibility import ConsentCategory
from pipeline.oqs.names import MessageKind, request_name
from producers.simulator.cases import Case
from producers.simulator.entitlements import Entitlement, entitlement_used, entitlements, months_before
from producers.simulator.mixture import LATE, NEARLY_LATE
from producers.simulator.run import prepare
from producers.simulator.terminal import Folders, SimulatedTerminal
from producers.simulator.visits import Visit
from tests.unit.simulator.conftest import INSTITUTION, SetClock

Make = Callable[..., SimulatedTerminal]


def _mixed(folders: Folders, clock: SetClock, count: int = 90) -> SimulatedTerminal:
    return prepare(folders, count=count, seed=3, institution_code=INSTITUTION, clock=clock, has_mixed_consents=True)


def _ask(folders: Folders, visit: Visit, serial: int, category: str = "2") -> Path:
    coverage = visit.person.coverage
    head = {
        "MedicalInstitutionCode": INSTITUTION,
        "InsurerNumber": coverage.insurer.number,
        "InsuranceCardSymbol": coverage.symbol,
        "InsuredPersonIdentificationNumber": coverage.number,
        "BranchNumber": coverage.branch_number,
        "ArbitraryFileIdentifier": f"A{serial}",
    }
    body = {"StartDate": "202604", "EndDate": "202604", "FileCategory": category, "PrDiInfClassification": "0"}
    told = ["".join(f"<{tag}>{text}</{tag}>" for tag, text in part.items() if text) for part in (head, body)]
    path = folders.req / request_name(MessageKind.MEDICATION, "01", f"20260512{serial:08d}")
    path.write_text(
        f"<XmlMsg><MessageHeader>{told[0]}</MessageHeader><MessageBody>{told[1]}</MessageBody></XmlMsg>",
        encoding="utf-8",
    )
    return path


def _plain(terminal: SimulatedTerminal, age: timedelta) -> Visit:
    return next(
        visit
        for visit in terminal.visits
        if visit.case is Case.MATCH and visit.age == age and visit.consents.get(ConsentCategory.MEDICATION)
    )


def test_mixed_consents_have_every_shape_and_no_late_medical_ticket(folders: Folders, clock: SetClock) -> None:
    visits = _mixed(folders, clock).visits
    shapes = {
        tuple(visit.consents.get(one) for one in (ConsentCategory.MEDICATION, ConsentCategory.CHECKUP))
        for visit in visits
    }
    assert shapes >= {(True, True), (True, False), (False, True), (False, False), (None, True)}
    assert {visit.age for visit in visits} == {timedelta(0), LATE, NEARLY_LATE}
    aided = [visit for visit in visits if any(one.is_medical_aid for one in visit.person.coverages)]
    assert aided
    assert {visit.age for visit in aided} == {timedelta(0)}


def test_late_face_file_tells_of_a_consent_that_the_service_ends_when_the_file_says(
    folders: Folders, clock: SetClock
) -> None:
    terminal = _mixed(folders, clock)
    late, nearly = _plain(terminal, LATE), _plain(terminal, NEARLY_LATE)
    for number, (visit, seconds, said) in enumerate(
        [(late, 0, "SAMPLE007"), (nearly, 84, "<ResultCode>1<"), (nearly, 1, "SAMPLE007")]
    ):
        if seconds != 1:
            terminal.write_face(visit)
        clock.pass_by(timedelta(seconds=seconds))
        _ask(folders, visit, number)
        terminal.service.poll()
        (name,) = terminal.service.asked[-1].replies
        assert said in (folders.res / name).read_text(encoding="utf-8")


def test_service_notes_the_consents_behind_a_request_and_when_they_end(folders: Folders, clock: SetClock) -> None:
    terminal = _mixed(folders, clock)
    visit = next(
        visit
        for visit in terminal.visits
        if visit.case is Case.MATCH
        and visit.age == timedelta(0)
        and visit.consents.get(ConsentCategory.DIAGNOSIS)
        and visit.consents.get(ConsentCategory.MEDICATION)
    )
    terminal.write_face(visit)
    until = clock.now() + timedelta(hours=24)
    for serial, category in enumerate("24"):
        _ask(folders, visit, serial, category)
        terminal.service.poll()
    without, having = terminal.service.asked
    assert without.consents == {ConsentCategory.MEDICATION: until}
    assert having.consents == {ConsentCategory.MEDICATION: until, ConsentCategory.DIAGNOSIS: until}


def test_what_a_request_used_is_what_its_patient_consented_to(folders: Folders, clock: SetClock) -> None:
    terminal = _mixed(folders, clock)
    visit = _plain(terminal, timedelta(0))
    terminal.write_face(visit)
    _ask(folders, visit, 1, "4" if visit.consents.get(ConsentCategory.DIAGNOSIS) else "2")
    terminal.service.poll()
    months = months_before(clock.now(), 2)
    assert months == ["202603", "202604"]
    allowed = list(entitlements(visit, months))
    assert entitlement_used(terminal.service.asked[-1]) in allowed
    assert [one.month for one in allowed if one.kind is MessageKind.MEDICATION] == months


def test_nothing_is_to_be_asked_for_who_is_not_insured_or_proved_no_consent(folders: Folders, clock: SetClock) -> None:
    none: list[Entitlement] = [
        one
        for visit in _mixed(folders, clock).visits
        if visit.case in (Case.INELIGIBLE, Case.TWINS, Case.VENDOR_SPELLING, Case.SERVICE_ERROR, Case.MEDICAL_AID)
        for one in entitlements(visit, ["202604"])
    ]
    assert none == []


def test_answers_overtake_one_another_when_they_take_their_time(folders: Folders, clock: SetClock) -> None:
    terminal = _mixed(folders, clock)
    terminal.behaviour.answer_within = timedelta(seconds=10)
    visit = _plain(terminal, timedelta(0))
    terminal.write_face(visit)
    for serial in range(6):
        _ask(folders, visit, serial)
    terminal.service.poll()
    order: list[str] = []
    for _ in range(100):
        clock.pass_by(timedelta(seconds=0.1))
        terminal.service.poll()
        order += sorted({path.name for path in folders.res.iterdir()} - set(order))
    assert sorted(order) != order
    assert len(order) == 6
