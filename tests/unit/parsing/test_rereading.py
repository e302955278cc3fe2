"""Yesterday's files, read by today's parser: what changes, and what stays?"""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from consumers.parsing.reading import Reading
from pipeline import invariants
from pipeline.custody import FileOutcome
from pipeline.storage.schema import certificates, copies, files, grants, metadata, receipts, results
from tests.support.centre import types_of
from tests.support.line import Line
from tests.unit.parsing.conftest import Spoil
from tests.unit.reconciliation.people import row

SAMPLES = Path(__file__).parents[2] / "samples"
FACE = SAMPLES / "face" / "OQSsiquc01res_face_99190000113fb0c1d97a64e8250b7e_20260512091533.xml"
Parser = Callable[[Spoil | None], None]


def rejects(got: Reading) -> Reading:
    return replace(got, outcome=FileOutcome.REJECTED, reason="encoding", record=None, processed_at=None)


def fails(got: Reading) -> Reading:
    return replace(got, outcome=FileOutcome.PENDING, record=None, bug="bug_KeyError")


def not_due(got: Reading) -> Reading:
    return replace(got, outcome=FileOutcome.NOT_DUE)


def nameless(got: Reading) -> Reading:
    """A parser that leaves the name out."""
    assert got.record is not None
    content = json.loads(got.record)
    for result in content["results"]:
        result.pop("name", None)
    return replace(got, record=json.dumps(content).encode())


def everything(line: Line) -> dict[str, list[dict[str, Any]]]:
    return {table.name: line.rows(table) for table in metadata.sorted_tables}


@pytest.fixture(autouse=True)
def known_patient(line: Line) -> None:
    line.patients(row())


def test_a_file_that_reads_as_before_changes_nothing_at_all(line: Line) -> None:
    file_id = line.capture(FACE)
    before = everything(line)
    assert line.reread(file_id) == []
    assert everything(line) == before
    assert len(line.deliveries) == 1


def test_a_rejected_file_that_is_readable_now_is_delivered_with_its_original(line: Line, parser: Parser) -> None:
    parser(rejects)
    file_id = line.capture(FACE)
    assert (line.file(file_id)["outcome"], line.file(file_id)["reason"]) == ("rejected", "encoding")
    assert line.file(file_id)["settled_at"] is not None
    assert line.deliveries == []
    parser(None)
    said = line.reread(file_id)
    assert types_of(said)[0] == "record.parsed"
    stored = line.file(file_id)
    assert (stored["outcome"], stored["reason"], stored["revision"]) == ("delivered", None, 2)
    assert stored["settled_at"] is not None, "it is settled again"
    ((_, revision, content),) = line.deliveries
    assert revision == content.record["revision"] == 2
    assert content.original == FACE.read_bytes()
    assert {r["consumer"] for r in line.rows(receipts)} == {"parsing", "reconciliation", "consent", "forwarding"}
    assert len(line.rows(certificates)) == len(line.rows(copies)) == 1


def test_a_file_that_is_open_again_is_settled_no_more_and_every_invariant_is_held(line: Line, parser: Parser) -> None:
    parser(rejects)
    file_id = line.capture(FACE)
    parser(None)
    line.has_chart = False
    line.reread(file_id)
    stored = line.file(file_id)
    assert (stored["outcome"], stored["outcome_at"], stored["settled_at"]) == ("pending", None, None)
    with line.centre.store.reading() as connection:
        found = invariants.verify(connection, line.centre.keyring, line.now)
    assert [finding.name for finding in invariants.broken(found)] == []


def test_a_delivered_file_that_reads_otherwise_replaces_the_record_alone(line: Line, parser: Parser) -> None:
    parser(nameless)
    file_id = line.capture(FACE)
    parser(None)
    line.reread(file_id)
    assert [(revision, content.original is None) for _, revision, content in line.deliveries] == [(1, False), (2, True)]
    first, second = (content.record["results"][0]["record"] for _, _, content in line.deliveries)
    assert "name" not in first["result"]
    assert second["result"]["name"]
    stored = line.file(file_id)
    assert (stored["outcome"], stored["revision"]) == ("delivered", 2)
    assert stored["settled_at"] is not None
    assert {held["revision"] for held in line.rows(results)} == {2}
    grant_ids = [grant["grant_id"] for grant in line.rows(grants)]
    assert len(grant_ids) == len(set(grant_ids))


