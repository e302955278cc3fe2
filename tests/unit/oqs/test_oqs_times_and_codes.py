from datetime import UTC, date, datetime

import pytest

from pipeline.oqs import codes
from pipeline.oqs.codes import CardClassification, Code, Consent, LimitFlag, ReasonOfLoss, Validity
from pipeline.oqs.times import (
    OPEN,
    format_day,
    format_instant,
    format_month,
    parse_day,
    parse_instant,
    parse_month,
    parse_until,
)

UNREADABLE = [None, "", " ", "2026", "20260230", "20261301", "abcdefgh", "２０２６０５１２", "2026-05-12", "00000000"]


@pytest.mark.parametrize("raw", [*UNREADABLE, "20260512246060", "2026051209153", "²0260512091533", "00010101000000"])
def test_what_is_no_time_is_none_and_never_an_error(raw: str | None) -> None:
    assert parse_instant(raw) is None
    assert parse_until(raw) is None


@pytest.mark.parametrize("raw", UNREADABLE)
def test_what_is_no_day_is_none_and_never_an_error(raw: str | None) -> None:
    assert parse_day(raw) is None
    assert parse_month(raw) is None


def test_the_first_hours_of_a_japanese_day_belong_to_the_day_before_in_utc() -> None:
    assert parse_instant("20260101000000") == datetime(2025, 12, 31, 15, tzinfo=UTC)
    assert parse_instant(" 20260101000000 ") == datetime(2025, 12, 31, 15, tzinfo=UTC)


def test_days_and_months() -> None:
    assert parse_day("20240229") == date(2024, 2, 29)
    assert parse_month("202605") == date(2026, 5, 1)


def test_an_end_is_an_instant_or_the_whole_of_a_day() -> None:
    assert parse_until("20260513091533") == datetime(2026, 5, 13, 0, 15, 33, tzinfo=UTC)
    assert parse_until("20260513") == datetime(2026, 5, 13, 15, tzinfo=UTC)


@pytest.mark.parametrize("raw", ["99991231", "99991231235959", "99991231000000"])
def test_an_end_in_the_last_year_is_open(raw: str) -> None:
    assert parse_until(raw) is OPEN


def test_writing_gives_back_what_was_read() -> None:
    at = parse_instant("20260512091533")
    assert at is not None
    assert format_instant(at) == "20260512091533"
    assert format_day(date(2026, 5, 12)) == "20260512"
    assert format_month(date(2026, 5, 12)) == "202605"
    assert parse_until(format_instant(OPEN)) is OPEN


def test_codes_carry_their_japanese_labels() -> None:
    assert [member.label for member in Validity] == [
        "有効",
        "無効",
        "無効（新しい資格あり）",
        "該当資格なし",
        "複数該当",
        "有効（未登録）",
    ]
    assert LimitFlag.B09.label == "一般Ⅱ"
    assert ReasonOfLoss("99").label == "その他"
    assert CardClassification.of("A1") is CardClassification.MEDICAL_AID


@pytest.mark.parametrize("raw", [None, "", "7", "01", "１"])
def test_a_code_of_a_later_release_is_none_and_never_an_error(raw: str | None) -> None:
    assert Consent.of(raw) is None


def test_no_table_lacks_a_label_or_repeats_a_value() -> None:
    tables = [table for table in vars(codes).values() if isinstance(table, type) and issubclass(table, Code)]
    for table in tables:
        assert all(member.label for member in table)
        assert len({member.value for member in table}) == len(table.__members__)
    assert len(tables) > 30
