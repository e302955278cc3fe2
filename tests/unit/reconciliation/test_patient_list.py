"""Which list counts? A wrong or half a list would make strangers of patients."""

from itertools import permutations
from typing import Any

import pytest
from sqlalchemy import func, select

from consumers.reconciliation.patient_list import accept, remove_old_rows
from pipeline.contents import patients_context
from pipeline.errors import PermanentError
from pipeline.events import PatientsChanged
from pipeline.patient_row import PatientRow
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.schema import patient_hashes, patient_lists, patient_parts, patients
from tests.unit.reconciliation.desk import NOW, Desk, face
from tests.unit.reconciliation.people import row


def _rows(count: int) -> list[PatientRow]:
    return [row(patient_id=str(at), number=str(at)) for at in range(count)]


def _states(desk: Desk) -> dict[str, tuple[str, str | None]]:
    return {str(found["taken_at"]): (found["state"], found["reason"]) for found in desk.centre.rows(patient_lists)}


def _words(desk: Desk, *events: PatientsChanged) -> list[str]:
    return [desk.handle(event).result for event in events]


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_a_list_counts_when_its_last_part_is_there_in_any_order(desk: Desk, order: tuple[int, ...]) -> None:
    parts = desk.parts(_rows(7), parts=3)
    words = _words(desk, *(parts[at] for at in order))
    assert words == ["patients_arriving", "patients_arriving", "patients_current"]
    assert len(desk.centre.rows(patients)) == 7
    assert desk.centre.rows(patient_parts) == []


def test_a_part_that_comes_twice_counts_once(desk: Desk) -> None:
    first, second = desk.parts(_rows(4), parts=2)
    assert _words(desk, first, first, second, second) == [
        "patients_arriving",
        "nothing",
        "patients_current",
        "nothing",
    ]


def test_parts_of_two_lists_may_come_mixed_and_the_newest_wins(desk: Desk) -> None:
    old, new = desk.parts(_rows(4), parts=2, hours=1), desk.parts(_rows(5), parts=2, hours=2)
    assert _words(desk, old[0], new[0], new[1], old[1])[2:] == ["patients_current", "nothing"]
    assert sorted(state for state, _ in _states(desk).values()) == ["current", "replaced"]


def test_a_list_dated_ahead_of_us_does_not_shut_out_the_next_true_one(desk: Desk) -> None:
    assert _words(desk, *desk.parts(_rows(4), hours=999)) == ["patients_current"]
    assert _words(desk, *desk.parts(_rows(5), hours=24.01)) == ["patients_current"]


def test_an_older_list_that_comes_later_changes_nothing(desk: Desk) -> None:
    assert _words(desk, *desk.parts(_rows(5), hours=2), *desk.parts(_rows(6), hours=1)) == [
        "patients_current",
        "patients_replaced",
    ]


@pytest.mark.parametrize(
    ("count", "word"), [(10, "patients_current"), (8, "patients_current"), (7, "patients_refused_fall")]
)
def test_a_fall_of_more_than_a_fifth_keeps_the_old_list(desk: Desk, count: int, word: str) -> None:
    desk.take_list(*_rows(10))
    assert desk.take_list(*_rows(count), hours=1) == word
    current = [when for when, (state, _) in _states(desk).items() if state == "current"]
    assert len(current) == 1


def test_the_fall_is_counted_in_patients_not_in_rows(desk: Desk) -> None:
    desk.take_list(*_rows(10))
    few = [row(patient_id=str(at % 5), number=str(at)) for at in range(20)]
    assert desk.take_list(*few, hours=1) == "patients_refused_fall"


def test_patients_of_every_part_count(desk: Desk) -> None:
    desk.take_list(*_rows(10))
    assert _words(desk, *desk.parts(_rows(9), hours=1, parts=3))[-1] == "patients_current"


