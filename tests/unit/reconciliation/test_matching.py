"""Whose result is it? A wrong answer shows one patient's medication to another's doctor."""

from typing import Any

import pytest

from consumers.reconciliation.chart import patients_of
from consumers.reconciliation.matching import identify
from pipeline.patient_row import PatientRow
from pipeline.verdicts import Verdict
from tests.unit.reconciliation.people import AID, AID_SUBJECT, row, subject

CONFLICT = Verdict.REFERENCE_NUMBER_CONFLICT
AMBIGUOUS = Verdict.AMBIGUOUS_PATIENT
NEW = Verdict.NEW_PATIENT
TWIN = {"patient_id": "10235", "name": "見本　月子", "kana": "ミホン　ツキコ", "branch_number": "01"}
DOUBLE = {"patient_id": "77777"}
OTHER = {
    "patient_id": "20000",
    "name": "例示　次郎",
    "kana": "レイジ　ジロウ",
    "birthdate": "1970-01-01",
    "sex": "1",
    "insurer_number": "06888888",
    "number": "99",
}
NEW_INSURANCE = {"insurer_number": "06888888", "symbol": "1", "number": "5"}


@pytest.mark.parametrize(
    ("said", "rows"),
    [
        pytest.param({}, [row(), row(**OTHER)], id="insurance birthdate and kana agree"),
        pytest.param({"insurer_number": "  999995"}, [row(insurer_number="999995")], id="padded with spaces"),
        pytest.param({"insurer_number": "00999995"}, [row(insurer_number="999995")], id="padded with zeros"),
        pytest.param({"branch_number": None}, [row()], id="no branch number in the file"),
        pytest.param({}, [row(branch_number="")], id="no branch number in the chart"),
        pytest.param({}, [row(), row(**TWIN)], id="twins differ by kana and branch"),
        pytest.param({"branch_number": None}, [row(), row(**TWIN)], id="twins differ by kana alone"),
        pytest.param({}, [row(), row(**DOUBLE, **NEW_INSURANCE)], id="a namesake has another insurance"),
        pytest.param({}, [row(), row(**AID)], id="one chart with two insurances is one patient"),
        pytest.param({}, [row(), row(**AID | {"birthdate": ""})], id="a blank birthdate beside one is no disagreement"),
        pytest.param({"names": ("見本　花●",)}, [row()], id="● with equal kana birthdate and insurance"),
        pytest.param({"kanas": ("ﾀﾝﾄｳ ﾊﾅｺ", "ﾐﾎﾝ ﾊﾅｺ")}, [row()], id="the other kana is the chart's"),
        pytest.param(AID_SUBJECT, [row(**AID)], id="medical aid has neither symbol nor branch"),
        pytest.param(
            {"insurer_number": "39999990", "symbol": None, "branch_number": None, "number": "00776655"},
            [row(insurer_number="39999990", symbol="-", number="776655", branch_number="00")],
            id="the late elderly have no symbol or branch",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "insurer_number": "06888888", "number": "5"},
            [row(), row(**OTHER)],
            id="the reference number decides when the insurance has changed",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "insurer_number": "06888888"},
            [row(), row(**DOUBLE)],
            id="the reference number chooses between namesakes",
        ),
        pytest.param({"reference_numbers": ("10234",), "kanas": ()}, [row()], id="kanji stands in for a missing kana"),
    ],
)
def test_it_is_decided(said: dict[str, Any], rows: list[PatientRow]) -> None:
    finding = identify(subject(**said), patients_of(rows))
    assert finding.patient is not None
    assert finding.patient.patient_id == "10234"


