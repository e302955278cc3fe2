"""What is erased, when it is not, and what an attacker with the share gains: nothing."""

import os
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.events import ErasureFailed, FileCaptured, FileErased, FileVanished, HoldKept, HoldMissed
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, SteppingClock, TerminalBench, content, face_name


def stored(terminal: TerminalBench, *numbers: int) -> list[FileCaptured]:
    for number in numbers:
        terminal.drop(number)
    captured = terminal.captured(len(numbers))
    terminal.store(*captured)
    eventually(lambda: terminal.custody() == {"stored": len(numbers)})
    return captured


def failure(terminal: TerminalBench) -> str:
    return terminal.wait_for(ErasureFailed)[0].reason


def test_ordered_copies_are_overwritten_removed_and_certified(bench: BenchMaker) -> None:
    terminal = bench()
    captured = stored(terminal, *range(10))
    terminal.order(*[terminal.erasure(event) for event in captured])
    erased = terminal.wait_for(FileErased, 10)
    assert {e.level for e in erased} == {"L1"}
    assert all(e.bytes_read_back == e.size and e.verified_absent for e in erased)
    assert {e.copy_id for e in erased} == {e.copy_id for e in captured}
    assert not list(terminal.terminal.face.iterdir())
    eventually(lambda: terminal.custody() == {"erased": 10})


def test_the_bytes_on_the_disk_are_overwritten_and_not_only_unlinked(bench: BenchMaker) -> None:
    terminal = bench()
    (event,) = stored(terminal, 1)
    handle = os.open(terminal.terminal.face / face_name(1), os.O_RDONLY)
    terminal.order(terminal.erasure(event))
    terminal.wait_for(FileErased)
    assert len(left := os.read(handle, 10_000)) == len(content(1))
    os.close(handle)
    assert left != content(1)


def test_an_order_for_an_erased_copy_is_answered_again_with_the_same_evidence(bench: BenchMaker) -> None:
    terminal = bench()
    (event,) = stored(terminal, 1)
    terminal.order(terminal.erasure(event))
    (first,) = terminal.wait_for(FileErased)
    terminal.order(terminal.erasure(event))
    assert terminal.wait_for(FileErased, 2) == [first, first]


def test_an_order_whose_lease_has_run_out_is_dropped_in_silence(bench: BenchMaker) -> None:
    terminal = bench()
    first, second = stored(terminal, 1, 2)
    terminal.order(terminal.erasure(first, until=datetime.now(UTC) - timedelta(seconds=1)), terminal.erasure(second))
    assert [e.copy_id for e in terminal.wait_for(FileErased)] == [second.copy_id]
    assert not terminal.of(ErasureFailed)
    assert len(list(terminal.terminal.face.iterdir())) == 1


def test_a_held_copy_is_not_erased_until_its_hold_is_released(bench: BenchMaker) -> None:
    terminal = bench()
    (event,) = stored(terminal, 1)
    terminal.order(terminal.hold(event))
    terminal.wait_for(HoldKept)
    assert terminal.custody() == {"held": 1}
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "held"
    assert (terminal.terminal.face / face_name(1)).read_bytes() == content(1)
    terminal.order(terminal.hold(event, release=True))
    eventually(lambda: terminal.custody() == {"stored": 1})
    terminal.order(terminal.erasure(event))
    terminal.wait_for(FileErased)
    terminal.order(terminal.hold(event))
    terminal.wait_for(HoldMissed)


def test_content_changed_at_the_last_moment_is_kept_and_captured(bench: BenchMaker) -> None:
    terminal = bench(edge={"scan_seconds": 30.0})
    (event,) = stored(terminal, 1)
    changed = content(2)
    assert len(changed) == len(content(1))
    (terminal.terminal.face / face_name(1)).write_bytes(changed)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "changed"
    eventually(lambda: (terminal.terminal.face / face_name(1)).read_bytes() == changed)
    assert terminal.opened(terminal.captured(2)[1]).content == changed
    assert not terminal.quarantined()


@pytest.mark.parametrize("make", [os.symlink, os.link], ids=["symlink", "hard link"])
def test_a_planted_link_is_refused_and_its_victim_untouched(bench: BenchMaker, tmp_path: Path, make: object) -> None:
    terminal = bench(edge={"scan_seconds": 30.0})
    (event,) = stored(terminal, 1)
    victim = tmp_path / "victim"
    victim.write_bytes(content(1))
    path = terminal.terminal.face / face_name(1)
    path.unlink()
    make(victim, path)  # type: ignore[operator]
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "linked"
    assert victim.read_bytes() == content(1)


def test_a_second_name_given_to_the_file_stops_its_erasure(bench: BenchMaker, tmp_path: Path) -> None:
    terminal = bench(edge={"scan_seconds": 30.0})
    (event,) = stored(terminal, 1)
    os.link(terminal.terminal.face / face_name(1), tmp_path / "other")
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "linked"
    assert (tmp_path / "other").read_bytes() == content(1)


def test_a_folder_swapped_for_a_link_leads_nowhere(bench: BenchMaker, tmp_path: Path) -> None:
    terminal = bench(edge={"scan_seconds": 30.0})
    (event,) = stored(terminal, 1)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / face_name(1)).write_bytes(content(1))
    terminal.terminal.face.rename(tmp_path / "moved")
    terminal.terminal.face.symlink_to(elsewhere)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "share_away"
    assert (elsewhere / face_name(1)).read_bytes() == content(1)


def test_a_copy_another_program_removed_has_vanished_and_is_not_certified(bench: BenchMaker) -> None:
    terminal = bench(edge={"scan_seconds": 30.0})
    (event,) = stored(terminal, 1)
    (terminal.terminal.face / face_name(1)).unlink()
    terminal.order(terminal.erasure(event))
    terminal.wait_for(FileVanished)
    assert not terminal.of(FileErased)
    assert terminal.custody() == {"vanished": 1}


