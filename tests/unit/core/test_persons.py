"""Whom does a keyed hash of an insured person tell apart? Whoever shares one shares consents."""

from typing import Any

import pytest

from pipeline.persons import person_hash
from pipeline.sealing import IdentityKey

_PERSON: dict[str, Any] = {
    "insurer_number": "06999999",
    "symbol": "7001",
    "number": "0001234",
    "branch_number": "00",
    "birthdate": "19850412",
    "kana": "ﾐﾎﾝ ﾊﾅｺ",
}


def _hash(**changes: Any) -> str | None:
    return person_hash(IdentityKey(bytes(32)), **(_PERSON | changes))


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kana": "みほん　はなこ"}, id="kana written otherwise"),
        pytest.param({"symbol": "７００１", "number": "1234", "branch_number": "0"}, id="width and zeros"),
        pytest.param({"insurer_number": "6999999"}, id="insurer without its zero"),
        pytest.param({"birthdate": "1985-04-12"}, id="date with hyphens"),
    ],
)
def test_one_person_has_one_hash_however_the_fields_are_written(changes: dict[str, Any]) -> None:
    assert _hash(**changes) == _hash()


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"kana": "ﾐﾎﾝ ﾂｷｺ"}, id="twin by kana"),
        pytest.param({"branch_number": "01"}, id="twin by branch number"),
        pytest.param({"birthdate": "19850413"}, id="birthdate"),
        pytest.param({"number": "0001235"}, id="number"),
        pytest.param({"kana": None}, id="no kana"),
    ],
)
def test_two_people_have_two_hashes(changes: dict[str, Any]) -> None:
    assert _hash(**changes) not in (None, _hash())


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"insurer_number": None}, id="no insurer"),
        pytest.param({"number": ""}, id="no number"),
        pytest.param({"birthdate": "99999999"}, id="no birthdate"),
        pytest.param({"kana": None, "branch_number": None}, id="neither kana nor branch"),
        pytest.param({"kana": "ﾐﾎﾝ ●●", "branch_number": None}, id="a kana with ● that the twin may share"),
    ],
)
def test_who_cannot_be_told_from_another_has_none(changes: dict[str, Any]) -> None:
    assert _hash(**changes) is None
