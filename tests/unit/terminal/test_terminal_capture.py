"""What is taken from the share, what is not, and what is left as it was."""

import os
import stat
import zipfile
from datetime import timedelta
from functools import partial
from pathlib import Path

from pipeline.events import FileCaptured, FileRefused, FileVanished
from producers.terminal.ledger import Ledger
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, SteppingClock, TerminalBench, content, face_name


def has_come_round(terminal: TerminalBench, since: float) -> bool:
    return terminal.role is not None and terminal.role._ticks["capture"] > since


def test_a_file_that_lay_there_before_the_start_is_captured_with_name_and_content_sealed(bench: BenchMaker) -> None:
    terminal = bench(start=False)
    terminal.drop(1)
    terminal.start()
    (event,) = terminal.captured()
    inside = terminal.opened(event)
    assert (inside.name, inside.folder, inside.content) == (face_name(1), "face", content(1))
    assert content(1) not in event.sealed
    terminal.store(event)
    eventually(lambda: terminal.custody() == {"stored": 1})


def test_a_file_renamed_in_is_captured_and_its_temporary_name_never(bench: BenchMaker) -> None:
    terminal = bench()
    partial = terminal.terminal.face / "writing.tmp"
    partial.write_bytes(content(1))
    partial.rename(terminal.terminal.face / face_name(1))
    assert terminal.opened(terminal.captured()[0]).name == face_name(1)


def test_a_slow_writer_is_waited_for(bench: BenchMaker) -> None:
    terminal = bench(edge={"unfinished_seconds": 30.0})
    whole = content(1)
    path = terminal.drop(1, whole[:10])
    for at in range(10, len(whole), 20):
        eventually(lambda: terminal.custody().get("seen") == 1)
        with path.open("ab") as out:
            out.write(whole[at : at + 20])
    assert terminal.opened(terminal.captured()[0]).content == whole
    assert len(terminal.of(FileCaptured)) == 1


def test_an_unfinished_and_an_empty_file_are_taken_as_they_are_in_the_end(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1, b"<Xml")
    terminal.drop(2, b"")
    assert {terminal.opened(event).content for event in terminal.captured(2)} == {b"<Xml", b""}


