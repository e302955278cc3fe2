"""What the harness reads from a trace, and how it chooses, is held to what strace writes."""

import random
from pathlib import Path

import pytest

from tests.support.published import between
from tests.support.sweep.drive import Outcome
from tests.support.sweep.order import check
from tests.support.sweep.points import Point, faults, kills, pairs
from tests.support.sweep.report import BEGIN, END, tables
from tests.support.sweep.strace import read

WAL = "9</s/state/edge/c001.t1.db-wal>"
SEGMENT = "17</s/state/edge/c001.t1.spool/0000000001.seg>"
FLUSHED = [
    f'11 pwrite64({SEGMENT}, "OSp1\\0) = 7", 12, 0) = 12',
    f"11 fsync({SEGMENT} <unfinished ...>",
    "12 fsync(3</s/other>)               = 0",
    "11 <... fsync resumed>)             = 0",
    f'11 pwrite64({WAL}, "page", 4096, 0) = 4096',
    f"11 fdatasync({WAL})                 = 0",
]


def test_a_call_that_strace_writes_in_two_lines_is_one_call() -> None:
    calls = list(read(FLUSHED))
    assert [(c.name, c.began, c.ended, c.result) for c in calls[:3]] == [
        ("pwrite64", 0, 0, "12"),
        ("fsync", 1, 3, "0"),
        ("fsync", 2, 2, "0"),
    ]
    assert calls[1].path() == "/s/state/edge/c001.t1.spool/0000000001.seg"
    assert calls[0].strings() == ["OSp1\\0) = 7"]


@pytest.mark.parametrize(
    ("line", "is_done"),
    [
        ("11 fsync(3</s/a>) = 0", True),
        ("11 fsync(3</s/a>) = -1 EIO (Input/output error) (INJECTED)", False),
        ("11 fsync(3</s/a>) = ?", False),
        ("11 fsync(3</s/a> <unfinished ...>", False),
        ('11 unlinkat(3</s>, "x", 0) = 0', True),
    ],
)
def test_a_call_that_failed_or_never_returned_is_not_done(line: str, *, is_done: bool) -> None:
    (call,) = read([line])
    assert call.is_done == is_done


@pytest.mark.parametrize("left_out", [None, *range(len(FLUSHED))])
def test_a_ledger_written_before_the_spool_is_flushed_is_told(tmp_path: Path, left_out: int | None) -> None:
    log = tmp_path / "trace"
    log.write_text("\n".join(line for number, line in enumerate(FLUSHED) if number != left_out))
    found = check(log)
    assert bool(found.broken) == (left_out in (1, 3))


def test_a_point_is_read_as_it_is_written() -> None:
    for point in (Point("chart", "worker 0", "pwrite64", 7), Point("all", "inal t1 capture", "fsync", 1, "EIO")):
        assert Point.read(str(point)) == point


def test_points_come_from_every_thread_and_call_and_the_same_again_with_the_same_seed() -> None:
    counts = {("a", "fsync"): 2, ("a", "pwrite64"): 30, ("b", "renameat"): 1}
    one, other = (kills("chart", counts, random.Random(7)) for _ in range(2))
    first = [next(one) for _ in range(12)]
    assert first == [next(other) for _ in range(12)]
    assert {(point.thread, point.call) for point in first[:3]} == set(counts)
    assert all(1 <= point.k <= counts[point.thread, point.call] for point in first)
    errors = faults("chart", counts, random.Random(7))
    assert {next(errors).fault for _ in range(9)} == {"ENOSPC", "EIO", "EACCES"}


def test_two_roles_at_once_are_never_the_same_role() -> None:
    endless = {name: iter([Point(name, "t", "fsync", 1)]) for name in "abcd"}
    (one, other), (third, fourth) = pairs(endless, random.Random(1))
    assert {point.role for point in (one, other, third, fourth)} == set("abcd")


def test_the_report_replaces_what_stands_between_its_markers_and_counts_only_points_that_were_reached() -> None:
    point = Point("chart", "worker 0", "fsync", 1)
    results = ["held", "held", "broken", "not_reached"]
    rows = [{**_row(Outcome(point, result, 1.5)), "seed": 3} for result in results]
    text = between(f"before\n{BEGIN}\nold\n{END}\nafter\n", BEGIN, tables(rows), END)
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "old" not in text
    assert "| kill points | chart | 3 | 2 | 1 | fsync 3 | 1.5 |" in text
    assert "3 points were reached, 1 broke an invariant; 1 more round" in text


def _row(outcome: Outcome) -> dict[str, object]:
    return {
        "role": outcome.point.role,
        "call": outcome.point.call,
        "fault": outcome.point.fault,
        "outcome": outcome.result,
        "seconds": outcome.seconds,
    }
