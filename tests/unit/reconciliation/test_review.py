"""What may a person decide, and does the machine leave it alone?"""

from typing import Any

import pytest

from consumers.reconciliation.review import Decision, ReviewError, confirm, decision_context, reopen
from pipeline.custody import FileOutcome
from pipeline.events import RecordParsed, RecordReconciled
from pipeline.oqs.names import MessageKind
from pipeline.sealing import Opener
from pipeline.storage.schema import decisions
from tests.unit.reconciliation.desk import BASE, NOW, Desk, face, medication, result
from tests.unit.reconciliation.people import row

BY = Decision("s1", "本人に確認した", NOW)
STRANGER = row(patient_id="1", birthdate="1970-01-01", kana="レイジ", name="例示", insurer_number="06888888")


def _confirm(desk: Desk, target: str, patient_id: str | None = None) -> RecordReconciled:
    with desk.centre.store.transaction() as connection:
        return confirm(connection, desk.centre.keyring, target, BY, patient_id)


def _reopen(desk: Desk, target: str) -> RecordReconciled:
    with desk.centre.store.transaction() as connection:
        return reopen(connection, desk.centre.keyring, target, BY)


@pytest.fixture
def unmatched(desk: Desk) -> RecordParsed:
    desk.take_list(STRANGER)
    event = desk.file("a", face())
    desk.handle(event)
    return event


def test_a_confirmed_patient_is_written_with_who_and_why_under_the_next_revision(
    desk: Desk, unmatched: RecordParsed
) -> None:
    event = _confirm(desk, unmatched.file_id, "1")
    held, decision = desk.result(unmatched), desk.centre.row(decisions)
    assert (event.revision, event.needs_review) == (2, False)
    assert (held["confirmed_by"], held["confirmed_at"], held["state"]) == ("s1", NOW, "closed")
    assert not held["needs_review"]
    assert desk.detail(unmatched).patient_id == "1"
    assert (decision["action"], decision["staff"]) == ("confirm", "s1")
    context = decision_context(decision["decision_id"])
    assert Opener(desk.centre.keyring).open("c1", context, decision["sealed_reason"]).decode() == BY.reason
    assert desk.stored(unmatched)["revision"] == 2


def test_what_was_confirmed_is_never_decided_again_by_a_new_list(desk: Desk, unmatched: RecordParsed) -> None:
    _confirm(desk, unmatched.file_id, "1")
    desk.take_list(row(), STRANGER, hours=1)
    assert desk.due() == []
    assert desk.detail(unmatched).patient_id == "1"


def test_what_was_reopened_is_decided_by_the_machine_again(desk: Desk, unmatched: RecordParsed) -> None:
    _confirm(desk, unmatched.file_id, "1")
    event = _reopen(desk, unmatched.file_id)
    held = desk.result(unmatched)
    assert event.revision == 3
    assert (held["verdicts"], held["state"], held["confirmed_by"]) == ("new_patient", "open", None)
    assert desk.detail(unmatched).patient_id is None


def test_a_match_that_a_person_doubts_stays_undecided_under_every_list(desk: Desk) -> None:
    desk.take_list(row())
    event = desk.file("a", face())
    desk.handle(event)
    assert _reopen(desk, event.file_id).needs_review
    desk.take_list(row(), row(**{**STRANGER.model_dump(), "patient_id": "2"}), hours=1)
    assert desk.due() == []
    assert desk.detail(event).patient_id is None
    assert desk.detail(event).candidates == ("10234",)
    _confirm(desk, event.file_id, "10234")
    _reopen(desk, event.file_id)
    assert desk.detail(event).patient_id is None


def test_one_of_several_results_is_confirmed_by_its_number(desk: Desk) -> None:
    desk.take_list(STRANGER)
    twins = (result(), result(branch_number="01", name_kana="ﾐﾎﾝ ﾂｷｺ", name="見本　月子"))
    event = desk.file("a", face(*twins, validity="5"))
    desk.handle(event)
    reconciled = _confirm(desk, f"{event.file_id}#1", "1")
    assert reconciled.needs_review
    assert desk.detail(event, 0).patient_id is None
    assert desk.detail(event, 1).patient_id == "1"


def _two(desk: Desk) -> str:
    event = desk.file("two", face(result(), result(branch_number="01"), validity="5"))
    desk.handle(event)
    return event.file_id


def _foreign(desk: Desk) -> str:
    desk.asked()
    event = desk.file("f", medication(identifier="x"), kind=MessageKind.MEDICATION, correlation=BASE)
    desk.handle(event)
    return event.file_id


def _rejected(desk: Desk) -> str:
    return desk.file("r", face(), outcome=FileOutcome.REJECTED).file_id


@pytest.mark.parametrize(
    ("target", "patient_id", "reason"),
    [
        pytest.param(lambda _: "nothing", "1", "unknown_file", id="no such file"),
        pytest.param(_two, "1", "which_result", id="several results and none named"),
        pytest.param(lambda desk: _two(desk) + "#7", "1", "unknown_result", id="no such result"),
        pytest.param(lambda desk: _two(desk) + "#0", "98765", "not_on_list", id="no such patient"),
        pytest.param(lambda desk: _two(desk) + "#0", None, "patient_needed", id="nobody named"),
        pytest.param(_foreign, "1", "foreign_answer", id="another person's answer"),
        pytest.param(_rejected, "1", "rejected", id="a rejected file"),
    ],
)
def test_a_decision_that_cannot_be_taken_says_why_and_writes_nothing(
    desk: Desk, target: Any, patient_id: str | None, reason: str
) -> None:
    desk.take_list(STRANGER)
    with pytest.raises(ReviewError) as refused:
        _confirm(desk, target(desk), patient_id)
    assert refused.value.reason == reason
    assert desk.centre.rows(decisions) == []


def test_a_result_that_waits_for_a_list_cannot_be_confirmed(desk: Desk) -> None:
    event = desk.file("a", face())
    desk.handle(event)
    with pytest.raises(ReviewError, match="not_reconciled"):
        _confirm(desk, event.file_id, "1")


def test_a_decision_shows_no_reason() -> None:
    assert BY.reason not in repr(BY)
