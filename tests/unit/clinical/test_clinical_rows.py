"""What do the medication and checkup samples become, value by value?"""

from decimal import Decimal
from typing import Any

import pytest

from pipeline.clinical.amounts import Bound, amount, count, measured
from pipeline.clinical.checkups import checkup_rows
from pipeline.clinical.codes import checkup_system, drug_system, same_code
from pipeline.clinical.drugs import drug_rows, treatment_rows
from pipeline.clinical.rows import CodeSystem
from pipeline.oqs.history import Checkup, CheckupItem, DentalAddition, PrescribedMonth, ReceiptDay, ReceiptMonth
from pipeline.oqs.history import Treatment as WrittenTreatment
from pipeline.oqs.records import CheckupRecord, MedicationRecord
from tests.support.clinical import checkup_sample, medication_sample

PHARMACY = {"code": "9949000022", "name": "例示調剤薬局"}
CLINIC = {"code": "9919000033", "name": "例示内科医院"}
PRESSURE = {
    "treatment_class": "21",
    "code": "999000101",
    "code_system": "receipt_code",
    "name": "見本降圧錠５ｍｇ",
    "ingredient": "サンプルジピン塩酸塩",
    "amount": "1",
    "amount_text": "1",
    "unit": "錠",
    "times": 28,
    "days": 28,
    "usage": "１日１回朝食後",
}
CLAIM = {
    "source": "receipt",
    "month": "202603",
    "in_out": "4",
    "place": PHARMACY,
    "prescriber": CLINIC,
    "serial": "001",
}
DRUGS: list[dict[str, Any]] = [
    {
        **CLAIM,
        **PRESSURE,
        "number": 0,
        "day": "2026-03-05",
        "prescribed_on": "2026-03-04",
        "dose": "1",
        "usage_code": "101",
    },
    {
        **CLAIM,
        "number": 1,
        "day": "2026-03-05",
        "prescribed_on": "2026-03-04",
        "treatment_class": "21",
        "code": "999000202",
        "code_system": "receipt_code",
        "name": "見本去痰錠５００ｍｇ",
        "ingredient": "サンプルシステイン",
        "amount": "3",
        "amount_text": "3",
        "unit": "錠",
        "dose": "1",
        "times": 7,
        "days": 7,
        "usage": "１日３回毎食後",
        "usage_code": "103",
        "special_instruction": "一包化",
    },
    {
        **CLAIM,
        "number": 2,
        "day": "2026-03-26",
        "prescribed_on": "2026-03-26",
        "treatment_class": "23",
        "code": "999000303",
        "code_system": "receipt_code",
        "name": "見本軟膏０．１％",
        "ingredient": "サンプルゾン",
        "amount": "10",
        "amount_text": "10",
        "unit": "ｇ",
        # An ointment is given once, not for a day.
        "times": 1,
        "usage": "１日２回塗布",
    },
    {
        **PRESSURE,
        "number": 3,
        "source": "dispensed",
        "month": "202605",
        "day": "2026-05-09",
        "prescribed_on": "2026-05-08",
        "place": PHARMACY,
        "prescriber": CLINIC,
    },
    {
        **PRESSURE,
        "number": 4,
        "duplicate_of": 3,
        "source": "prescribed",
        "month": "202605",
        "day": "2026-05-08",
        "prescribed_on": "2026-05-08",
        "place": CLINIC,
        "prescriber": {},
    },
]
TREATMENT = {
    "month": "202603",
    "day": "2026-03-04",
    "in_out": "2",
    "place": CLINIC,
    "amount": "1",
    "amount_text": "1",
    "times": 1,
    "additions": [],
}
MEASURED = {"code_system": "jlac10", "type": "numeric"}
CHECKUPS: list[dict[str, Any]] = [
    {"day": "2025-10-15", **MEASURED, "code": code, "name": name, "value": value, "number": value, **unit}
    for code, name, value, unit in (
        ("9A751000000000001", "収縮期血圧(1回目)", "138", {"unit": "mmHg"}),
        ("9A761000000000001", "拡張期血圧(1回目)", "86", {"unit": "mmHg"}),
        ("3F015000002327101", "中性脂肪（トリグリセリド）", "162", {"unit": "mg/dl"}),
        ("3F077000002327101", "LDLコレステロール", "131", {"unit": "mg/dl"}),
        ("3D046000001920402", "HbA1c（ＮＧＳＰ値）", "5.8", {"unit": "%"}),
        ("8A065000002391901", "eGFR", "71.2", {}),
    )
] + [
    {
        "day": "2025-10-15",
        "code": "1A020000000190111",
        "code_system": "jlac10",
        "name": "尿糖",
        "type": "coded",
        "value": "1",
    },
    {
        "day": "2025-10-15",
        "code": "9A110160800000049",
        "code_system": "jlac10",
        "name": "心電図所見",
        "type": "text",
        "value": "特記所見なし",
    },
    {
        "day": "2024-10-09",
        **MEASURED,
        "code": "9A751000000000001",
        "name": "収縮期血圧(1回目)",
        "value": "131",
        "number": "131",
        "unit": "mmHg",
    },
    {
        "day": "2024-10-09",
        **MEASURED,
        "code": "3D046000001920402",
        "name": "HbA1c（ＮＧＳＰ値）",
        "value": "5.6",
        "number": "5.6",
        "unit": "%",
    },
]


def dumped(rows: Any) -> list[dict[str, Any]]:
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def test_every_drug_of_the_sample_becomes_a_row_of_its_source() -> None:
    assert dumped(drug_rows(medication_sample())) == DRUGS


