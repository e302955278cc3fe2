"""Is the result of a bulk exchange known as the answer to its download?"""

from pathlib import Path

import pytest

from pipeline.oqs.names import MessageKind, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import Record
from tests.unit.reconciliation.desk import Desk
from tests.unit.reconciliation.people import row

SAMPLE = Path(__file__).parents[2] / "samples" / "res" / "OQSmuquc02res_202605120002.xml"
BASE = "OQSmuquc02req_202605120002"
NUMBER = "20260512070012345678901234567890123456"
NOBODY = dict.fromkeys(("insurer_number", "symbol", "number", "branch_number", "birthdate", "kana"))


def _answer() -> Record:
    name = parse_name(SAMPLE.name)
    assert name is not None
    return parse(name, SAMPLE.read_bytes())


@pytest.mark.parametrize(
    ("identifier", "number", "is_ours"),
    [
        ("BULK20260513_01", NUMBER, True),
        ("BULK20260513_01", NUMBER[:-1] + "7", False),
        ("another", NUMBER, False),
    ],
    ids=["ours", "another reception number", "another file identifier"],
)
def test_a_result_is_delivered_only_under_the_identifier_and_number_of_its_exchange(
    desk: Desk, identifier: str, number: str, *, is_ours: bool
) -> None:
    desk.take_list(row())
    desk.asked(None, BASE, arbitrary_file_identifier=identifier, reception_number=number, **NOBODY)
    event = desk.file("a", _answer(), kind=MessageKind.BULK_ELIGIBILITY, correlation=BASE)
    desk.handle(event)
    assert desk.stored(event)["outcome"] == ("pending" if is_ours else "rejected")
    if is_ours:
        assert [desk.detail(event, at).patient_id for at in range(3)] == ["10234", None, None]