@pytest.mark.parametrize(
    ("rows", "changes", "word"),
    [
        pytest.param(_rows(3), {"rows": 4}, "patients_refused_incomplete", id="fewer rows than told"),
        pytest.param([], {}, "patients_refused_empty", id="an empty list"),
        pytest.param([PatientRow(patient_id="")], {}, "patients_refused_invalid", id="a row without chart number"),
    ],
)
def test_a_list_that_is_not_whole_is_refused(
    desk: Desk, rows: list[PatientRow], changes: dict[str, Any], word: str
) -> None:
    desk.take_list(row())
    assert _words(desk, *desk.parts(rows, hours=1, **changes)) == [word]
    assert sorted(state for state, _ in _states(desk).values()) == ["current", "refused"]


def test_parts_that_disagree_about_their_list_refuse_it(desk: Desk) -> None:
    first, second = desk.parts(_rows(4), parts=2)
    assert _words(desk, first, second.model_copy(update={"rows": 9})) == [
        "patients_arriving",
        "patients_refused_inconsistent",
    ]


def test_a_part_sealed_for_another_place_is_parked(desk: Desk) -> None:
    first, second = desk.parts(_rows(4), parts=2)
    with pytest.raises(PermanentError, match="seal_broken"):
        desk.handle(first.model_copy(update={"sealed": second.sealed}))


def test_a_part_beyond_the_last_is_parked(desk: Desk) -> None:
    (only,) = desk.parts(_rows(1))
    with pytest.raises(PermanentError, match="patients_part"):
        desk.handle(only.model_copy(update={"part": 2}))


def test_a_part_that_holds_no_rows_at_all_refuses_the_list(desk: Desk) -> None:
    (only,) = desk.parts(_rows(1))
    public = desk.centre.keyring.epoch_key("c1", KeyClass.STANDING, NOW)
    sealed = Sealer().seal(public, "c1", patients_context(only.list_id, 1), b"no rows")
    assert _words(desk, only.model_copy(update={"sealed": sealed})) == ["patients_refused_invalid"]


def test_rows_of_a_replaced_list_are_removed_in_time_and_the_current_ones_stay(desk: Desk) -> None:
    desk.take_list(*_rows(5))
    desk.take_list(*_rows(6), hours=1)
    desk.due()
    assert len(desk.centre.rows(patients)) == 6
    with desk.centre.store.reading() as connection:
        lists = select(func.count(patient_hashes.c.list_id.distinct()))
        assert connection.execute(lists).scalar_one() == 1


def test_half_a_list_is_seen_by_nobody(desk: Desk) -> None:
    desk.handle(desk.parts([row(), *_rows(3)], parts=2)[0])
    event = desk.file("a", face())
    desk.handle(event)
    assert desk.result(event)["state"] == "waiting"


def test_a_person_may_accept_a_list_that_fell_and_its_patients_count_from_then_on(desk: Desk) -> None:
    desk.take_list(*_rows(10))
    assert desk.take_list(*_rows(3), hours=1) == "patients_refused_fall"
    with desk.centre.store.transaction() as connection:
        remove_old_rows(connection)
        accepted = accept(connection, "c1", NOW)
        while remove_old_rows(connection):
            pass
    states = {row["list_id"]: row["state"] for row in desk.centre.rows(patient_lists)}
    assert states[accepted] == "current"
    assert sorted(states.values()) == ["current", "replaced"]
    assert {row["list_id"] for row in desk.centre.rows(patients)} == {accepted}
    assert len(desk.centre.rows(patients)) == 3


def test_a_fallen_list_that_a_newer_one_overtook_cannot_be_accepted(desk: Desk) -> None:
    desk.take_list(*_rows(10))
    assert desk.take_list(*_rows(3), hours=1) == "patients_refused_fall"
    assert desk.take_list(*_rows(9), hours=2) == "patients_current"
    with desk.centre.store.transaction() as connection:
        assert accept(connection, "c1", NOW) is None
        while remove_old_rows(connection):
            pass
    assert len(desk.centre.rows(patients)) == 9
