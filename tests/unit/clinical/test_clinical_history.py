"""What do several answers about one patient say together?"""

from datetime import UTC, date, datetime, timedelta

from pipeline.clinical.history import (
    CheckupAnswer,
    MedicationAnswer,
    MedicationHistory,
    Part,
    checkup_history,
    coverage,
    medication_history,
)
from pipeline.oqs.history import HistoryHeader, HistoryInquiry
from pipeline.oqs.records import CheckupRecord, MedicationRecord
from tests.support.clinical import checkup_of, medication_of, medication_sample

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


def joined(*records: MedicationRecord, since: date | None = None) -> MedicationHistory:
    """Join answers that came one an hour."""
    return medication_history(
        [MedicationAnswer(f"f{at}", NOW + timedelta(hours=at), record) for at, record in enumerate(records)], since
    )


def names(history: MedicationHistory) -> list[str | None]:
    return [row.name for row in history.drugs]


def test_months_of_several_answers_stand_together_newest_first() -> None:
    assert names(joined(medication_of("202603", "a"), medication_of("202605", "b"), medication_of("202604", "c"))) == [
        "b",
        "c",
        "a",
    ]


def test_a_month_asked_again_replaces_the_older_answer_of_that_month_alone() -> None:
    older, again = medication_of("202604", "older"), medication_of("202604", "newer")
    assert names(joined(medication_of("202603", "a"), older, again)) == ["newer", "a"]


def test_an_answer_of_what_is_new_since_a_day_adds_to_the_month_and_replaces_nothing() -> None:
    whole, again = medication_of("202604", "older"), medication_of("202604", "again")
    assert sorted(map(str, names(joined(whole, since_day("newer"))))) == ["newer", "older"]
    assert names(joined(whole, since_day(None))) == ["older"]
    assert names(joined(whole, since_day("newer"), again)) == ["again"]


def since_day(drug: str | None) -> MedicationRecord:
    """An answer that was asked for what came after 20 April (前回取得日)."""
    record = medication_of("202604", drug)
    assert record.header.inquiry is not None
    inquiry = record.header.inquiry.model_copy(update={"last": "20260420"})
    return record.model_copy(update={"header": record.header.model_copy(update={"inquiry": inquiry})})


def test_a_month_asked_again_that_now_holds_nothing_is_empty() -> None:
    assert names(joined(medication_of("202604", "older"), medication_of("202604", None))) == []


def test_an_answer_without_treatments_says_nothing_against_those_of_an_older_one() -> None:
    older = medication_of("202604", "older", category="4", treatment="見本検査")
    history = joined(older, medication_of("202604", "newer", category="2"))
    assert names(history) == ["newer"]
    assert [row.name for row in history.treatments] == ["見本検査"]


def test_an_answer_with_treatments_replaces_those_of_an_older_one() -> None:
    older = medication_of("202604", category="4", treatment="見本検査")
    assert joined(older, medication_of("202604", category="4")).treatments == ()


def test_an_answer_not_asked_for_prescriptions_says_nothing_against_those_of_an_older_one() -> None:
    older = medication_of("202604", None, view="1", prescribed="処方薬", dispensed="調剤薬")
    assert names(joined(older, medication_of("202604", None, view="0"))) == ["調剤薬", "処方薬"]
    assert names(joined(older, medication_of("202604", None, view="1"))) == []


def test_a_prescription_of_one_month_is_known_in_the_claim_of_the_next() -> None:
    prescribed = medication_of("202604", None, view="1", prescribed="見本錠")
    claimed = medication_sample().months[0].days[0]
    drug = claimed.drugs[0].model_copy(update={"name": "見本錠", "code": None})
    day = claimed.model_copy(update={"day": "20260502", "prescribed_on": "20260405", "drugs": (drug,)})
    month = medication_sample().months[0].model_copy(update={"month": "202605", "days": (day,)})
    given = medication_of("202605", None).model_copy(update={"months": (month,)})
    first, second = joined(prescribed, given).drugs
    assert (first.source, first.duplicate_of) == ("receipt", None)
    assert (second.source, second.duplicate_of) == ("prescribed", 0)


def test_since_a_day_leaves_out_what_was_before_it() -> None:
    records = (medication_of("202603", "a"), medication_of("202604", "b", category="4", treatment="x"))
    assert names(joined(*records, since=date(2026, 4, 5))) == ["b"]
    assert joined(*records, since=date(2026, 4, 6)).treatments == ()


def test_an_answer_to_an_open_range_speaks_of_every_month_of_it_in_japan() -> None:
    # 15:30 UTC on the last of April is May in Japan.
    covered = coverage(medication_sample(), datetime(2026, 4, 30, 15, 30, tzinfo=UTC))
    months = {month for part, month in covered if part is Part.CLAIMS}
    assert months == {"202602", "202603", "202604", "202605"}
    assert {part for part, month in covered if month == "202602"} == set(Part)


def test_a_range_without_end_covers_no_more_than_the_service_answers() -> None:
    inquiry = HistoryInquiry(start="190001", end="999912")
    record = MedicationRecord(schema_kind="medication", header=HistoryHeader(inquiry=inquiry))
    assert len(coverage(record, None)) == 36


def test_an_answer_that_repeats_no_request_speaks_of_the_months_it_holds() -> None:
    record = medication_of("202604", "a", asked=None)
    assert coverage(record, None) == {(Part.CLAIMS, "202604")}


def test_a_checkup_is_replaced_by_the_newest_answer_that_holds_its_day() -> None:
    def answer(at: int, *records: CheckupRecord) -> list[CheckupAnswer]:
        return [CheckupAnswer(f"f{at}", NOW + timedelta(hours=at), record) for record in records]

    answers = answer(0, checkup_of("20251015", "138")) + answer(1, checkup_of("20241009", "131"))
    answers += answer(2, checkup_of("20251015", "139"))
    rows = checkup_history(answers)
    assert [(row.day, row.value) for row in rows] == [(date(2025, 10, 15), "139"), (date(2024, 10, 9), "131")]
    assert checkup_history(reversed(answers)) == rows
    assert [row.value for row in checkup_history(answers, date(2025, 1, 1))] == ["139"]
