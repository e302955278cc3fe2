"""Do the queries say the same to PostgreSQL?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.reconciliation.review import Decision, confirm
from pipeline import clinical_rows
from pipeline.clinical_rows import Clinical
from pipeline.oqs.names import MessageKind
from pipeline.storage.schema import clinical_answers, patients, requests, results
from tests.unit.reconciliation.desk import BASE, NOW, Desk, face, medication
from tests.unit.reconciliation.people import row

pytestmark = pytest.mark.postgresql


@pytest.fixture
def centre_desk(tmp_path: Path, postgresql_url: str) -> Iterator[Desk]:
    made = Desk(tmp_path, postgresql_url)
    yield made
    made.centre.store.close()


def test_a_day_of_lists_results_and_decisions(centre_desk: Desk) -> None:
    desk = centre_desk
    waiting = desk.file("a", face())
    desk.handle(waiting)
    others = [row(patient_id=str(at), number=str(at), birthdate="1970-01-01") for at in range(10)]
    assert [desk.handle(part).result for part in desk.parts(others, parts=2)][-1] == "patients_current"
    assert len(desk.due()) == 1
    assert desk.result(waiting)["verdicts"] == "new_patient"
    assert desk.take_list(*others[:3], hours=1) == "patients_refused_fall"
    assert desk.take_list(row(), *others, hours=2) == "patients_current"
    assert len(desk.due()) == 1
    assert desk.result(waiting)["verdicts"] == "match"
    desk.due()
    assert len(desk.centre.rows(patients)) == 11
    desk.asked()
    answer = desk.file("b", medication(identifier="other"), correlation=BASE)
    assert desk.handle(answer).result == "foreign_answer"
    with desk.centre.store.transaction() as connection:
        confirm(connection, desk.centre.keyring, waiting.file_id, Decision("s1", "known", NOW), "3")
    assert desk.detail(waiting).patient_id == "3"
    assert len(desk.centre.rows(results)) == 1
    history = desk.file("c", medication(), kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(history)
    (entered,) = desk.centre.rows(clinical_answers)
    assert (entered["file_id"], entered["request_id"]) == (history.file_id, desk.centre.row(requests)["request_id"])
    with desk.centre.store.reading() as connection:
        found = clinical_rows.answers_of(connection, "c1", entered["patient_hash"], tuple(Clinical))
    assert [answer.file_id for answer in found] == [history.file_id]
