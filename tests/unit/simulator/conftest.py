from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from producers.simulator.run import prepare
from producers.simulator.terminal import Folders, Modes, SimulatedTerminal
from tests.support.desk import Desk

INSTITUTION = "9919000011"


class SetClock:
    """Stands still until told otherwise."""

    def __init__(self) -> None:
        self._now = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
        self._seconds = 100.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._seconds

    def pass_by(self, span: timedelta) -> None:
        self._now += span
        self._seconds += span.total_seconds()


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "face", tmp_path / "res", tmp_path / "req")


@pytest.fixture
def terminal_of(folders: Folders, clock: SetClock) -> Callable[..., SimulatedTerminal]:
    def make(count: int = 40, seed: int = 1, modes: Modes | None = None) -> SimulatedTerminal:
        return prepare(folders, count=count, seed=seed, institution_code=INSTITUTION, clock=clock, modes=modes)

    return make


@pytest.fixture
def terminal(terminal_of: Callable[..., SimulatedTerminal]) -> SimulatedTerminal:
    return terminal_of(count=120)


@pytest.fixture
def desk(terminal: SimulatedTerminal, folders: Folders) -> Desk:
    return Desk(terminal, folders)