def test_other_content_under_the_same_name_is_another_copy_and_the_first_has_vanished(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.drop(1)
    (first,) = terminal.captured()
    terminal.store(first)
    eventually(lambda: terminal.custody() == {"stored": 1})
    terminal.drop(1, content(2))
    copies = terminal.captured(2)
    assert len({event.file_id for event in copies}) == 2
    assert [event.copy_id for event in terminal.wait_for(FileVanished)] == [first.copy_id]


def test_a_file_that_returns_after_it_was_gone_is_another_copy_of_the_same_file(bench: BenchMaker) -> None:
    terminal = bench()
    path = terminal.drop(1)
    terminal.captured()
    path.unlink()
    eventually(lambda: terminal.custody() == {"vanished": 1})
    terminal.drop(1)
    copies = terminal.captured(2)
    assert len({event.file_id for event in copies}) == 1


def test_a_touched_file_is_not_captured_again(bench: BenchMaker) -> None:
    terminal = bench()
    path = terminal.drop(1)
    terminal.captured()
    os.utime(path, ns=(1, 1))
    eventually(lambda: terminal.rows("SELECT mtime_ns FROM copies") == [(1,)])
    assert terminal.custody() == {"captured": 1}


def test_what_is_not_a_plain_small_file_is_refused_and_left_as_it_was(bench: BenchMaker, tmp_path: Path) -> None:
    terminal = bench(start=False, edge={"size_limit_bytes": 1000})
    face, victim, twin = terminal.terminal.face, tmp_path / "victim", tmp_path / "twin"
    victim.write_bytes(content(7))
    twin.write_bytes(content(8))
    (face / face_name(1)).symlink_to(victim)
    os.link(twin, face / face_name(2))
    terminal.drop(3, b"x" * 1001)
    (face / face_name(4)).mkdir()
    os.mkfifo(face / face_name(5))
    terminal.start()
    refused = terminal.wait_for(FileRefused, 5)
    reasons = sorted(event.reason for event in refused)
    assert reasons == ["linked", "linked", "not_regular", "not_regular", "too_large"]
    assert not terminal.of(FileCaptured)
    assert (victim.read_bytes(), twin.read_bytes()) == (content(7), content(8))
    assert (face / face_name(3)).read_bytes() == b"x" * 1001
    assert terminal.custody() == {"held": 5}


def test_names_of_others_are_never_taken(bench: BenchMaker) -> None:
    terminal = bench(start=False)
    face, res = terminal.terminal.face, terminal.terminal.res
    for path in (face / "del1.txt", face / "a.tmp", res / "EPSsiPIRes_202605120001.xml", res / face_name(9)):
        path.write_bytes(content(1))
    (face / "trash").mkdir()
    (face / "trash" / face_name(3)).write_bytes(content(3))
    terminal.drop(1)
    terminal.start()
    assert len(terminal.captured()) == 1
    eventually(lambda: terminal.custody() == {"captured": 1})


def test_beside_another_program_only_answers_to_our_own_requests_are_taken_from_res(bench: BenchMaker) -> None:
    terminal = bench(terminal={"mode": "beside"})
    terminal.order(terminal.request("abcdefabcdef"))
    eventually(lambda: list(terminal.terminal.req.glob("OQS*")))
    (terminal.terminal.res / "OQSsiquc01res_202605120001.xml").write_bytes(content(1))
    (terminal.terminal.res / "OQSsiquc01res_abcdefabcdef.xml").write_bytes(content(2))
    assert [terminal.opened(event).content for event in terminal.captured()] == [content(2)]
    eventually(lambda: terminal.custody() == {"captured": 1})


def test_a_burst_is_captured_whole(bench: BenchMaker) -> None:
    terminal = bench()
    for number in range(2000):
        terminal.drop(number)
    captured = terminal.captured(2000, seconds=60)
    assert {terminal.opened(event).name for event in captured} == {face_name(number) for number in range(2000)}


def test_a_copy_nobody_answers_is_published_again_and_no_more_once_stored(bench: BenchMaker) -> None:
    terminal = bench(centre={"republish_seconds": 0.3})
    terminal.drop(1)
    again = terminal.wait_for(FileCaptured, 2)
    assert len({event.id for event in again}) == 1
    terminal.store(again[0])
    eventually(lambda: terminal.rows("SELECT next_publish_at FROM copies") == [(None,)])


def test_a_clock_that_was_ahead_and_is_put_right_silences_no_copy(bench: BenchMaker) -> None:
    clock = SteppingClock()
    clock.shift = timedelta(days=30)
    terminal = bench(clock, centre={"republish_seconds": 0.3})
    terminal.drop(1)
    terminal.captured()
    clock.shift = timedelta()
    before = len(terminal.of(FileCaptured))
    terminal.wait_for(FileCaptured, before + 2)


def test_nothing_counts_as_gone_while_the_share_is_away(bench: BenchMaker, tmp_path: Path) -> None:
    terminal = bench()
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.store(event)
    assert terminal.role
    terminal.terminal.face.rename(tmp_path / "unmounted")
    eventually(lambda: terminal.role and "share_away" in terminal.role.snapshot().faults)
    # The empty folder that a lost mount uncovers.
    terminal.terminal.face.mkdir()
    for _ in range(5):
        came_round_at = terminal.role._ticks["capture"]
        eventually(partial(has_come_round, terminal, came_round_at))
    assert "share_away" in terminal.role.snapshot().faults
    assert terminal.custody() == {"stored": 1}
    terminal.terminal.face.rmdir()
    (tmp_path / "unmounted").rename(terminal.terminal.face)
    eventually(lambda: terminal.role and "share_away" not in terminal.role.snapshot().faults)
    assert terminal.custody() == {"stored": 1}
    assert not terminal.of(FileVanished)


def test_the_ledger_is_readable_for_its_owner_alone(tmp_path: Path) -> None:
    old = os.umask(0o022)
    try:
        Ledger(tmp_path / "state" / "t1.db").close()
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "state" / "t1.db").stat().st_mode) == 0o600


def test_a_missing_archive_password_is_a_fault_that_passes_and_no_crash(bench: BenchMaker, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    terminal = bench(terminal={"archive_password_file": secret})
    path = terminal.drop(1)
    path.rename(path.with_suffix(".zip"))
    with zipfile.ZipFile(path.with_suffix(".zip"), "w") as archive:
        archive.writestr(path.name, content(1))
    role = terminal.role
    assert role is not None
    eventually(lambda: "keys" in role.snapshot().faults)
    secret.write_text("open sesame\n")
    (event,) = terminal.captured(1)
    assert terminal.opened(event).archive_password == "open sesame"
    eventually(lambda: role.snapshot().faults == ())
