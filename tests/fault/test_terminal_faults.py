"""The terminal's edge when its process, its disk or its spool fails: nothing is lost, nothing is told falsely."""

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from pipeline.errors import PermanentError
from pipeline.events import FileCaptured, FileErased
from producers.terminal import custody_counts, ledger_path
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, TerminalBench, benches, content, face_name, make_settings

RUN_ROLE = """
import sys
from pathlib import Path
from tests.support.terminal import TerminalBench, make_settings
bench = TerminalBench(make_settings(Path(sys.argv[1])))
bench.start()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BenchMaker]:
    with benches(tmp_path) as make:
        yield make


def start_process(root: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", RUN_ROLE, str(root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    return process


def has_one_of(ledger: Path, states: set[str]) -> bool:
    return bool(states & set(custody_counts(ledger)))


def has_spooled(terminal: TerminalBench, count: int) -> bool:
    return terminal.custody() == {"spooled": count}


def kill(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_killed_again_and_again_while_files_arrive_it_loses_none(tmp_path: Path, bench: BenchMaker) -> None:
    settings = make_settings(tmp_path)
    face, ledger = settings.clinics[0].terminals[0].face, ledger_path(settings.edge.state, "c001", "t1")
    written = 0
    for round_ in range(4):
        process = start_process(tmp_path)
        for _ in range(100):
            (face / face_name(written)).write_bytes(content(written))
            written += 1
        # Each round dies at another step: watching, spooling, publishing, answered.
        states = ({"seen"}, {"spooled", "captured"}, {"captured"}, {"captured"})[round_]
        eventually(partial(has_one_of, ledger, states), 60)
        kill(process)
    terminal = bench()
    captured = terminal.captured(written, seconds=90)
    assert {terminal.opened(event).name for event in captured} == {face_name(number) for number in range(written)}
    assert len({event.copy_id for event in captured}) == written


def test_killed_while_it_erases_it_finishes_with_one_certificate_each(tmp_path: Path, bench: BenchMaker) -> None:
    terminal = bench()
    for number in range(300):
        terminal.drop(number)
    captured = terminal.captured(300, seconds=90)
    terminal.store(*captured)
    eventually(lambda: terminal.custody() == {"stored": 300})
    terminal.stop()
    terminal.order(*[terminal.erasure(event) for event in captured])
    terminal.broker.close()
    process = start_process(tmp_path)
    eventually(lambda: len(list(terminal.terminal.face.iterdir())) < 300, 60)
    kill(process)
    again = bench()
    eventually(lambda: len(erased(again)) == 300, 30)
    assert erased(again) == {event.copy_id for event in captured}
    assert not list(again.terminal.face.iterdir())


def erased(terminal: TerminalBench) -> set[str]:
    return {event.copy_id for event in terminal.of(FileErased)}


def test_a_second_process_for_the_same_terminal_is_refused(bench: BenchMaker) -> None:
    terminal = bench()
    eventually(terminal.ledger.exists)
    eventually(lambda: terminal.role and terminal.role.is_ready()[0])
    first = terminal.role
    second = type(first)(  # type: ignore[misc]
        terminal.settings, terminal.clinic, terminal.terminal, terminal.keyring, terminal.broker, terminal.clock
    )
    with pytest.raises(PermanentError, match="second_process"):
        second.run(terminal._stop)


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def damaged_in_the_spool(terminal: TerminalBench) -> None:
    terminal.drop(1)
    terminal.captured()
    eventually(lambda: terminal.custody() == {"captured": 1})
    terminal.stop()
    (segment,) = terminal.settings.edge.state.glob("*.spool/*.seg")
    flip(segment, segment.stat().st_size - 5)
    db = sqlite3.connect(terminal.ledger)
    db.execute("UPDATE copies SET next_publish_at = 1")
    db.commit()
    db.close()


def test_a_bit_flipped_in_the_spool_is_seen_and_the_file_read_again(bench: BenchMaker) -> None:
    terminal = bench()
    damaged_in_the_spool(terminal)
    terminal.start()
    again = terminal.wait_for(FileCaptured, 2)
    assert [terminal.opened(event).content for event in again] == [content(1)] * 2


def test_a_flipped_bit_whose_source_is_gone_is_reported_and_never_published(bench: BenchMaker) -> None:
    terminal = bench()
    damaged_in_the_spool(terminal)
    (terminal.terminal.face / face_name(1)).unlink()
    terminal.start()
    eventually(lambda: terminal.role and "spool_damaged" in terminal.role.snapshot().faults)
    assert len(terminal.of(FileCaptured)) == 1


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "small"
    disk.mkdir()
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "onshi", str(disk)], check=False).returncode:
        pytest.skip("no mounts here")
    try:
        yield disk
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_full_disk_leaves_every_source_and_drains_when_there_is_space(small_disk: Path, bench: BenchMaker) -> None:
    terminal = bench(edge={"state": small_disk / "edge"}, start=False)
    ballast = small_disk / "ballast"
    terminal.start()
    eventually(lambda: terminal.role and terminal.role.is_ready()[0])
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as out:
        while True:
            out.write(b"\0" * 4096)
    for number in range(20):
        terminal.drop(number, content(number) + b" " * 20_000)
    eventually(lambda: terminal.role and {"disk_full", "ledger"} & set(terminal.role.snapshot().faults))
    assert len(list(terminal.terminal.face.iterdir())) == 20
    ballast.unlink()
    assert len(terminal.captured(20, seconds=90)) == 20
    eventually(lambda: terminal.role and not terminal.role.snapshot().faults)


def test_a_broker_that_was_away_gets_everything_in_order_of_age(bench: BenchMaker) -> None:
    terminal = bench(start=False)
    terminal.broker.close()
    terminal.start()
    for number in range(5):
        terminal.drop(number)
        eventually(partial(has_spooled, terminal, number + 1))
    terminal.stop()
    again = bench()
    captured = again.captured(5)
    assert [again.opened(event).name for event in captured] == [face_name(number) for number in range(5)]
