"""Does each row of the result list say what its result of the file says?"""

from pathlib import Path

import pytest

from consumers.reconciliation.subject import entries
from pipeline.oqs.answers import results
from pipeline.oqs.eligibility import LimitCertificate
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import BulkEligibilityRecord, CheckupRecord, EligibilityRecord, MedicationRecord, Record
from tests.unit.reconciliation.desk import face, result

SAMPLES = Path(__file__).parents[2] / "samples"


def _read(path: Path) -> Record:
    name = parse_name(path.name)
    assert name is not None
    return parse(name, path.read_bytes())


RECORDS = {path.name: _read(path) for path in sorted(SAMPLES.glob("*/*res_*.xml"))}
OF_PEOPLE = {
    name: record
    for name, record in RECORDS.items()
    if isinstance(record, EligibilityRecord | BulkEligibilityRecord | MedicationRecord | CheckupRecord)
}


@pytest.mark.parametrize("name", OF_PEOPLE)
def test_there_is_one_entry_for_each_result_in_its_order(name: str) -> None:
    told, found = results(OF_PEOPLE[name]), entries(OF_PEOPLE[name])
    if not told:
        assert [entry.service for entry in found] in ([], [("service_error",)])
        return
    assert [entry.subject.number for entry in found if not entry.tells_of_nobody] == [
        one.result.number for one in told if one.result is not None
    ]
    assert len(found) == len(told)


@pytest.mark.parametrize(
    ("part", "verdicts"),
    [
        ("OQSsiquc01res_202605120011", [()]),
        ("OQSsiquc01res_202605120012", [("multiple_coverages",), ("multiple_coverages",)]),
        ("OQSsiquc01res_202605120013", [("no_coverage",)]),
        ("OQSsiquc01res_202605120014", [("ineligible_new_coverage",)]),
        ("OQSsiquc01res_202605120015", [("ineligible",)]),
        ("OQSsiquc01res_202605120016", [("service_error",)]),
        ("OQSsiquc01res_202605120017", [("service_error",)]),
        ("YZKsiquc01res_202605120033", [("service_error",)]),
        ("YZKsiquc01res_202605120031", [()]),
        ("OQSmuquc02res_202605120002", [(), ("ineligible_new_coverage",), ("service_error",)]),
    ],
)
def test_what_the_service_says_of_the_samples(part: str, verdicts: list[tuple[str, ...]]) -> None:
    assert [entry.service for entry in entries(RECORDS[f"{part}.xml"])] == verdicts


def test_a_limit_certificate_without_the_patients_consent_says_nothing() -> None:
    limit = LimitCertificate(classification="01", flag="A03")
    told = entries(face(result(limit_certificate=limit, limit_consent_flag="1")))[0].subject
    kept = entries(face(result(limit_certificate=limit, limit_consent_flag="0")))[0].subject
    assert (told.limit_flag, kept.limit_flag) == ("A03", None)


def test_a_reference_number_of_one_result_is_not_lent_to_the_other() -> None:
    found = entries(face(result(reference_number="1"), result(reference_number="2")))
    assert [entry.subject.reference_numbers for entry in found] == [("1",), ("2",)]
    found = entries(face(result(reference_number="1"), result()))
    assert [entry.subject.reference_numbers for entry in found] == [("1",), ()]


def test_sex2_counts_before_sex1_and_unset_says_nothing() -> None:
    found = entries(face(result(sex1="1", sex2="2"), result(sex1="1", sex2="3"), result(sex1="1")))
    assert [entry.subject.sex for entry in found] == ["2", None, "1"]
