"""Below a share that is not mounted lies an empty folder: absence there says nothing of any file."""

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.events import ErasureFailed, FileCaptured, FileErased, FileVanished
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, TerminalBench, benches


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BenchMaker]:
    with benches(tmp_path) as make:
        yield make


def stored(terminal: TerminalBench) -> FileCaptured:
    terminal.drop(1)
    (event,) = terminal.captured()
    terminal.store(event)
    eventually(lambda: terminal.custody() == {"stored": 1})
    eventually(lambda: terminal.rows("SELECT 1 FROM folders WHERE label = 'face'"))
    return event


def unmount(terminal: TerminalBench) -> Path:
    away = terminal.terminal.face.rename(terminal.terminal.face.with_name("away"))
    terminal.terminal.face.mkdir()
    return away


def mount(terminal: TerminalBench, away: Path) -> None:
    terminal.terminal.face.rmdir()
    away.rename(terminal.terminal.face)


def test_an_order_for_a_file_of_an_unmounted_share_is_refused_and_done_when_it_is_back(bench: BenchMaker) -> None:
    terminal = bench()
    event = stored(terminal)
    away = unmount(terminal)
    terminal.order(terminal.erasure(event))
    (failed,) = terminal.wait_for(ErasureFailed)
    assert failed.reason == "share_away"
    assert not terminal.of(FileVanished)
    mount(terminal, away)
    terminal.order(terminal.erasure(event))
    assert terminal.wait_for(FileErased)


def test_an_erasure_that_was_cut_short_is_not_certified_from_the_empty_folder_below(bench: BenchMaker) -> None:
    terminal = bench()
    event = stored(terminal)
    terminal.stop()
    (path,) = terminal.terminal.face.iterdir()
    os.rename(path, path.with_name(".onshi-0123456789abcdef"))  # noqa: PTH104 - what the killed process had done
    db = sqlite3.connect(terminal.ledger)
    db.execute(
        "INSERT INTO erasures (copy_id, quarantine, phase, cause, correlation, traceparent, intended_at)"
        " VALUES (?, '.onshi-0123456789abcdef', 'overwriting', 'c', 'c', ?, 1)",
        (event.copy_id, f"00-{'0123456789abcdef' * 2}-0123456789abcdef-01"),
    )
    db.commit()
    db.close()
    away = unmount(terminal)
    terminal.start()
    eventually(lambda: terminal.role and terminal.role.is_ready()[1] == "share_away")
    terminal.stop()
    assert not terminal.of(FileErased)
    assert len(list(away.iterdir())) == 1
    mount(terminal, away)
    terminal.start()
    (erased,) = terminal.wait_for(FileErased)
    assert erased.level == "L1"
