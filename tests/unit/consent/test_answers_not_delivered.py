"""Is an answer that no chart is given still held against what was asked?"""

import pytest

from consumers.consent.belonging import is_foreign
from pipeline.oqs.eligibility import Header, Registration, Withdrawal
from pipeline.oqs.records import ConsentWithdrawalRecord, Record, RegistrationRecord
from pipeline.request_row import RequestDetail

ASKED = RequestDetail(
    base_name="x",
    arbitrary_file_identifier="a1",
    insurer_number="999995",
    symbol="例示・５６",
    number="3310",
    birthdate="20190303",
    reference_number="10777",
)


def _registered(identifier: str | None = "a1", **changes: str | None) -> RegistrationRecord:
    told: dict[str, str | None] = {
        "reference_number": "10777",
        "insurer_number": "  999995",
        "symbol": "例示・56",
        "number": "3310",
    }
    return RegistrationRecord(
        schema_kind="registration",
        header=Header(arbitrary_file_identifier=identifier),
        registration=Registration(**(told | changes)),
    )


def _withdrawn(number: str) -> ConsentWithdrawalRecord:
    return ConsentWithdrawalRecord(
        schema_kind="consent_withdrawal", withdrawal=Withdrawal(insurer_number="00999995", number=number)
    )


@pytest.mark.parametrize(
    ("record", "foreign"),
    [
        (_registered(), False),
        (_registered(None), False),
        (_registered("a11"), True),
        (_registered("A1"), True),
        (_registered(reference_number="1077"), True),
        (_registered(number="331"), True),
        (_registered(insurer_number="  999996"), True),
        (_registered(branch_number="01"), False),
        (RegistrationRecord(schema_kind="registration"), False),
        (_withdrawn("3310"), False),
        (_withdrawn("3311"), True),
    ],
    ids=[
        *("same", "no identifier", "identifier begins alike", "identifier in other case", "key is a part", "number"),
        *("insurer", "asked without a branch", "nothing repeated", "withdrawal", "another's withdrawal"),
    ],
)
def test_an_answer_is_ours_only_when_all_that_it_repeats_is(record: Record, *, foreign: bool) -> None:
    assert is_foreign(ASKED, record) is foreign
