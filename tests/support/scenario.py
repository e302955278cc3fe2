"""One row of the fault matrix: files go in, faults happen, and in the end every promise is looked at.

A scenario is replayed by its seed: the invented patients and every die it throws come from it. `ONSHI_SEED` sets
another one.
"""

import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support import figures
from tests.support.eventually import eventually
from tests.support.figures import Figures
from tests.support.matrix import EXPECTED, OF_A_CLUSTER
from tests.support.site import Site, names, site
from tests.support.witness import Witness

SEED = int(os.environ.get("ONSHI_SEED") or 20260512)


class Server(Protocol):
    def kill(self) -> None: ...

    def start(self) -> object: ...


class Scenario:
    """A site with a chart that takes what it is given, and the count of what was done to it."""

    def __init__(self, name: str, made: Site, taker: Witness, seed: int, pool: int) -> None:
        self.name = name
        self.made = made
        self.taker = taker
        self.seed = seed
        self.dice = random.Random(seed)
        self.files = 0
        self.faults = 0
        self.taken_away = 0
        """Files that somebody else took from the terminal and did not bring back."""
        self.is_proved = False
        self._began_at = self._healed_at = time.monotonic()
        self._drain_seconds: float | None = None
        self._false_certificates: int | None = None
        self._pool = self._invent(pool)

    def _invent(self, count: int) -> list[Path]:
        """Make every file beforehand, with one patient list for all: a list that changes is another story."""
        self.made.simulate(count, seed=self.seed)
        aside = self.made.root / "to-come"
        aside.mkdir()
        return [path.rename(aside / path.name) for path in sorted(self.made.face.iterdir())]

    def arrive(self, count: int) -> list[Path]:
        """Let so many files arrive at the terminal."""
        now, self._pool = self._pool[:count], self._pool[count:]
        assert len(now) == count, "the scenario was given too few files"
        self.files += count
        return [self.taker.put(path) for path in now]

    def fault(self) -> None:
        self.faults += 1

    def healed(self) -> None:
        """From here on everything works; what is left over must drain."""
        self._healed_at = time.monotonic()

    def taken(self, goal: int, seconds: float = 180) -> None:
        """Wait until the chart has taken so many originals and records together."""
        try:
            eventually(lambda: sum(self.taker.taken.values()) >= goal, seconds, f"{goal} taken by the chart")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.made.say('status').stdout}\n{self.made.logs()}") from None

    def spooled(self, count: int, seconds: float = 150) -> None:
        """Wait until the terminal has so many files safe that the centre does not have."""
        eventually(lambda: self._waiting() >= count, seconds, f"{count} waiting in the spool")

    def said(self, words: str, times: int = 1, seconds: float = 150) -> None:
        """Wait until the processes have written this into their logs so often."""
        logs = self.made.root.glob
        eventually(lambda: sum(p.read_text().count(words) for p in logs("run-*.log")) >= times, seconds, words)

    def _waiting(self) -> int:
        custody = self.made.state()["files"]
        return int(custody["spooled"]) + int(custody["captured"])

    def finish(self, seconds: float = 240, parked: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Wait until everything is final, end every process in order, and hold all against the promises."""
        # Looking at the folders costs nothing; asking by the command would take a core from those that work.
        with suppress(AssertionError):
            eventually(self._seems_over, seconds, "empty folders")
        state = self.made.wait_until_final(self.files, 120)
        self.drained()
        running = [process for process in self.made.processes if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(120) for process in running] == [0] * len(running), self.made.logs()
        self.prove(parked)
        return state

    def killed_under_load(self, server: Server, kills: int, files: int) -> None:
        """Kill what the roles depend on so often while files are on their way, start it again each time, and finish."""
        self.arrive(files)
        process = self.made.start()
        for kill in range(kills):
            self.taken(2 * files * kill // (kills + 1) + self.dice.randrange(files // (2 * kills)))
            server.kill()
            self.fault()
            server.start()
        self.healed()
        self.finish(300)
        assert process.returncode == 0

    def _seems_over(self) -> bool:
        return self.taker.lost == 0 and not any(self.made.face.iterdir())

    def drained(self) -> None:
        self._drain_seconds = round(time.monotonic() - self._healed_at, 1)

    def prove(self, parked: Mapping[str, int] | None = None) -> None:
        """Hold store, folders, chart and certificates against the promises."""
        eventually(lambda: names([self.made.inbox]) == [], 30, "the chart's last look")
        state = self.made.ask("status")
        left = len(names([self.made.face, self.made.res]))
        gone = self.files - left - self.taken_away
        self._false_certificates = max(0, state["certificates"] - gone)
        figures_now = self.figures(figures.HELD)
        wrong = (figures_now.lost, figures_now.duplicates, self._false_certificates, figures_now.wrong_erasures)
        assert wrong == (0, 0, 0, 0), figures_now
        assert self.taker.pieces == 0, "the chart got a file that nobody wrote, or a piece of one"
        assert len(self.taker.records) == self.files
        assert left == 0, "something was left on the terminal"
        assert state["certificates"] == state["files"]["erased"]
        assert state["certificates"] + state["files"]["vanished"] >= self.files
        assert state["parked"] == dict(parked or {})
        for words in (("verify",), ("certificates", "verify"), ("audit", "verify")):
            answer = self.made.say(*words)
            told = [line for line in answer.stdout.splitlines() if not line.startswith("held")]
            assert answer.returncode == 0, "\n".join([" ".join(words), *told, answer.stderr])
        self.is_proved = True

    def figures(self, outcome: str, why: str = "") -> Figures:
        broker, store = self.made.settings.broker.url, self.made.settings.store.url
        return Figures(
            scenario=self.name,
            outcome=outcome,
            broker="embedded" if broker.startswith("embedded:") else "RabbitMQ",
            store="SQLite" if store.startswith("sqlite:") else "PostgreSQL",
            files=self.files,
            faults=self.faults,
            # A scenario that was broken off has lost nothing yet: what it did not deliver may still be on its way.
            lost=None if self._false_certificates is None else self.taker.lost,
            duplicates=self.taker.duplicates,
            false_certificates=self._false_certificates,
            wrong_erasures=self.taker.wrong_erasures,
            drain_seconds=self._drain_seconds,
            seconds=round(time.monotonic() - self._began_at, 1),
            seed=self.seed,
            why=why,
        )


@contextmanager
def scenario(name: str, root: Path, *, seed: int = SEED, pool: int = 150, **options: Any) -> Iterator[Scenario]:
    """Make a site for one scenario with so many files to come; whatever happens, its processes end with it.

    Its figures are recorded at the end, also when it broke.
    """
    assert name in EXPECTED | OF_A_CLUSTER, f"the matrix does not know {name!r}"
    with site(root / "site", **options) as made, Witness(made.inbox, made.face) as taker:
        run = Scenario(name, made, taker, seed, pool)
        figures.record(run.figures(figures.BEGUN, "its process ended without a word"))
        try:
            yield run
            assert run.is_proved, "the scenario ended without its proof"
        except (KeyboardInterrupt, pytest.skip.Exception):
            figures.record(run.figures(figures.NOT_RUN))
            raise
        except BaseException as fault:
            figures.record(run.figures(figures.BROKEN, f"{type(fault).__name__}: {str(fault)[:300]}"))
            raise
        figures.record(run.figures(figures.HELD))
