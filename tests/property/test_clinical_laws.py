"""Laws of clinical rows: nothing is dropped, the best source stands, and no order of arrival matters."""

from datetime import UTC, date, datetime, timedelta
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from pipeline.clinical.duplicates import marked
from pipeline.clinical.history import MedicationAnswer, medication_history
from pipeline.clinical.rows import DrugRow, Place, Source
from tests.support.clinical import drug_row, medication_of

# Few values, so that many rows meet.
PLACES = st.sampled_from([Place(code="9919000033", name="例示"), Place(code="9919000033"), Place(name="例示"), Place()])
DAYS = st.sampled_from([date(2026, 5, 8), date(2026, 5, 9)])


@st.composite
def rows(draw: st.DrawFn) -> DrugRow:
    return drug_row(
        draw(st.sampled_from(Source)),
        day=draw(DAYS),
        prescribed_on=draw(DAYS),
        place=draw(PLACES),
        prescriber=draw(PLACES),
        code=draw(st.sampled_from(["999000101", None])),
        name=draw(st.sampled_from(["見本錠", "例示錠", None])),
        times=draw(st.sampled_from([7, 28])),
    )


LISTS = st.lists(rows(), max_size=12)


def _facts(row: DrugRow) -> str:
    return row.model_dump_json(exclude={"number", "duplicate_of"})


@given(LISTS)
def test_no_row_is_dropped_and_a_repetition_points_to_one_of_a_better_source_that_stands(found: list[DrugRow]) -> None:
    made = marked(found)
    assert [_facts(row) for row in made] == [_facts(row) for row in found]
    assert [row.number for row in made] == list(range(len(found)))
    for row in made:
        if row.duplicate_of is not None:
            better = made[row.duplicate_of]
            assert better.duplicate_of is None
            assert better.source.rank < row.source.rank


@given(LISTS)
def test_no_two_rows_of_one_source_are_the_repetition_of_one_row(found: list[DrugRow]) -> None:
    pairs = [(row.duplicate_of, row.source) for row in marked(found) if row.duplicate_of is not None]
    assert len(pairs) == len(set(pairs))


@given(LISTS, st.integers())
def test_what_is_marked_depends_on_what_the_rows_say_and_not_on_their_order(found: list[DrugRow], seed: int) -> None:
    shuffled = Random(seed).sample(found, len(found))

    def told(made: tuple[DrugRow, ...]) -> list[tuple[str, str]]:
        return sorted((_facts(row), "" if row.duplicate_of is None else _facts(made[row.duplicate_of])) for row in made)

    assert told(marked(found)) == told(marked(shuffled))


@given(LISTS)
def test_marking_twice_is_marking_once(found: list[DrugRow]) -> None:
    assert marked(marked(found)) == marked(found)


RECORDS = st.builds(
    medication_of,
    st.sampled_from(["202603", "202604", "202605"]),
    st.sampled_from(["a", "b", None]),
    category=st.sampled_from(["2", "4"]),
    view=st.sampled_from(["1", None]),
    prescribed=st.sampled_from(["a", None]),
    dispensed=st.sampled_from(["a", None]),
    treatment=st.sampled_from(["t", None]),
)


@given(st.lists(st.tuples(RECORDS, st.integers(0, 3)), max_size=8), st.integers())
def test_a_history_is_the_same_in_whatever_order_and_how_often_its_answers_come(
    told: list[tuple[object, int]], seed: int
) -> None:
    start = datetime(2026, 5, 12, tzinfo=UTC)
    answers = [
        MedicationAnswer(f"f{at}", start + timedelta(hours=hour), record)  # type: ignore[arg-type]
        for at, (record, hour) in enumerate(told)
    ]
    shuffled = Random(seed).sample(answers, len(answers))
    assert medication_history(shuffled) == medication_history(answers)
