"""What differs, and who must look?"""

from dataclasses import replace
from typing import Any

import pytest

from consumers.reconciliation.subject import Entry
from pipeline.patient_row import PatientRow
from pipeline.verdicts import Verdict, in_order, needs_review, read_codes, write_codes
from tests.unit.reconciliation.people import AID, AID_SUBJECT, DAY, codes, decide_one, entry, row, subject

ELDERLY = {
    "insurer_number": "39999990",
    "symbol": None,
    "number": "00776655",
    "branch_number": None,
    "relationship": None,
    "burden_ratio": "010",
}


@pytest.mark.parametrize(
    ("said", "rows", "verdicts", "review"),
    [
        pytest.param({}, [row()], "match", False, id="all equal"),
        pytest.param(
            {"reference_numbers": ("10234",), "insurer_number": "06888888", "number": "5"},
            [row()],
            "insurance_mismatch",
            True,
            id="changed insurance",
        ),
        pytest.param({"limit_flag": "A02"}, [row()], "limit_certificate_mismatch", True, id="changed limit"),
        pytest.param({"names": ("見本　花●",)}, [row()], "name_mismatch", False, id="● with equal kana"),
        pytest.param({"names": ("見本　花●",)}, [row(name="見本　花●")], "name_mismatch", False, id="● in both"),
        pytest.param(
            {"reference_numbers": ("10234",), "birthdate": "19850413"},
            [row()],
            "reference_number_conflict identity_mismatch",
            True,
            id="the reference number's patient was born on another day",
        ),
        pytest.param({"address": "見本県他市1-1"}, [row()], "address_mismatch", True, id="other address"),
        pytest.param({"address": "見本県例示市試●町１－２－３"}, [row()], "match", False, id="● in the address"),
        pytest.param({"names": ("見本　華子",)}, [row()], "name_mismatch", False, id="other kanji of equal kana"),
        pytest.param({"names": ("担当　花子", "見本花子")}, [row()], "match", False, id="chart has the other name"),
        pytest.param(
            {"reference_numbers": ("10234",), "kanas": ("ﾐﾎﾝ ﾊﾅｴ",)}, [row()], "name_mismatch", True, id="other kana"
        ),
        pytest.param({}, [row(branch_number="")], "branch_number_missing", True, id="chart lacks the branch"),
        pytest.param({"branch_number": None}, [row()], "match", False, id="file lacks the branch"),
        pytest.param({"burden_ratio": "020"}, [row()], "burden_ratio_mismatch", True, id="other ratio"),
        pytest.param({"relationship": "2"}, [row()], "relationship_mismatch", True, id="other relationship"),
        pytest.param(
            {"relationship": "2", "burden_ratio": "020"},
            [row()],
            "burden_ratio_mismatch relationship_mismatch",
            True,
            id="several at once",
        ),
        pytest.param({"sex": "1"}, [row()], "identity_mismatch", True, id="other sex"),
        pytest.param({"sex": None}, [row()], "match", False, id="sex not told"),
        pytest.param({"birthdate": "19850413"}, [row()], "identity_mismatch", True, id="other birthdate"),
        pytest.param({"limit_class": None, "limit_flag": None}, [row()], "match", False, id="no limit told"),
        pytest.param({"limit_changed": True}, [row()], "limit_certificate_mismatch", True, id="limit changed, bulk"),
        pytest.param(
            {},
            [row(address="", postal_code="", relationship="", burden_ratio="", limit_class="", limit_flag="", sex="")],
            "match",
            False,
            id="what the chart does not know is no difference",
        ),
        pytest.param(
            {"address": None, "postal_code": None, "relationship": None}, [row()], "match", False, id="blanks in a file"
        ),
        pytest.param(
            ELDERLY,
            [row(insurer_number="39999990", symbol="1", number="776655", burden_ratio="010", relationship="2")],
            "match",
            False,
            id="late elderly: no symbol, branch or relationship",
        ),
        pytest.param(AID_SUBJECT, [row(**AID)], "match", False, id="medical aid registered"),
        pytest.param(
            AID_SUBJECT | {"reference_numbers": ("10234",)},
            [row()],
            "medical_aid_unregistered",
            True,
            id="the chart has no such row",
        ),
        pytest.param({}, [row(valid_to="2026-05-11")], "insurance_mismatch", True, id="over in the chart"),
        pytest.param({}, [row(valid_to="2026-05-12")], "match", False, id="the last day counts"),
        pytest.param({}, [], "new_patient", True, id="nobody"),
        pytest.param({}, [row(), row(patient_id="2")], "ambiguous_patient", True, id="two charts"),
        pytest.param({"symbol": None}, [row()], "ambiguous_patient", True, id="one candidate without a difference"),
    ],
)
def test_verdicts(said: dict[str, Any], rows: list[PatientRow], verdicts: str, review: bool) -> None:  # noqa: FBT001 - a table
    decided = decide_one(entry(**said), *rows)
    assert (codes(decided), decided.needs_review) == (verdicts, review)


