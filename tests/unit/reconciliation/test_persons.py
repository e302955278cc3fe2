"""Does one person always get one hash, and do two people never share it?"""

from typing import Any

import pytest

from pipeline.persons import patient_hash, person_hash
from pipeline.sealing import IdentityKey

KEY = IdentityKey(b"k" * 32)
KNOWN: dict[str, str | None] = {
    "insurer_number": "06999999",
    "symbol": "7001",
    "number": "0001234",
    "branch_number": "00",
    "birthdate": "19850412",
    "kana": "ﾐﾎﾝ ﾊﾅｺ",
}


def _hash(**changes: Any) -> str | None:
    return person_hash(KEY, **(KNOWN | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"symbol": "７０－０１"},
        {"number": "1234"},
        {"insurer_number": " 06999999"},
        {"branch_number": "0"},
        {"birthdate": "1985-04-12"},
        {"kana": "みほん　はなこ"},
    ],
)
def test_another_spelling_is_the_same_person(changes: dict[str, str]) -> None:
    assert _hash(**changes) == _hash()


@pytest.mark.parametrize(
    "changes",
    [
        {"insurer_number": "06999998"},
        {"symbol": "7002"},
        {"number": "1235"},
        {"branch_number": "01"},
        {"birthdate": "19850413"},
        {"kana": "ﾐﾎﾝ ﾊﾅﾖ"},
    ],
)
def test_one_field_that_differs_is_another_person(changes: dict[str, str]) -> None:
    assert _hash(**changes) != _hash()


def test_twins_differ_by_kana_where_no_branch_number_is_known_and_by_branch_number_where_no_kana_is() -> None:
    assert _hash(branch_number=None) != _hash(branch_number=None, kana="ﾐﾎﾝ ﾂｷｺ")
    assert _hash(kana=None) != _hash(kana=None, branch_number="01")


@pytest.mark.parametrize(
    "changes",
    [
        {"insurer_number": None},
        {"number": " "},
        {"birthdate": None},
        {"birthdate": "99999999"},
        {"kana": None, "branch_number": ""},
    ],
)
def test_too_little_makes_no_hash(changes: dict[str, str | None]) -> None:
    assert _hash(**changes) is None


def test_another_clinic_has_another_hash() -> None:
    assert person_hash(IdentityKey(b"x" * 32), **KNOWN) != _hash()
    assert patient_hash(IdentityKey(b"x" * 32), "1") != patient_hash(KEY, "1")


def test_a_chart_number_is_taken_exactly() -> None:
    assert patient_hash(KEY, "01") != patient_hash(KEY, "1")
