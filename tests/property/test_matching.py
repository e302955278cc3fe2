"""Laws of matching: no order decides, no stranger interferes, two candidates are never decided by the machine."""

from datetime import date
from random import Random
from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from consumers.reconciliation.chart import Patient, patients_of
from consumers.reconciliation.decision import Case, decide_file
from consumers.reconciliation.index import close_hashes, row_hashes, wide_hashes
from consumers.reconciliation.matching import identify
from consumers.reconciliation.subject import Entry, Subject
from pipeline.folding import fold_kana
from pipeline.patient_row import PatientRow
from pipeline.sealing import IdentityKey
from pipeline.verdicts import Verdict

KEY = IdentityKey(b"k" * 32)

# Few values, so that people often share some of them, and all are near one person, so that many match.
ROW_VALUES: dict[str, list[str]] = {
    "patient_id": ["1", "2", "3", "4"],
    "name": ["見本花子", "見本月子", "髙﨑花子", "見本花●", ""],
    "kana": ["ミホン　ハナコ", "ミホンハナコ", "ミホン　ツキコ", ""],
    "birthdate": ["1985-04-12", "1990-01-01", ""],
    "sex": ["2", "1", ""],
    "insurer_number": ["06999999", "39999990", "12999999", ""],
    "symbol": ["7001", "７００１", ""],
    "number": ["1234", "0001234", "99", ""],
    "branch_number": ["0", "01", ""],
    "valid_to": ["", "2020-01-01"],
}
SUBJECT_VALUES: dict[str, list[Any]] = {
    "reference_numbers": [(), ("1",), ("2",), ("9",), ("1", "2")],
    "insurer_number": ["06999999", "39999990", "12999999", None],
    "symbol": ["7001", None],
    "number": ["0001234", "99", None],
    "branch_number": ["00", "01", None],
    "names": [("見本　花子",), ("見本　花●",), ("高崎花子", "見本月子"), ()],
    "kanas": [("ﾐﾎﾝ ﾊﾅｺ",), ("ﾐﾎﾝ ﾂｷｺ",), ()],
    "sex": ["2", "1", None],
    "birthdate": ["19850412", "19900101", None],
    "is_aid": [False, True],
}


def _near(values: dict[str, list[Any]], most: int) -> st.SearchStrategy[dict[str, Any]]:
    """Take the first of all values but a few."""
    changed = st.lists(st.sampled_from(sorted(values)), max_size=most).flatmap(
        lambda names: st.fixed_dictionaries({name: st.sampled_from(values[name]) for name in names})
    )
    return changed.map(lambda changes: {name: found[0] for name, found in values.items()} | changes)


ROWS = _near(ROW_VALUES, 4).map(lambda values: PatientRow(**values))
SUBJECTS = _near(SUBJECT_VALUES, 3).map(lambda values: Subject(**values))
CHARTS = st.lists(ROWS, max_size=6)


def _said(subject: Subject, patients: tuple[Patient, ...]) -> tuple[Any, ...]:
    found = identify(subject, patients)
    names = tuple(candidate.patient_id for candidate in found.candidates)
    return found.patient.patient_id if found.patient else None, names, found.verdicts


@given(SUBJECTS, CHARTS)
def test_a_match_has_no_other_candidate_and_never_another_birthdate(subject: Subject, rows: list[PatientRow]) -> None:
    found = identify(subject, patients_of(rows))
    if found.patient is None:
        return
    assert found.candidates == ()
    assert found.patient.born is not None
    assert found.patient.born == subject.born
    assert not found.patient.sex_differs(subject)


@given(SUBJECTS, CHARTS, st.randoms(use_true_random=False))
def test_no_order_of_the_list_decides(subject: Subject, rows: list[PatientRow], random: Random) -> None:
    mixed = [*rows]
    random.shuffle(mixed)
    patients = [*patients_of(mixed)]
    random.shuffle(patients)
    assert _said(subject, tuple(patients)) == _said(subject, patients_of(rows))
    one = decide_file(Case((Entry(subject),), patients_of(rows)))
    other = decide_file(Case((Entry(subject),), tuple(patients)))
    assert isinstance(one, tuple)
    assert isinstance(other, tuple)
    assert (one[0].verdicts, one[0].detail, one[0].needs_review) == (
        other[0].verdicts,
        other[0].detail,
        other[0].needs_review,
    )


@given(SUBJECTS, CHARTS, ROWS)
def test_somebody_with_nothing_in_common_changes_nothing(
    subject: Subject, rows: list[PatientRow], stranger: PatientRow
) -> None:
    patients = patients_of(rows)
    unrelated = stranger.model_copy(
        update={
            "patient_id": "77",
            "birthdate": "1950-05-05",
            "insurer_number": "06000001",
            "number": "777",
            "kana": "ホカ",
        }
    )
    assert _said(subject, patients_of([*rows, unrelated])) == _said(subject, patients)


@given(SUBJECTS, CHARTS)
def test_a_double_of_the_matched_chart_undoes_the_match(subject: Subject, rows: list[PatientRow]) -> None:
    found = identify(subject, patients_of(rows))
    assume(found.patient is not None and not subject.reference_numbers)
    assert found.patient is not None
    doubled = [insurance.row.model_copy(update={"patient_id": "77"}) for insurance in found.patient.insurances]
    patient, candidates, verdicts = _said(subject, patients_of([*rows, *doubled]))
    assert patient is None
    assert {"77", found.patient.patient_id} <= set(candidates)
    assert Verdict.AMBIGUOUS_PATIENT in verdicts


@given(SUBJECTS, CHARTS)
def test_an_unknown_birthdate_is_never_matched(subject: Subject, rows: list[PatientRow]) -> None:
    unborn = Subject(**{**_values(subject), "birthdate": None})
    assert identify(unborn, patients_of(rows)).patient is None


@given(SUBJECTS, CHARTS)
def test_what_is_not_a_match_needs_a_person(subject: Subject, rows: list[PatientRow]) -> None:
    decided = decide_file(Case((Entry(subject, day=date(2026, 5, 12)),), patients_of(rows)))
    assert isinstance(decided, tuple)
    (one,) = decided
    if one.detail.patient_id is None:
        assert one.needs_review
    if Verdict.MATCH in one.verdicts:
        assert one.verdicts == (Verdict.MATCH,)
        assert one.detail.patient_id is not None
    if not one.needs_review:
        matched = [row for row in rows if row.patient_id == one.detail.patient_id]
        assert all(fold_kana(row.kana) in {"", *subject.folded_kanas} for row in matched) or "name" not in one.verdicts


@given(SUBJECTS, CHARTS)
def test_whoever_the_decision_needs_is_found_by_the_index(subject: Subject, rows: list[PatientRow]) -> None:
    close = close_hashes(KEY, subject)
    near = {row.patient_id for row in rows if row_hashes(KEY, row) & close}
    found = patients_of(row for row in rows if row.patient_id in near)
    if identify(subject, found).patient is None:
        wide = wide_hashes(KEY, subject)
        near |= {row.patient_id for row in rows if row_hashes(KEY, row) & wide}
        found = patients_of(row for row in rows if row.patient_id in near)
    assert _said(subject, found) == _said(subject, patients_of(rows))


def _values(subject: Subject) -> dict[str, Any]:
    return {name: getattr(subject, name) for name in Subject.__dataclass_fields__}
