"""The clinic's side fails: the chart's folder, the share, the files, or a second process."""

import os
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.read_only import read_only
from tests.support.scenario import Scenario, scenario
from tests.support.site import Taker, names
from tests.support.sweep.strace import Tracer

pytestmark = [pytest.mark.takes(25), pytest.mark.timeout(600)]


def delivered(run: Scenario) -> int:
    return int(run.made.ask("status")["outcomes"]["delivered"])


@pytest.mark.soak
def test_an_inbox_that_is_missing_for_a_while_gets_everything_once_when_it_is_back(tmp_path: Path) -> None:
    with scenario("inbox missing", tmp_path) as run:
        run.made.start()
        run.arrive(20)
        run.taken(40)
        run.made.inbox.rename(tmp_path / "elsewhere")
        run.fault()
        run.arrive(40)
        eventually(lambda: run.made.state()["files"]["stored"] == 40, 150, "40 files that wait for the chart")
        assert len(names([run.made.face])) == 40, "nothing undelivered was erased"
        (tmp_path / "elsewhere").rename(run.made.inbox)
        run.healed()
        run.finish()


@pytest.mark.soak
def test_an_inbox_replaced_by_an_empty_one_under_load_is_filled_once(tmp_path: Path) -> None:
    with scenario("inbox replaced", tmp_path) as run:
        run.made.start()
        run.arrive(150)
        run.taken(60)
        old = tmp_path / "old"
        run.made.inbox.rename(old)
        run.fault()
        run.made.inbox.mkdir()
        run.healed()
        # What was finished in the old folder is the chart's; what was not is hidden there and comes to the new one.
        with Taker(old) as rest:
            run.made.wait_until_final(run.files)
        run.taker.absorb(rest)
        run.finish()


@pytest.mark.soak
def test_a_share_that_is_away_for_a_while_makes_nothing_vanish(tmp_path: Path) -> None:
    with scenario("share away", tmp_path) as run:
        process = run.made.start()
        run.arrive(10)
        run.taken(20)
        eventually(lambda: run.made.state()["files"]["erased"] == 10, 150)
        # The chart's folder goes too, so that files are still on the terminal when its share goes.
        run.made.inbox.rename(tmp_path / "inbox")
        run.arrive(40)
        eventually(lambda: run.made.state()["files"]["stored"] == 40, 150)
        for times in range(1, 4):
            run.made.face.rename(tmp_path / "face")
            run.fault()
            run.said("a folder is away", times)
            # It is said once for each absence, so the return must have been seen before it goes again.
            eventually(lambda: "share_away" in run.made.state()["terminals"]["t1"]["faults"], 150)
            (tmp_path / "face").rename(run.made.face)
            eventually(lambda: not run.made.state()["terminals"]["t1"]["faults"], 150)
        assert run.made.ask("status")["files"]["vanished"] == 0
        (tmp_path / "inbox").rename(run.made.inbox)
        run.healed()
        run.finish()
        assert process.returncode == 0


@pytest.mark.soak
def test_a_share_that_was_replaced_by_an_empty_folder_makes_nothing_vanish_and_nothing_certified(
    tmp_path: Path,
) -> None:
    with scenario("empty folder under the mount", tmp_path) as run:
        run.made.start()
        run.made.inbox.rename(tmp_path / "inbox")
        run.arrive(30)
        eventually(lambda: run.made.state()["files"]["stored"] == 30, 150)
        run.made.face.rename(tmp_path / "face")
        run.made.face.mkdir()
        run.fault()
        (tmp_path / "inbox").rename(run.made.inbox)
        run.taken(60)
        run.said("a folder is away")
        state = run.made.ask("status")
        assert (state["certificates"], state["files"]["vanished"]) == (0, 0)
        run.made.face.rmdir()
        (tmp_path / "face").rename(run.made.face)
        run.healed()
        run.finish()


