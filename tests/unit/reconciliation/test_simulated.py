"""Do the simulator's visits get the verdicts they were made for, against the whole chart?"""

from datetime import UTC, datetime

import pytest

from consumers.reconciliation.chart import patients_of
from consumers.reconciliation.decision import Case, decide_file
from consumers.reconciliation.subject import entries
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from producers.simulator import cases
from producers.simulator.chance import chance
from producers.simulator.face_file import face_name, render_face
from producers.simulator.markup import hash_order
from producers.simulator.people import Population
from producers.simulator.visits import Visit, visits_of

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
CODE = "9919000011"
VISITS = visits_of(Population(7, 160, CODE, NOW.date()))
CHART = patients_of(row for visit in VISITS for row in visit.chart)
BY_CASE = {case: [visit for visit in VISITS if visit.case is case] for case in cases.Case}


@pytest.mark.parametrize("case", [case for case, visits in BY_CASE.items() if visits])
def test_a_simulated_case_gets_its_verdict(case: cases.Case) -> None:
    for visit in BY_CASE[case]:
        _check(visit)


def _check(visit: Visit) -> None:
    die = chance(7, "render", visit.at)
    name = parse_name(face_name(CODE, NOW, die))
    assert name is not None
    record = parse(name, render_face(visit, CODE, NOW, die, hash_order(7)))
    decided = decide_file(Case(entries(record), CHART))
    assert isinstance(decided, tuple)
    assert cases.agrees(visit.case, [row.verdicts for row in decided]), [row.verdicts for row in decided]
    assert decided[0].detail.patient_id == visit.patient_id
    assert any(row.needs_review for row in decided) is cases.needs_review(visit.case)
