"""Whoever only asks whether a role is at work keeps none from starting."""

import fcntl
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline import process_lock
from producers import chart, terminal
from producers.chart.ledger import Ledger as ChartLedger
from producers.terminal.ledger import Ledger as TerminalLedger


@pytest.mark.parametrize(
    ("name", "lock", "make", "is_at_work"),
    [
        ("c001.t1.db", "c001.t1.db.lock", TerminalLedger, terminal.is_at_work),
        ("c001.chart.db", "c001.chart.lock", ChartLedger, chart.is_at_work),
    ],
)
def test_a_role_that_starts_while_its_status_is_asked_works(
    tmp_path: Path,
    name: str,
    lock: str,
    make: Callable[[Path], TerminalLedger | ChartLedger],
    is_at_work: Callable[[Path], bool],
) -> None:
    make(tmp_path / name).close()
    asking = os.open(tmp_path / lock, os.O_RDONLY)
    fcntl.flock(asking, fcntl.LOCK_SH)
    threading.Timer(0.05, os.close, (asking,)).start()
    ledger = make(tmp_path / name)
    assert is_at_work(tmp_path / name)
    ledger.close()
    assert not is_at_work(tmp_path / name)


def test_of_two_processes_the_second_is_refused(tmp_path: Path) -> None:
    held = process_lock.hold(tmp_path / "lock")
    assert held is not None
    assert process_lock.hold(tmp_path / "lock") is None
    os.close(held)
    again = process_lock.hold(tmp_path / "lock")
    assert again is not None
    os.close(again)