def test_repeating_the_same_order_changes_nothing_more(line: Line, parser: Parser) -> None:
    parser(nameless)
    file_id = line.capture(FACE)
    parser(None)
    line.reread(file_id)
    before = everything(line)
    line.reread(file_id)
    line.reread(file_id, "two")
    assert everything(line) == before
    assert len(line.deliveries) == 2


def test_a_file_that_met_a_bug_is_read_as_its_first_revision(line: Line, parser: Parser) -> None:
    parser(fails)
    file_id = line.capture(FACE)
    assert line.parked == [("parsing", "bug_KeyError")]
    parser(None)
    line.reread(file_id)
    assert (line.file(file_id)["outcome"], line.file(file_id)["revision"]) == ("delivered", 1)
    assert len(line.deliveries) == 1


@pytest.mark.parametrize("worse", [rejects, fails], ids=["rejected", "bug"])
def test_what_reads_worse_than_before_is_parked_and_stays_as_it_was(line: Line, parser: Parser, worse: Spoil) -> None:
    file_id = line.capture(FACE)
    before = everything(line)
    parser(worse)
    assert line.reread(file_id) == []
    assert everything(line) == before
    assert line.parked == [("parsing", "bug_KeyError" if worse is fails else "no_longer_read")]


def test_a_rejection_with_another_reason_only_changes_the_reason(line: Line, parser: Parser) -> None:
    parser(rejects)
    file_id = line.capture(FACE)
    parser(lambda got: replace(rejects(got), reason="truncated"))
    assert types_of(line.reread(file_id)) == ["file.rejected"]
    stored = line.file(file_id)
    assert (stored["outcome"], stored["reason"], stored["revision"]) == ("rejected", "truncated", 1)
    assert stored["settled_at"] is not None


def test_what_was_not_due_and_is_now_is_delivered(line: Line, parser: Parser) -> None:
    parser(not_due)
    file_id = line.capture(FACE)
    assert line.file(file_id)["outcome"] == "not_due"
    parser(None)
    line.reread(file_id)
    assert (line.file(file_id)["outcome"], line.file(file_id)["revision"]) == ("delivered", 2)


@pytest.mark.parametrize("reason", ["discarded", "foreign_answer"])
def test_what_a_person_or_reconciliation_rejected_stays_rejected(line: Line, parser: Parser, reason: str) -> None:
    parser(rejects)
    file_id = line.capture(FACE)
    with line.centre.store.transaction() as connection:
        connection.execute(files.update().values(reason=reason))
    before = everything(line)
    parser(None)
    assert line.reread(file_id) == []
    assert everything(line) == before


def test_what_a_person_confirmed_stays_confirmed(line: Line, parser: Parser) -> None:
    from consumers.reconciliation import review  # noqa: PLC0415

    parser(nameless)
    file_id = line.capture(FACE)
    decision = review.Decision("s1", "known at the desk", line.now)
    with line.centre.store.transaction() as connection:
        event = review.confirm(connection, line.centre.keyring, file_id, decision, "10234")
    line.run(event)
    parser(None)
    line.reread(file_id)
    (held,) = line.rows(results)
    assert (held["confirmed_by"], held["state"], held["revision"]) == ("s1", "closed", 2)
    assert [revision for _, revision, _ in line.deliveries] == [1, 2, 3]
    assert line.deliveries[-1][2].record["results"][0]["record"]["result"]["name"]


def test_a_copy_that_comes_after_a_second_reading_is_only_a_copy(line: Line, parser: Parser) -> None:
    parser(rejects)
    file_id = line.capture(FACE)
    parser(None)
    line.reread(file_id)
    assert line.capture(FACE, FACE.name.replace("3fb0", "3fb1")) == file_id
    assert len(line.deliveries) == 1
    assert line.file(file_id)["revision"] == 2
    assert len(line.rows(copies)) == 2
