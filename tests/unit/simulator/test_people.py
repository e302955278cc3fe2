import csv
from collections import Counter
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest

from pipeline.patient_row import COLUMNS, PatientRow, row_faults
from producers.simulator import insurers
from producers.simulator.cases import HARD_CASES, SEED_CASES, Case, agrees, expected, needs_review, schedule
from producers.simulator.people import Population
from producers.simulator.terminal import SimulatedTerminal
from producers.simulator.vocabulary import half_width

TODAY = date(2026, 5, 12)


@pytest.mark.parametrize("number", ["06999999", "  999995", "39999990", "12999991", "01999994"])
def test_check_digit_is_that_of_known_numbers(number: str) -> None:
    assert insurers.is_well_formed(number)


def test_every_insurer_number_is_eight_wide_in_the_dummy_prefecture() -> None:
    for insurer in (*insurers.SOCIETIES, *insurers.MUNICIPAL, insurers.LATE_ELDERLY, *insurers.WELFARE):
        assert len(insurer.number) == 8
        assert insurers.is_well_formed(insurer.number)
        assert insurer.number.strip()[-6:-4] == "99"


def test_kana_is_written_half_width_with_marks_apart() -> None:
    assert half_width("ガッコウ　パン") == "ｶﾞｯｺｳ ﾊﾟﾝ"


def test_nobody_shares_all_insurance_fields_with_another() -> None:
    everyone = Population(3, 3000, "9919000011", TODAY).everyone
    keys = Counter(
        (one.insurer.number, one.symbol, one.number, one.branch_number)
        for person in everyone
        for one in person.coverages
    )
    assert max(keys.values()) == 1


def test_only_planned_namesakes_share_kana_and_birthdate() -> None:
    population = Population(3, 3000, "9919000011", TODAY)
    people = Counter((person.kana, person.birthdate) for person in population.people)
    assert max(people.values()) == 1


def test_families_share_a_card() -> None:
    people = Population(3, 300, "9919000011", TODAY).people
    cards = Counter((person.coverage.insurer.number, person.coverage.number) for person in people)
    assert max(cards.values()) >= 2


def test_a_person_is_not_shown_by_repr() -> None:
    person = Population(1, 1, "9919000011", TODAY).people[0]
    assert person.name not in repr(person)
    assert person.coverage.number not in repr(person.coverage)


@pytest.mark.parametrize("count", [5, 7, 19, 20, 100])
def test_any_run_of_five_shows_the_five_seed_cases(count: int) -> None:
    assert set(SEED_CASES) <= set(schedule(9, count))


def test_few_visits_show_no_hard_case() -> None:
    assert not set(schedule(9, 19)) & set(HARD_CASES)


def test_hundred_visits_show_every_case_but_mostly_plain_ones() -> None:
    cases = schedule(9, 100)
    assert set(cases) == set(Case)
    assert sum(case in SEED_CASES for case in cases) > 70


def test_expectations_hold_for_themselves_and_not_for_others() -> None:
    for case in Case:
        assert agrees(case, expected(case))
        assert not agrees(case, [frozenset({"suspicious_card"})] * len(expected(case)))
    assert not agrees(Case.MATCH, [{"match"}, {"match"}])
    assert not agrees(Case.ADDRESS_MISMATCH, [{"address_mismatch", "new_patient"}])


def test_matches_and_spelling_alone_need_no_review() -> None:
    assert not needs_review(Case.MATCH)
    assert not needs_review(Case.NAME_MISMATCH)
    assert needs_review(Case.ADDRESS_MISMATCH)
    assert needs_review(Case.TWINS)


def test_patient_list_is_valid_and_knows_whom_it_should(
    terminal_of: Callable[..., SimulatedTerminal], tmp_path: Path
) -> None:
    terminal = terminal_of(count=200)
    path = tmp_path / "patients.csv"
    terminal.write_patients(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert [fault for row in rows for fault in row_faults(PatientRow(**row))] == []
    listed = {row["patient_id"] for row in rows}
    for visit in terminal.visits:
        assert (visit.person.patient_id in listed) == (visit.case is not Case.NEW_PATIENT)
        assert visit.patient_id is None or visit.patient_id in listed
    assert [entry.name for entry in tmp_path.iterdir() if entry.suffix == ".part"] == []


def test_rows_of_one_patient_agree_on_who_they_are(terminal_of: Callable[..., SimulatedTerminal]) -> None:
    seen: dict[str, tuple[str, ...]] = {}
    for visit in terminal_of(count=200).visits:
        for row in visit.chart:
            identity = (row.name, row.kana, row.birthdate, row.sex)
            assert seen.setdefault(row.patient_id, identity) == identity
