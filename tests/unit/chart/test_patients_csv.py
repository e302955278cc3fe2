"""A patient list is wholly well formed or not used at all."""

import time

import pytest

from pipeline.patient_row import COLUMNS, PatientRow, PatientRowsError, rows_from_bytes, rows_to_bytes
from producers.chart.patients import split_rows
from producers.chart.patients_csv import MOST_FAULTS, PatientsInvalidError, read_patients

GOOD = {
    "patient_id": "00012",
    "name": "山田　花子",
    "kana": "ヤマダ　ハナコ",
    "birthdate": "1980-02-29",
    "sex": "2",
    "postal_code": "100-0001",
    "address": "千代田区1-1, 2階",
    "insurer_number": "06132013",
    "symbol": "１２",
    "number": "3456",
    "branch_number": "01",
    "relationship": "1",
    "burden_ratio": "030",
    "limit_class": "01",
    "limit_flag": "A03",
    "valid_from": "2020-04-01",
    "valid_to": "9999-12-31",
}


def quoted(values: list[str]) -> str:
    return ",".join('"' + value.replace('"', '""') + '"' for value in values)


def csv_of(*rows: dict[str, str], columns: tuple[str, ...] = COLUMNS) -> bytes:
    lines = [quoted(list(columns)), *(quoted([{**GOOD, **row}[name] for name in columns]) for row in rows)]
    return ("\r\n".join(lines) + "\r\n").encode()


def faults_of(content: bytes) -> list[str]:
    with pytest.raises(PatientsInvalidError) as caught:
        read_patients(content)
    return [str(fault) for fault in caught.value.faults]


def test_the_columns_are_those_of_the_contract() -> None:
    assert tuple(GOOD) == COLUMNS


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
def test_every_value_arrives_as_written(mark: bytes) -> None:
    assert read_patients(mark + csv_of({})) == (PatientRow(**GOOD),)


def test_columns_may_stand_in_any_order_beside_others() -> None:
    columns = ("memo", *reversed(COLUMNS))
    content = csv_of({"memo": "VIP"}, columns=columns)
    assert read_patients(content) == (PatientRow(**GOOD),)


def test_blank_is_unknown_everywhere_but_in_the_chart_number() -> None:
    blank = dict.fromkeys(COLUMNS, "")
    assert read_patients(csv_of({**blank, "patient_id": "7"})) == (PatientRow(patient_id="7"),)
    assert faults_of(csv_of(blank)) == ["line 2, patient_id: empty"]


def test_a_list_of_nobody_is_a_list() -> None:
    assert read_patients(csv_of()) == ()


@pytest.mark.parametrize(
    ("column", "value", "reason"),
    [
        ("birthdate", "19800229", "not_a_date"),
        ("birthdate", "1981-02-29", "not_a_date"),
        ("birthdate", "1980/02/29", "not_a_date"),
        ("birthdate", "9999-12-31", "not_a_date"),
        ("valid_to", "99991231", "not_a_date"),
        ("valid_from", "2020-4-1", "not_a_date"),
        ("sex", "F", "unknown_code"),
        ("sex", "4", "unknown_code"),
        ("relationship", "9", "unknown_code"),
        ("burden_ratio", "30", "not_three_digits"),
        ("burden_ratio", "3割", "not_three_digits"),
        ("limit_class", "9", "unknown_code"),
        ("limit_flag", "ア", "unknown_code"),
        ("insurer_number", "国保", "not_a_number"),
        ("insurer_number", "123456789", "not_a_number"),
        ("branch_number", "001", "not_a_number"),
        ("name", "花\x00子", "control_character"),
        ("address", "あ" * 501, "too_long"),
    ],
)
def test_a_bad_value_is_named_by_place_and_never_shown(column: str, value: str, reason: str) -> None:
    content = csv_of({}, {"patient_id": "2", column: value})
    assert faults_of(content) == [f"line 3, {column}: {reason}"]
    with pytest.raises(PatientsInvalidError) as caught:
        read_patients(content)
    assert value not in str(caught.value) + repr(caught.value)


