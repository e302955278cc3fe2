"""Folding is idempotent, joins what is one thing, and keeps apart what is not."""

from collections.abc import Callable
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.folding import (
    OPEN_DAY,
    fold_address,
    fold_birthdate,
    fold_branch,
    fold_day,
    fold_insurer,
    fold_kana,
    fold_limit_class,
    fold_limit_flag,
    fold_name,
    fold_postal,
    fold_ratio,
    fold_sex,
    fold_symbol,
    fold_variants,
    given_kana,
    resembles,
    same_symbol,
)

FOLDS: list[Callable[[str | None], str | None]] = [
    fold_kana,
    fold_name,
    fold_variants,
    fold_symbol,
    fold_insurer,
    fold_branch,
    fold_ratio,
    fold_limit_class,
    fold_limit_flag,
    fold_postal,
    fold_address,
]
JAPANESE = st.text(
    st.sampled_from("ァアィヴヵガかがゖっーｰｶﾞﾟ゛゙・･-－‐―/ 　●髙高﨑崎一二十丁目番地の号0１9aＡ\U000e0100")
    | st.characters()
)


@given(JAPANESE)
@pytest.mark.parametrize("fold", FOLDS)
def test_folding_twice_is_folding_once(fold: Callable[[str | None], str | None], text: str) -> None:
    once = fold(text)
    assert fold(once or "") == once


@given(st.text(st.characters(max_codepoint=127)))
def test_a_text_without_width_folds_as_it_does_beside_one_that_has_it(text: str) -> None:
    assert fold_name(text) + "A" == fold_name(f"{text}Ａ")


@given(JAPANESE, JAPANESE)
def test_resemblance_has_no_direction(one: str, other: str) -> None:
    assert resembles(one, other) == resembles(other, one)


@given(st.text("アカガミホンハナコヴー", min_size=1), st.integers(0, 5))
def test_a_wildcard_resembles_any_one_character_and_only_one(name: str, place: int) -> None:
    at = place % len(name)
    assert resembles(name, name[:at] + "●" + name[at + 1 :])
    assert not resembles(name, name[:at] + "●●" + name[at + 1 :])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ｼﾖｳ ｼﾞ", "ショウ　ジ"),
        ("しょう じ", "ショウジ"),
        ("ｶﾞ", "ガ"),
        ("カ゛", "ガ"),
        ("ｳﾞ", "ヴ"),
        ("ゔ", "ヴ"),
        ("ヵヶ", "カケ"),
        ("ｱ-", "ア-"),
    ],
)
def test_kana_that_are_one(one: str, other: str) -> None:
    assert fold_kana(one) == fold_kana(other)


@pytest.mark.parametrize(
    ("one", "other"), [("カ", "ガ"), ("ハ", "パ"), ("バ", "パ"), ("オノ", "オーノ"), ("ハナ", "ハナコ")]
)
def test_kana_that_are_two(one: str, other: str) -> None:
    assert fold_kana(one) != fold_kana(other)


def test_old_and_new_kanji_resemble_each_other_and_are_not_equal() -> None:
    assert resembles("髙﨑　德", "高崎徳")
    assert fold_name("髙﨑") != fold_name("高崎")
    assert not resembles("", "")
    assert not resembles(None, None)


def test_a_glyph_selector_changes_no_name() -> None:
    assert fold_name("葛\U000e0100城") == fold_name("葛城")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("１２－３４", "12-34", True),
        ("12ー34", "1234", True),
        ("例示・５５", "例示55", True),
        ("12/34", "1234", True),
        ("0001234", "1234", True),
        ("0001234", "12340", False),
        ("0", "00", True),
        ("0", "", False),
        ("一", "1", False),
        ("あー", "あ", True),
    ],
)
def test_symbols(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a table
    assert same_symbol(one, other) is same


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("  138057", "00138057"),
        ("00138057", "00138057"),
        ("１３８０５７", "00138057"),
        ("", ""),
        (None, ""),
        ("6999999", "06999999"),
    ],
)
def test_insurer_numbers(written: str | None, folded: str) -> None:
    assert fold_insurer(written) == folded


@pytest.mark.parametrize(
    ("written", "folded"),
    [("1", "01"), ("01", "01"), ("００", "00"), ("0", "00"), ("", None), (" ", None), (None, None)],
)
def test_a_blank_branch_number_is_never_00(written: str | None, folded: str | None) -> None:
    assert fold_branch(written) == folded


@pytest.mark.parametrize(
    ("sex2", "sex1", "sex"),
    [
        ("2", "1", "2"),
        (None, "1", "1"),
        ("", "1", "1"),
        ("3", "1", None),
        (None, "3", None),
        (None, None, None),
        ("１", "2", "1"),
    ],
)
def test_sex2_counts_before_sex1(sex2: str | None, sex1: str | None, sex: str | None) -> None:
    assert fold_sex(sex2, sex1) == sex


@pytest.mark.parametrize(
    ("written", "day"),
    [
        ("20260512", date(2026, 5, 12)),
        ("2026-05-12", date(2026, 5, 12)),
        ("99999999", OPEN_DAY),
        ("9999-12-31", OPEN_DAY),
        ("20260230", None),
        ("", None),
        (None, None),
        ("令和8年", None),
    ],
)
def test_days(written: str | None, day: date | None) -> None:
    assert fold_day(written) == day


def test_an_open_date_is_no_birthdate() -> None:
    assert fold_birthdate("99999999") is None
    assert fold_birthdate("19850412") == date(1985, 4, 12)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("試験町１丁目２番３号", "試験町1-2-3", True),
        ("試験町一丁目二番地の三", "試験町１－２－３", True),
        ("試験町1-2-3　ハイツ401号室", "試験町１ー２ー３ハイツ401", True),
        ("試験町二十三番地", "試験町23", True),
        ("試験町1-2-3", "試験町1-23", False),
        ("試験町1-2-3", "試験町2-2-3", False),
    ],
)
def test_addresses(one: str, other: str, same: bool) -> None:  # noqa: FBT001 - a table
    assert (fold_address(one) == fold_address(other)) is same


@pytest.mark.parametrize(
    ("kana", "name"), [("ﾐﾎﾝ ﾊﾅｺ", "ハナコ"), ("ミホン　ハナコ", "ハナコ"), ("ミホンハナコ", None), (None, None)]
)
def test_given_names(kana: str | None, name: str | None) -> None:
    assert given_kana(kana) == name


@pytest.mark.parametrize(("written", "ratio"), [("30", "030"), ("０２０", "020"), ("", ""), ("000", "000"), (None, "")])
def test_ratios(written: str | None, ratio: str) -> None:
    assert fold_ratio(written) == ratio