@pytest.mark.soak
def test_files_rewritten_while_they_are_read_come_as_what_they_became(tmp_path: Path) -> None:
    with scenario("rewritten during capture", tmp_path) as run:
        run.arrive(40)
        whole = {path: path.read_bytes() for path in run.made.face.iterdir()}
        halves = run.dice.sample(sorted(whole), 20)
        for path in halves:
            path.write_bytes(whole[path][: len(whole[path]) // 2])
            run.fault()
        run.made.start()
        run.taken(40)
        for path in halves:
            # In place, byte by byte for the eye: the same inode grows to what it was meant to be.
            with path.open("ab") as out:
                for part in (whole[path][len(whole[path]) // 2 : -10], whole[path][-10:]):
                    out.write(part)
                    out.flush()
                    os.fsync(out.fileno())
        run.healed()
        run.finish()
        assert run.made.ask("status")["outcomes"]["delivered"] == 40


@pytest.mark.soak
def test_files_moved_away_during_capture_are_delivered_or_never_taken_and_none_is_certified_falsely(
    tmp_path: Path,
) -> None:
    with scenario("moved away during capture", tmp_path) as run:
        process = run.made.start()
        run.arrive(120)
        run.taken(20)
        away = tmp_path / "away"
        away.mkdir()
        moved = 0
        for path in run.dice.sample(sorted(run.made.face.iterdir()), 40):
            run.taker.release(path.name)
            try:
                path.rename(away / path.name)
            except FileNotFoundError:
                continue
            moved += 1
            run.fault()
        assert moved > 0
        eventually(lambda: names([run.made.face]) == [], 120, "an empty folder")

        def settled() -> bool:
            files, outcomes = (run.made.ask("status")[key] for key in ("files", "outcomes"))
            return files["erased"] + files["vanished"] == outcomes["delivered"] and not outcomes["pending"]

        eventually(settled, 150, "every file settled")
        state = run.made.ask("status")
        assert state["certificates"] == state["files"]["erased"]
        assert state["certificates"] <= 120 - moved
        # Brought back, each is delivered if it never was; the others are copies of files that the chart has.
        for path in away.iterdir():
            path.rename(run.made.face / path.name)
        run.healed()
        eventually(lambda: names([run.made.face]) == [], 120, "an empty folder")
        eventually(lambda: delivered(run) == run.files and not run.made.state()["files"]["stored"], 150)
        run.drained()
        assert run.made.stop(process) == 0
        run.prove()


def test_an_inbox_that_is_read_only_for_a_while_gets_everything_once_when_it_can_be_written(tmp_path: Path) -> None:
    with scenario("inbox read-only", tmp_path) as run:
        run.made.start()
        run.arrive(20)
        run.taken(40)
        with read_only(run.made.inbox):
            run.fault()
            run.arrive(40)
            eventually(lambda: run.made.state()["files"]["stored"] >= 40, 150, "40 files that wait for the chart")
            assert len(names([run.made.face])) >= 40, "nothing undelivered was erased"
        run.healed()
        run.finish()


@pytest.mark.soak
@pytest.mark.rabbitmq
def test_a_slow_inbox_delays_and_loses_nothing(tmp_path: Path, rabbit_url: str) -> None:
    with scenario("slow inbox", tmp_path, broker=rabbit_url) as run:
        chart = run.made.start("chart")
        for role in ("terminal", "parsing", "reconciliation", "consent", "forwarding", "deletion"):
            run.made.start(role)
        run.arrive(10)
        run.taken(20)
        calls = "fsync,syncfs,renameat,renameat2"
        delay = ("-e", f"trace={calls}", "-e", f"inject={calls}:delay_enter=100000")
        with Tracer([chart.pid], tmp_path / "slow.trace", "-f", *delay):
            run.fault()
            run.arrive(60)
            run.taken(60)
        run.healed()
        run.finish()


@pytest.mark.soak
def test_a_share_that_is_read_only_for_a_while_is_delivered_and_erased_when_it_can_be_written(tmp_path: Path) -> None:
    with scenario("share read-only", tmp_path) as run:
        process = run.made.start()
        run.arrive(20)
        run.made.wait_until_final(20)
        run.made.inbox.rename(tmp_path / "inbox")
        run.arrive(40)
        eventually(lambda: run.made.state()["files"]["stored"] == 40, 150, "40 files that wait for the chart")
        # The terminal holds its folder open, so a mount above it would change nothing: its calls are answered instead.
        calls = "renameat,renameat2,unlinkat"
        refuse = ("-P", str(run.made.face), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EROFS")
        with Tracer([process.pid], tmp_path / "read-only.trace", "-f", *refuse):
            run.fault()
            (tmp_path / "inbox").rename(run.made.inbox)
            run.said('"erasure_failed"')
            assert len(names([run.made.face])) == 40
        # A second refusal in a row is answered with a minute's patience, a third with ten.
        run.healed()
        run.finish(300)


@pytest.mark.soak
@pytest.mark.rabbitmq
def test_files_that_another_program_keeps_locked_wait_and_are_certified_only_when_they_are_gone(
    tmp_path: Path, rabbit_url: str
) -> None:
    with scenario("files locked", tmp_path, broker=rabbit_url) as run:
        terminal = run.made.start("terminal")
        for role in ("chart", "parsing", "reconciliation", "consent", "forwarding", "deletion"):
            run.made.start(role)
        run.arrive(10)
        run.made.wait_until_final(10)
        run.arrive(40)
        run.taken(40)
        # What a lock of another program does to ours: opening, renaming and removing are refused, names are seen.
        calls = "openat,renameat,renameat2,unlinkat"
        refuse = ("-P", str(run.made.face), "-e", f"trace={calls}", "-e", f"inject={calls}:error=EACCES")
        log = tmp_path / "locked.trace"
        with Tracer([terminal.pid], log, "-f", *refuse):
            run.fault()
            run.arrive(20)
            eventually(lambda: log.read_text(errors="replace").count("INJECTED") > 10, 150, "refused calls")
            assert len(names([run.made.face])) >= 20, "what could not be read was not erased"
        run.healed()
        run.finish(300)


@pytest.mark.soak
@pytest.mark.takes(240)
@pytest.mark.timeout(1200)
def test_a_burst_of_ten_thousand_files_is_taken_without_a_loss(tmp_path: Path) -> None:
    with scenario("burst of 10,000", tmp_path, pool=10_000) as run:
        run.made.start()
        run.arrive(10_000)
        run.fault()
        run.healed()
        run.finish(1000)


@pytest.mark.takes(35)
@pytest.mark.rabbitmq
def test_a_second_terminal_process_is_refused_clearly_and_takes_over_only_when_the_first_is_gone(
    tmp_path: Path, rabbit_url: str
) -> None:
    with scenario("second terminal process", tmp_path, broker=rabbit_url) as run:
        first = run.made.start("terminal")
        for role in ("chart", "parsing", "reconciliation", "consent", "forwarding", "deletion"):
            run.made.start(role)
        run.arrive(20)
        run.taken(40)
        second = run.made.start("terminal")
        log = run.made.root / f"run-{len(run.made.processes) - 1}.log"
        eventually(lambda: "second_process" in log.read_text(), 150, "the refusal")
        assert "another process uses c001.t1.db" in log.read_text()
        run.arrive(20)
        run.taken(80)
        assert first.poll() is None
        run.made.kill(first)
        run.fault()
        run.arrive(20)
        run.healed()
        run.finish()
        assert second.returncode == 0