def test_several_insurances_of_one_patient_must_speak_of_one_person() -> None:
    aid = {"insurer_number": "12131234", "symbol": "", "address": "elsewhere"}
    assert len(read_patients(csv_of({}, aid, {**aid, "sex": ""}))) == 3
    assert faults_of(csv_of({}, {**aid, "birthdate": "1980-03-01"})) == ["line 3, birthdate: conflicts"]


@pytest.mark.parametrize("column", ["patient_id", "kana", "insurer_number", "branch_number"])
def test_a_column_that_matching_needs_may_not_be_missing(column: str) -> None:
    columns = tuple(name for name in COLUMNS if name != column)
    assert faults_of(csv_of({}, columns=columns)) == [f"line 1, {column}: missing_column"]


def test_a_column_given_twice_is_a_fault() -> None:
    assert "line 1, name: given_twice" in faults_of(csv_of({}, columns=(*COLUMNS, "name")))


def test_all_faults_are_named_at_once() -> None:
    content = csv_of({"sex": "x", "burden_ratio": "1"}, {"patient_id": "2", "valid_to": "soon"})
    assert len(faults_of(content)) == 3


def test_a_wholly_other_file_is_not_read_to_its_end() -> None:
    assert len(faults_of(csv_of(*[{"sex": "x"}] * 5000))) == MOST_FAULTS


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "line 1, patient_id: missing_column"),
        ("氏名".encode("cp932"), "line 1, row: not_utf8"),
        (csv_of({}) + b'"13","half', "line 3, row: not_csv"),
        (csv_of({}) + b'"13","half"', "line 3, row: wrong_number_of_values"),
        (csv_of({}) + b"\xff", "line 3, row: not_utf8"),
    ],
    ids=["empty", "shift jis", "open quote", "short row", "broken character"],
)
def test_a_file_still_being_written_or_of_another_kind_is_refused(content: bytes, fault: str) -> None:
    assert fault in faults_of(content)


def test_a_list_cut_at_any_byte_never_yields_half_a_value() -> None:
    # A cut before the last value of a row cannot be told from a blank one; two equal readings guard against that.
    whole = csv_of({}, {"patient_id": "2"})
    rows = read_patients(whole)
    for end in range(len(whole)):
        try:
            read = read_patients(whole[:end])
        except PatientsInvalidError:
            continue
        blank_end = [row.model_copy(update={"valid_to": ""}) for row in rows]
        assert all(row in (rows[at], blank_end[at]) for at, row in enumerate(read))
        assert read[:-1] == rows[: len(read)][:-1]


def test_rows_survive_their_journey_and_show_nothing() -> None:
    rows = (PatientRow(**GOOD), PatientRow(patient_id="2"))
    assert rows_from_bytes(rows_to_bytes(rows)) == rows
    assert "花子" not in repr(rows)


def test_a_part_that_is_something_else_is_refused_without_being_quoted() -> None:
    with pytest.raises(PatientRowsError) as caught:
        rows_from_bytes('[{"name": "花子"}]'.encode())
    assert "花子" not in str(caught.value)


def test_twenty_thousand_rows_are_read_and_split_in_reasonable_time() -> None:
    content = csv_of(*[{"patient_id": str(number)} for number in range(20_000)])
    started = time.process_time()
    rows = read_patients(content)
    parts = split_rows(rows, 700 << 10)
    assert time.process_time() - started < 5
    assert all(len(part) <= 700 << 10 for part in parts)
    assert sum((rows_from_bytes(part) for part in parts), ()) == rows


def test_parts_of_uneven_rows_still_fit() -> None:
    rows = [PatientRow(patient_id=str(n), address="あ" * (500 if n > 90 else 0)) for n in range(100)]
    parts = split_rows(rows, 8_000)
    assert max(map(len, parts)) <= 8_000
    assert [row for part in parts for row in rows_from_bytes(part)] == rows