def test_nothing_is_erased_by_an_unreliable_clock(bench: BenchMaker) -> None:
    clock = SteppingClock()
    terminal = bench(clock)
    (event,) = stored(terminal, 1)
    clock.shift = timedelta(hours=25)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "clock"
    assert (terminal.terminal.face / face_name(1)).exists()
    assert terminal.role
    assert "clock" in terminal.role.snapshot().faults


def test_nothing_is_erased_before_its_least_age(bench: BenchMaker) -> None:
    terminal = bench(centre={"minimum_age_seconds": 3600.0})
    (event,) = stored(terminal, 1)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "too_young"


def test_a_copy_seen_by_a_clock_that_was_ahead_is_erased_all_the_same(bench: BenchMaker) -> None:
    clock = SteppingClock()
    clock.shift = timedelta(days=30)
    terminal = bench(clock)
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.stop()
    clock.shift = timedelta()
    terminal.start()
    terminal.store(event)
    terminal.order(terminal.erasure(event))
    terminal.wait_for(FileErased)


def test_beside_another_program_nothing_is_erased_before_its_hours(bench: BenchMaker) -> None:
    terminal = bench(terminal={"mode": "beside", "erase_after": "1h"})
    (event,) = stored(terminal, 1)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "too_young"


def test_an_order_the_centre_did_not_check_is_refused(bench: BenchMaker) -> None:
    terminal = bench()
    (event,) = stored(terminal, 1)
    terminal.order(terminal.erasure(event, preconditions=("C3",)))
    assert failure(terminal) == "unproven"


def test_a_rescue_folder_is_read_and_never_erased(bench: BenchMaker, tmp_path: Path) -> None:
    rescue = tmp_path / "rescue"
    rescue.mkdir()
    terminal = bench(terminal={"rescue": (rescue,)})
    (rescue / face_name(1)).write_bytes(content(1))
    (rescue / "OQSsiquc01res_202605120001.xml").write_bytes(content(2))
    (event,) = terminal.captured()
    assert terminal.opened(event).folder == "face"
    terminal.store(event)
    terminal.order(terminal.erasure(event))
    assert failure(terminal) == "rescue"
    assert (rescue / face_name(1)).read_bytes() == content(1)


def crashed_with(terminal: TerminalBench, phase: str, quarantine: str) -> None:
    """Leave the ledger as a crash in the middle of an erasure would."""
    terminal.stop()
    db = sqlite3.connect(terminal.ledger)
    (copy_id,) = db.execute("SELECT copy_id FROM copies").fetchone()
    db.execute("INSERT INTO erasures VALUES (?, ?, ?, 'c', 'c', ?, 1, NULL)", (copy_id, quarantine, phase, TRACE))
    db.commit()
    db.close()


TRACE = "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
QUARANTINE = ".onshi-aa.erasing"


def test_an_erasure_cut_off_after_the_rename_is_finished(bench: BenchMaker) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "intended", QUARANTINE)
    (terminal.terminal.face / face_name(1)).rename(terminal.terminal.face / QUARANTINE)
    terminal.start()
    assert terminal.wait_for(FileErased)[0].level == "L1"
    assert not list(terminal.terminal.face.iterdir())


def test_an_erasure_cut_off_while_overwriting_is_finished(bench: BenchMaker) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "overwriting", QUARANTINE)
    path = terminal.terminal.face / face_name(1)
    with path.open("r+b") as half:
        half.write(b"\0" * 20)
    path.rename(terminal.terminal.face / QUARANTINE)
    terminal.start()
    assert terminal.wait_for(FileErased)[0].level == "L1"


def test_an_erasure_cut_off_while_overwriting_is_finished_after_the_share_came_back_as_another_device(
    bench: BenchMaker,
) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "overwriting", QUARANTINE)
    terminal.write("UPDATE copies SET dev = '1' || dev")
    (terminal.terminal.face / face_name(1)).rename(terminal.terminal.face / QUARANTINE)
    terminal.start()
    assert terminal.wait_for(FileErased)[0].level == "L1"
    assert not list(terminal.terminal.face.iterdir())


def test_an_erasure_whose_end_nobody_saw_is_certified_as_removal_only(bench: BenchMaker) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "overwriting", QUARANTINE)
    (terminal.terminal.face / face_name(1)).unlink()
    terminal.start()
    event = terminal.wait_for(FileErased)[0]
    assert (event.level, event.bytes_read_back) == ("L0", 0)


def test_an_erasure_cut_off_before_the_rename_leaves_the_file(bench: BenchMaker) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "intended", QUARANTINE)
    terminal.start()
    eventually(lambda: not terminal.rows("SELECT * FROM erasures"))
    assert (terminal.terminal.face / face_name(1)).read_bytes() == content(1)


def test_a_file_in_quarantine_that_is_not_ours_waits_until_its_name_is_free(bench: BenchMaker) -> None:
    terminal = bench()
    stored(terminal, 1)
    crashed_with(terminal, "intended", QUARANTINE)
    path = terminal.terminal.face / face_name(1)
    path.write_bytes(content(3))
    path.rename(terminal.terminal.face / QUARANTINE)
    path.write_bytes(content(4))
    terminal.start()
    assert failure(terminal) == "changed"
    assert (path.read_bytes(), (terminal.terminal.face / QUARANTINE).read_bytes()) == (content(4), content(3))
    terminal.stop()
    path.unlink()
    terminal.start()
    eventually(lambda: path.exists() and path.read_bytes() == content(3))
