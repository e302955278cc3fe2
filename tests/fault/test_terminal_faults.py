"""The terminal's edge when its process, its disk or its spool fails: nothing is lost, nothing is told falsely."""

import contextlib
import errno
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

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


class FullDisk:
    """A disk that a test fills: a small one of its own where mounting is allowed, else errors put into every write."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch | None) -> None:
        self.folder = folder
        self._is_full = False
        if patch:
            self._inject(patch)
        self._is_real = patch is None

    def fill(self) -> None:
        self._is_full = True
        if self._is_real:
            with contextlib.suppress(OSError), (self.folder / "filling").open("wb", buffering=0) as out:
                while True:
                    out.write(b"\0" * 4096)

    def clear(self) -> None:
        self._is_full = False
        (self.folder / "filling").unlink(missing_ok=True)

    def _inject(self, patch: pytest.MonkeyPatch) -> None:
        write, ask = os.pwrite, os.statvfs

        def pwrite(handle: int, content: bytes, at: int) -> int:
            if self._is_full and self.folder in Path(f"/proc/self/fd/{handle}").readlink().parents:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return write(handle, content, at)

        def statvfs(path: Path) -> object:
            real = ask(path)
            free = 0 if self._is_full else real.f_bavail
            return SimpleNamespace(f_blocks=real.f_blocks, f_frsize=real.f_frsize, f_bavail=free)

        patch.setattr(os, "pwrite", pwrite)
        patch.setattr(os, "statvfs", statvfs)


def has_mounted(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=2m", "onshi", str(folder)]
    return os.geteuid() == 0 and not subprocess.run(command, check=False, capture_output=True).returncode


@pytest.fixture(params=["mounted", "injected"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FullDisk]:
    folder = tmp_path / "small"
    folder.mkdir()
    if request.param == "injected" or not has_mounted(folder):
        yield FullDisk(folder, monkeypatch)
        return
    try:
        yield FullDisk(folder, None)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_leaves_every_source_finishes_what_is_in_hand_and_drains_oldest_first(
    disk: FullDisk, bench: BenchMaker
) -> None:
    terminal = bench(edge={"state": disk.folder / "edge", "ballast_bytes": 1 << 17}, start=False)
    terminal.start()
    terminal.drop(1000)
    (in_hand,) = terminal.captured()
    terminal.store(in_hand)
    eventually(lambda: terminal.custody() == {"stored": 1})
    disk.fill()
    for number in range(20):
        path = terminal.drop(number, content(number) + b" " * 20_000)
        os.utime(path, (1_000_000 - number, 1_000_000 - number))
    eventually(lambda: terminal.role and "disk_full" in terminal.role.snapshot().faults)
    terminal.order(terminal.erasure(in_hand))
    assert [event.copy_id for event in terminal.wait_for(FileErased)] == [in_hand.copy_id]
    assert len(list(terminal.terminal.face.iterdir())) == 20
    assert terminal.role
    assert terminal.role.snapshot().ballast_bytes == 0
    disk.clear()
    captured = [event for event in terminal.captured(21, seconds=90) if event.copy_id != in_hand.copy_id]
    assert [terminal.opened(event).name for event in captured] == [face_name(number) for number in reversed(range(20))]
    eventually(lambda: terminal.role and not terminal.role.snapshot().faults)
    assert terminal.role.snapshot().ballast_bytes > 0


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
