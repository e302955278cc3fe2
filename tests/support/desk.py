"""How does a test ask the simulated service: put a request into `req`, let it answer, and read the answer?"""

from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

from pipeline.oqs.names import MessageKind, Phase, parse_name, request_name, response_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import Record
from pipeline.oqs.times import format_day
from producers.simulator.cases import Case
from producers.simulator.people import Person
from producers.simulator.terminal import Folders, SimulatedTerminal
from producers.simulator.visits import Visit

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
        return read(answer)

    def ask_history(self, kind: MessageKind, person: Person, category: str, start: str = "202604") -> Record:
        period = [("StartDate", start), ("EndDate", "999999")] if kind is MessageKind.MEDICATION else []
        return self.ask(kind, named(person), [*period, ("FileCategory", category), ("PrDiInfClassification", "1")])


def read(path: Path) -> Record:
    name = parse_name(path.name)
    assert name is not None
    return parse(name, path.read_bytes())


def named(person: Person) -> Fields:
    one = person.coverage
    return [
        ("InsurerNumber", one.insurer.number),
        ("InsuranceCardSymbol", one.symbol),
        ("InsuredPersonIdentificationNumber", one.number),
        ("BranchNumber", one.branch_number),
    ]


def search(person: Person, *, branch: bool = True, **changes: str) -> Fields:
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


def registration(person: Person, number: str, *, branch: bool = True) -> Fields:
    (_, fields), *_ = search(person, branch=branch, Birthdate="", LimitApplicationCertificateRelatedConsFlg="")
    return [("ReferenceNumberRegistrationInfo", [("ReferenceNumber", number), *fields])]


def visit_of(terminal: SimulatedTerminal, case: Case) -> Visit:
    return next(visit for visit in terminal.visits if visit.case is case)


def consented(terminal: SimulatedTerminal) -> Person:
    visit = visit_of(terminal, Case.CONSENTS_2025)
    terminal.write_face(visit)
    return visit.person