def test_every_treatment_of_the_sample_becomes_a_row() -> None:
    assert dumped(treatment_rows(medication_sample())) == [
        {**TREATMENT, "treatment_class": "60", "code": "999900001", "name": "見本血液検査"},
        {**TREATMENT, "treatment_class": "50", "code": "999900002", "name": "見本手術"},
    ]


def test_every_checkup_item_of_the_sample_becomes_a_row_with_its_type_and_unit() -> None:
    assert dumped(checkup_rows(checkup_sample())) == CHECKUPS


def test_a_dental_addition_goes_with_its_treatment() -> None:
    addition = DentalAddition(code="A1", name="見本加算", quantity="2.5", unit="歯")
    day = ReceiptDay(day="20260304", treatments=(WrittenTreatment(name="見本処置", dental_additions=(addition,)),))
    record = MedicationRecord(schema_kind="medication", months=(ReceiptMonth(days=(day,)),))
    (row,) = dumped(treatment_rows(record))
    assert row["additions"] == [{"code": "A1", "name": "見本加算", "amount": "2.5", "amount_text": "2.5", "unit": "歯"}]


def test_a_prescription_that_names_only_the_treating_institution_is_of_that_one() -> None:
    sample = medication_sample().prescribed[0]
    month = PrescribedMonth(institution_code="9919000044", institution_name="別の医院", days=sample.days)
    (row,) = drug_rows(MedicationRecord(schema_kind="medication", prescribed=(month,)))
    assert (row.place.code, row.place.name) == ("9919000044", "別の医院")


def test_what_cannot_be_read_as_a_number_stays_as_it_was_written() -> None:
    item = CheckupItem(code="x", value_type="PQ", value="測定不能", unit="mg/dl")
    (row,) = checkup_rows(CheckupRecord(schema_kind="checkup", checkups=(Checkup(day="20261399", items=(item,)),)))
    assert (row.day, row.number, row.value, row.code_system) == (None, None, "測定不能", "other")


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ({"value_type": "CO", "value": "1"}, "coded"),
        ({"value_type": " pq ", "value": "1"}, "numeric"),
        ({"value": "1", "oid": "1.2.392"}, "coded"),
        ({"value": "1", "value_name": "（－）"}, "coded"),
        ({"value": "1"}, "text"),
        ({"value": "1", "unit": "%"}, "numeric"),
        ({"value": "多い", "unit": "%"}, "text"),
        ({"value_type": "??", "value": "5", "unit": "%"}, "numeric"),
    ],
)
def test_a_type_that_is_not_declared_is_guessed_only_where_nothing_speaks_against_it(
    item: dict[str, str], kind: str
) -> None:
    record = CheckupRecord(schema_kind="checkup", checkups=(Checkup(items=(CheckupItem(**item),)),))
    assert checkup_rows(record)[0].type == kind


@pytest.mark.parametrize(
    ("text", "number", "bound"),
    [
        ("5.8", "5.8", None),
        ("１２０", "120", None),
        ("<5", "5", Bound.BELOW),
        ("＜ ０．３", "0.3", Bound.BELOW),
        ("<=5", "5", Bound.AT_MOST),
        ("≦5", "5", Bound.AT_MOST),
        ("5未満", "5", Bound.BELOW),
        ("5以下", "5", Bound.AT_MOST),
        ("1,000以上", "1000", Bound.AT_LEAST),
        (">=9", "9", Bound.AT_LEAST),
        ("＞９", "9", Bound.ABOVE),
        ("9超", "9", Bound.ABOVE),
        ("<高値", None, None),
        ("<5以下", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_measured_value_may_be_no_more_than_a_limit(
    text: str | None, number: str | None, bound: Bound | None
) -> None:
    assert measured(text) == (None if number is None else Decimal(number), bound)


@pytest.mark.parametrize("text", ["1e5", "NaN", "Infinity", "1.2.3", "1,23", "１日", "--1", "9" * 30])
def test_nothing_but_a_plain_number_is_an_amount(text: str) -> None:
    assert amount(text) is None


@pytest.mark.parametrize(("text", "times"), [("28", 28), ("007", 7), ("1.5", None), ("-1", None), (None, None)])
def test_times_are_whole(text: str | None, times: int | None) -> None:
    assert count(text) == times


@pytest.mark.parametrize(
    ("code", "system"),
    [
        ("620000001", CodeSystem.RECEIPT),
        ("2171014F1020", CodeSystem.YJ),
        ("２１７１０１４ｆ１０２０", CodeSystem.YJ),
        ("2171014F1ZZZ", CodeSystem.GENERAL_NAME),
        ("ABC", CodeSystem.OTHER),
        (" ", None),
        (None, None),
    ],
)
def test_the_system_of_a_drugs_code_is_known_by_its_shape(code: str | None, system: CodeSystem | None) -> None:
    assert drug_system(code) is system


def test_a_checkup_code_of_another_length_is_no_jlac10() -> None:
    assert (checkup_system("3F015000002327101"), checkup_system("3F0150000"), checkup_system(None)) == (
        CodeSystem.JLAC10,
        CodeSystem.OTHER,
        None,
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("620000001", "620000001", True),
        ("620000001", "620000002", False),
        ("2171014F1020", "2171014F1ZZZ", True),
        ("2171014F2020", "2171014F1ZZZ", False),
        ("620000001", "2171014F1020", None),
        ("620000001", None, None),
    ],
)
def test_codes_are_compared_only_within_systems_that_can_be(one: str, other: str | None, *, same: bool | None) -> None:
    assert same_code(one, other) is same


def test_no_row_shows_anything_of_a_patient_by_itself() -> None:
    shown = f"{drug_rows(medication_sample())} {treatment_rows(medication_sample())} {checkup_rows(checkup_sample())}"
    assert all(value not in shown for value in ("見本", "138", "例示", "9919000033"))