def test_an_undecided_patient_always_needs_a_person() -> None:
    decided = decide_one(entry(names=("見本　花●",), insurer_number=None), row())
    assert decided.detail.patient_id is None
    assert decided.needs_review


def test_differences_keep_both_values_as_written_under_the_columns_of_the_chart() -> None:
    decided = decide_one(entry(reference_numbers=("10234",), insurer_number="06888888", names=("見本　華子",)), row())
    compared = {column: (both.file, both.chart) for column, both in decided.detail.compared.items()}
    assert compared == {"insurer_number": ("06888888", "06999999"), "name": ("見本　華子", "見本　花子")}


def test_the_row_in_force_on_the_day_is_compared() -> None:
    old = row(insurer_number="06111111", valid_from="2010-01-01", valid_to="2020-03-31")
    assert codes(decide_one(entry(), old, row())) == "match"
    said = entry(insurer_number="06111111", reference_numbers=("10234",))
    assert codes(decide_one(said, old, row())) == "insurance_mismatch"


def test_the_address_is_compared_beside_the_insurance_in_force() -> None:
    old = row(address="旧県旧市1-1", insurer_number="06111111", valid_from="2010-01-01", valid_to="2020-03-31")
    assert codes(decide_one(entry(), old, row())) == "match"
    assert codes(decide_one(entry(address="旧県旧市1-1"), old, row())) == "address_mismatch"


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ((Verdict.INELIGIBLE,), "ineligible"),
        ((Verdict.INELIGIBLE_NEW_COVERAGE,), "ineligible_new_coverage"),
        ((Verdict.MULTIPLE_COVERAGES,), "multiple_coverages"),
        ((Verdict.NO_COVERAGE,), "no_coverage"),
        ((Verdict.SERVICE_ERROR,), "service_error"),
        ((Verdict.MEDICAL_AID_UNREGISTERED,), "medical_aid_unregistered"),
    ],
)
def test_what_the_service_says_is_a_verdict(service: tuple[Verdict, ...], expected: str) -> None:
    decided = decide_one(replace(entry(), service=service), row())
    assert (codes(decided), decided.needs_review) == (expected, True)


@pytest.mark.parametrize("service", [Verdict.MULTIPLE_COVERAGES, Verdict.NO_COVERAGE, Verdict.SERVICE_ERROR])
def test_an_answer_that_names_no_one_person_is_never_decided(service: Verdict) -> None:
    decided = decide_one(replace(entry(), service=(service,)), row())
    assert decided.detail.patient_id is None
    assert decided.detail.candidates == ("10234",)


@pytest.mark.parametrize(
    ("names", "kanas", "suspicious"),
    [
        pytest.param(("担当　月子",), ("ﾀﾝﾄｳ ﾂｷｺ",), True, id="both differ"),
        pytest.param(("担当　花子",), ("ﾀﾝﾄｳ ﾊﾅｺ",), False, id="a new surname alarms nobody"),
        pytest.param(("担当月子",), ("ﾀﾝﾄｳﾊﾅｺ",), True, id="not split at a space"),
        pytest.param(("担当　月子",), ("ﾐﾎﾝ ﾊﾅｺ",), False, id="equal kana"),
    ],
)
def test_a_card_that_met_a_stranger_is_suspicious(
    names: tuple[str, ...],
    kanas: tuple[str, ...],
    suspicious: bool,  # noqa: FBT001 - a table
) -> None:
    one = Entry(subject(names=names, kanas=kanas), day=DAY, is_valid_card=True)
    assert ("suspicious_card" in decide_one(one, row()).verdicts) is suspicious


def test_match_stands_alone_and_verdicts_keep_their_order() -> None:
    given = [Verdict.ADDRESS_MISMATCH, Verdict.MATCH, Verdict.INSURANCE_MISMATCH, Verdict.ADDRESS_MISMATCH]
    assert in_order(given) == (Verdict.INSURANCE_MISMATCH, Verdict.ADDRESS_MISMATCH)
    assert in_order([]) == (Verdict.MATCH,)
    assert read_codes(write_codes(given)) == in_order(given)


@pytest.mark.parametrize("verdict", Verdict)
def test_everything_but_match_and_a_harmless_name_needs_a_person(verdict: Verdict) -> None:
    assert verdict.label
    assert needs_review([verdict], person_agrees=False) is (verdict is not Verdict.MATCH)
    harmless = {Verdict.MATCH, Verdict.NAME_MISMATCH}
    assert needs_review([verdict], person_agrees=True) is (verdict not in harmless)
