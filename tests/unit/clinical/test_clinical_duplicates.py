"""Is a drug that several sources tell of known as one, and nothing else?"""

from datetime import date
from typing import Any

import pytest

from pipeline.clinical.duplicates import marked
from pipeline.clinical.rows import DrugRow, Place, Source
from tests.support.clinical import CLINIC_CODE, drug_row

R, D, P = Source.RECEIPT, Source.DISPENSED, Source.PRESCRIBED


def originals(*rows: DrugRow) -> list[int | None]:
    return [row.duplicate_of for row in marked(rows)]


def test_of_three_reports_of_one_drug_the_claim_stands_and_no_row_is_dropped() -> None:
    assert originals(drug_row(P), drug_row(D), drug_row(R)) == [2, 2, None]


def test_without_a_claim_the_dispensing_stands() -> None:
    assert originals(drug_row(P), drug_row(D)) == [1, None]


def test_a_claim_without_the_day_of_prescribing_still_meets_the_prescription_over_the_dispensing() -> None:
    assert originals(drug_row(P), drug_row(D), drug_row(R, prescribed_on=None)) == [2, 2, None]


def test_a_clinic_that_dispenses_itself_prescribed_on_the_day_it_gave_the_drug() -> None:
    clinic = Place(code=CLINIC_CODE)
    own = drug_row(R, day=date(2026, 5, 8), prescribed_on=None, place=clinic, prescriber=Place())
    assert originals(drug_row(P), own) == [1, None]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"day": date(2026, 5, 10)}, id="another day"),
        pytest.param({"day": None}, id="no day"),
        pytest.param({"place": Place(code="9949000099", name="例示調剤薬局")}, id="another pharmacy"),
        pytest.param({"place": Place()}, id="no pharmacy"),
        pytest.param({"code": "999000102"}, id="another code of the same name"),
        pytest.param({"code": None, "name": "見本降圧錠１０ｍｇ"}, id="another strength"),
        pytest.param({"code": None, "name": None}, id="nothing that names a drug"),
    ],
)
def test_what_differs_in_one_thing_stands_for_itself(changes: dict[str, Any]) -> None:
    assert originals(drug_row(R), drug_row(D, **changes)) == [None, None]


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code": "２１７１０１４Ｆ１０２０", "name": "見本降圧錠5mg"}, id="another code system, one name"),
        pytest.param({"code": None, "name": "見本降圧錠 5mg"}, id="no code, and a name of another width"),
        pytest.param({"place": Place(name="例示　調剤薬局")}, id="a pharmacy by its name alone"),
    ],
)
def test_what_is_only_spelled_otherwise_is_the_same(changes: dict[str, Any]) -> None:
    assert originals(drug_row(R), drug_row(D, **changes)) == [None, 0]


def test_a_drug_prescribed_by_its_general_name_is_met_by_the_product_that_was_given() -> None:
    general = {"code_system": "general_name", "name": "【般】サンプルジピン錠５ｍｇ", "ingredient": "サンプルジピン"}
    prescribed = drug_row(P, code="2171014F1ZZZ", **general)
    by_code = drug_row(D, code="2171014F1020", code_system="yj", name="例示錠")
    by_ingredient = drug_row(D, code="620000001", name="例示錠", ingredient="サンプルジピン")
    other = drug_row(D, code="620000001", name="例示錠", ingredient="別の成分")
    assert originals(prescribed, by_code) == [1, None]
    assert originals(prescribed, by_ingredient) == [1, None]
    assert originals(prescribed, other) == [None, None]


def test_two_lines_of_one_drug_need_two_lines_of_the_better_source() -> None:
    assert originals(drug_row(R), drug_row(D), drug_row(D)).count(None) == 2
    assert originals(drug_row(R), drug_row(R), drug_row(D), drug_row(D)).count(None) == 2


def test_of_two_lines_the_one_of_the_same_amount_is_meant() -> None:
    morning = {"usage": "朝食後", "times": 28}
    evening = {"usage": "夕食後", "times": 14}
    rows = (drug_row(R, **morning), drug_row(R, **evening), drug_row(D, **evening), drug_row(D, **morning))
    assert originals(*rows) == [None, None, 1, 0]
    assert originals(rows[0], rows[1], rows[3]) == [None, None, 0]
    assert originals(rows[1], rows[0], rows[2]) == [None, None, 0]


def test_which_of_two_equal_claims_is_meant_does_not_depend_on_their_order() -> None:
    early, late = drug_row(R, day=date(2026, 5, 9)), drug_row(R, day=date(2026, 6, 9))
    assert originals(early, late, drug_row(P)) == [None, None, 0]
    assert originals(late, early, drug_row(P)) == [None, None, 1]


def test_two_claims_of_one_drug_are_never_taken_for_one() -> None:
    assert originals(drug_row(R), drug_row(R)) == [None, None]