@pytest.mark.parametrize(
    ("said", "rows", "candidates", "verdicts"),
    [
        pytest.param({}, [row(**OTHER)], [], [NEW], id="nobody in common"),
        pytest.param({}, [row(), row(**DOUBLE)], ["10234", "77777"], [AMBIGUOUS], id="a double chart"),
        pytest.param(
            {"reference_numbers": ("10234",)},
            [row(), row(**DOUBLE)],
            ["10234", "77777"],
            [AMBIGUOUS],
            id="a double chart is not decided by its reference number",
        ),
        pytest.param(
            {},
            [row(), row(**DOUBLE, insurer_number="", symbol="", number="", branch_number="")],
            ["10234", "77777"],
            [AMBIGUOUS],
            id="a namesake whose insurance is unknown may be a double",
        ),
        pytest.param(
            {},
            [row(), row(**DOUBLE), row(**DOUBLE, **NEW_INSURANCE | {"birthdate": ""})],
            ["10234", "77777"],
            [AMBIGUOUS],
            id="a double chart of which one row has no birthdate",
        ),
        pytest.param({}, [row(**NEW_INSURANCE)], ["10234"], [], id="kana and birthdate alone never decide"),
        pytest.param(
            {},
            [row(**NEW_INSURANCE), row(**DOUBLE, insurer_number="06777777")],
            ["10234", "77777"],
            [AMBIGUOUS],
            id="two of one kana and birthdate",
        ),
        pytest.param({"kanas": ("ﾀﾝﾄｳ ﾊﾅｺ",)}, [row()], ["10234"], [], id="equal insurance with another kana"),
        pytest.param({"birthdate": "19850413"}, [row()], ["10234"], [], id="equal insurance with another birthdate"),
        pytest.param({"sex": "1"}, [row()], ["10234"], [], id="everything but the sex"),
        pytest.param({"branch_number": "02"}, [row()], ["10234"], [], id="another branch number"),
        pytest.param({"symbol": None}, [row()], ["10234"], [], id="a symbol equals no empty one"),
        pytest.param(
            {"branch_number": None, "kanas": ("ﾐﾎﾝ ﾂｷｺ",), "names": ("見本　月子",)},
            [row()],
            ["10234"],
            [],
            id="a twin without branch number, of whom the chart knows only the other",
        ),
        pytest.param(
            {"branch_number": "02", "kanas": ("ﾐﾎﾝ ﾀﾛｳ",), "names": ("見本　太郎",), "birthdate": "20150101"},
            [row()],
            [],
            [NEW],
            id="a child on the card of a known parent is nobody known",
        ),
        pytest.param(
            {"branch_number": None, "kanas": ("ﾐﾎﾝ ﾀﾛｳ",), "names": ("見本　太郎",), "birthdate": "20150101"},
            [row()],
            [],
            [NEW],
            id="so it is without a branch number",
        ),
        pytest.param(
            {"kanas": (), "names": ("見本　花●",), "insurer_number": None},
            [row()],
            ["10234"],
            [],
            id="● and a birthdate only suggest",
        ),
        pytest.param(
            {"kanas": (), "names": ("髙﨑　花子",), "insurer_number": None},
            [row(name="高崎花子")],
            ["10234"],
            [],
            id="old and new kanji only suggest",
        ),
        pytest.param(
            {"reference_numbers": ("20000",)},
            [row(), row(**OTHER)],
            ["10234", "20000"],
            [CONFLICT],
            id="the reference number is somebody else's",
        ),
        pytest.param(
            {"reference_numbers": ("77777",)},
            [row(), row(**DOUBLE, **NEW_INSURANCE)],
            ["10234", "77777"],
            [CONFLICT],
            id="reference number and insurance point to two namesakes",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "birthdate": "19850413"},
            [row()],
            ["10234"],
            [CONFLICT],
            id="the reference number's patient was born on another day",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "birthdate": None}, [row()], ["10234"], [CONFLICT], id="no birthdate told"
        ),
        pytest.param(
            {"reference_numbers": ("10234", "20000")},
            [row(), row(**OTHER)],
            ["10234", "20000"],
            [CONFLICT],
            id="two reference numbers of two patients",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "kanas": ("ﾀﾝﾄｳ ﾊﾅｺ",), "names": ("担当　花●",)},
            [row(name="担当　花●")],
            ["10234"],
            [CONFLICT],
            id="● equals not even itself",
        ),
        pytest.param(
            {"kanas": ("ﾐﾎﾝ ●●●",), "names": ("見本　●●",), "branch_number": None},
            [row(kana="ミホン　●●●")],
            ["10234"],
            [],
            id="a kana with ● equals not even itself",
        ),
        pytest.param(
            {"reference_numbers": ("10234",), "kanas": ("●● ●●",), "names": ("担当　月子",)},
            [row(kana="●●　●●", **NEW_INSURANCE)],
            ["10234"],
            [CONFLICT],
            id="nor does it confirm a reference number",
        ),
        pytest.param(
            {"reference_numbers": ("77777",)},
            [row(sex="1"), row(**DOUBLE, **NEW_INSURANCE)],
            ["10234", "77777"],
            [CONFLICT],
            id="the insurance points to a namesake whose chart has the wrong sex",
        ),
        pytest.param(
            {"reference_numbers": ("77777",), "kanas": ()},
            [row(), row(**DOUBLE, **NEW_INSURANCE)],
            ["10234", "77777"],
            [CONFLICT],
            id="the insurance points to a namesake though no kana is told",
        ),
        pytest.param({"reference_numbers": ("99999",)}, [row(**OTHER)], [], [NEW, CONFLICT], id="a dead number"),
        pytest.param(
            {"birthdate": "99999999"}, [row(birthdate="9999-12-31")], ["10234"], [], id="an open date is no birthdate"
        ),
        pytest.param(
            {"kanas": ()}, [row(kana="", birthdate="1985-04-12")], ["10234"], [], id="an unknown kana agrees with none"
        ),
    ],
)
def test_it_is_left_to_a_person(
    said: dict[str, Any], rows: list[PatientRow], candidates: list[str], verdicts: list[Verdict]
) -> None:
    finding = identify(subject(**said), patients_of(rows))
    assert finding.patient is None
    assert [found.patient_id for found in finding.candidates] == candidates
    assert list(finding.verdicts) == verdicts


def test_a_reference_number_that_is_dead_is_told_even_when_the_insurance_decides() -> None:
    finding = identify(subject(reference_numbers=("99999",)), patients_of([row()]))
    assert finding.patient is not None
    assert finding.verdicts == (CONFLICT,)


def test_rows_of_one_chart_that_disagree_about_the_birthdate_match_nobody() -> None:
    rows = [row(), row(birthdate="1985-04-13", **NEW_INSURANCE)]
    assert identify(subject(), patients_of(rows)).patient is None


def test_nothing_of_a_patient_is_in_a_repr() -> None:
    finding = identify(subject(), patients_of([row()]))
    shown = repr((finding, finding.patient, subject()))
    assert "10234" not in shown
    assert "見本" not in shown
