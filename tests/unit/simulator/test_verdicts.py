from collections.abc import Callable

from consumers.reconciliation.chart import patients_of
from consumers.reconciliation.decision import Case as Facts
from consumers.reconciliation.decision import Foreign, decide_file
from consumers.reconciliation.subject import entries
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from producers.simulator.cases import Case, agrees, needs_review
from producers.simulator.terminal import Folders, SimulatedTerminal


def test_each_case_gets_the_verdict_it_was_planned_for(
    terminal_of: Callable[..., SimulatedTerminal], folders: Folders
) -> None:
    terminal = terminal_of(count=120, seed=8)
    terminal.write_faces()
    patients = patients_of([row for visit in terminal.visits for row in visit.chart])
    seen: set[Case] = set()
    for written in terminal.written:
        name, case = parse_name(written.name), written.case
        assert name is not None
        assert case is not None
        decided = decide_file(Facts(entries(parse(name, (folders.face / written.name).read_bytes())), patients))
        assert not isinstance(decided, Foreign)
        verdicts = [[str(verdict) for verdict in row.verdicts] for row in decided]
        assert agrees(case, verdicts), (case, verdicts)
        assert any(row.needs_review for row in decided) == needs_review(case), case
        assert decided[0].detail.patient_id == written.patient_id, case
        seen.add(case)
    assert seen == set(Case)
