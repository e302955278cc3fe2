"""One row of the fault matrix: files go in, faults happen, and in the end every promise is looked at.

A scenario is replayed by its seed: the invented patients and every die it throws come from it.
"""

import random
import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support import figures
from tests.support.eventually import eventually
from tests.support.figures import Figures
from tests.support.site import Site, Taker, names, site

SEED = 20260512


class Scenario:
    """A site with a chart that takes what it is given, and the count of what was done to it."""

    def __init__(self, name: str, made: Site, taker: Taker, seed: int, pool: int) -> None:
        self.name = name
        self.made = made
        self.taker = taker
        self.seed = seed
        self.dice = random.Random(seed)
        self.files = 0
        self.faults = 0
        self._healed_at = time.monotonic()
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
        return [path.rename(self.made.face / path.name) for path in now]

    def fault(self) -> None:
        self.faults += 1

    def healed(self) -> None:
        """From here on everything works; what is left over must drain."""
        self._healed_at = time.monotonic()

    def taken(self, goal: int, seconds: float = 90) -> None:
        """Wait until the chart has taken so many originals and records together."""
        try:
            eventually(lambda: sum(self.taker.taken.values()) >= goal, seconds, f"{goal} taken by the chart")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.made.say('status').stdout}\n{self.made.logs()}") from None

    def spooled(self, count: int, seconds: float = 60) -> None:
        """Wait until the terminal has so many files safe that the centre does not have."""
        eventually(lambda: self._waiting() >= count, seconds, f"{count} waiting in the spool")

    def said(self, words: str, times: int = 1, seconds: float = 60) -> None:
        """Wait until the processes have written this into their logs so often."""
        logs = self.made.root.glob
        eventually(lambda: sum(p.read_text().count(words) for p in logs("run-*.log")) >= times, seconds, words)

    def _waiting(self) -> int:
        custody = self.made.ask("status")["files"]
        return int(custody["spooled"]) + int(custody["captured"])

    def finish(self, seconds: float = 150, parked: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Wait until everything is final, end every process in order, and hold all against the promises."""
        state = self.made.wait_until_final(self.files, seconds)
        drained = time.monotonic() - self._healed_at
        running = [process for process in self.made.processes if process.poll() is None]
        for process in running:
            process.send_signal(signal.SIGTERM)
        assert [process.wait(60) for process in running] == [0] * len(running), self.made.logs()
        self.prove(drained, parked)
        return state

    def prove(self, drained: float, parked: Mapping[str, int] | None = None) -> None:
        """Hold store, folders, chart and certificates against the promises, and record what it cost."""
        eventually(lambda: names([self.made.inbox]) == [], 10, "the chart's last look")
        originals = {name: times for name, times in self.taker.taken.items() if not name.endswith(".json")}
        records = {name: times for name, times in self.taker.taken.items() if name.endswith(".json")}
        state = self.made.ask("status")
        left = len(names([self.made.face, self.made.res]))
        figures_now = Figures(
            scenario=self.name,
            files=self.files,
            kills=self.faults,
            lost=self.files - len(originals),
            duplicates=sum(times - 1 for times in self.taker.taken.values()),
            false_certificates=max(0, state["certificates"] - (self.files - left)),
            drain_seconds=round(drained, 1),
            seed=self.seed,
        )
        figures.record(figures_now)
        assert (figures_now.lost, figures_now.duplicates, figures_now.false_certificates) == (0, 0, 0), figures_now
        assert len(records) == self.files
        assert left == 0, "something was left on the terminal"
        assert state["certificates"] + state["files"]["vanished"] == self.files
        assert state["parked"] == dict(parked or {})
        for words in (("verify",), ("certificates", "verify"), ("audit", "verify")):
            answer = self.made.say(*words)
            assert answer.returncode == 0, answer.stdout + answer.stderr


@contextmanager
def scenario(name: str, root: Path, *, seed: int = SEED, pool: int = 150, **options: Any) -> Iterator[Scenario]:
    """Make a site for one scenario with so many files to come; whatever happens, its processes end with it."""
    with site(root / "site", **options) as made, Taker(made.inbox) as taker:
        yield Scenario(name, made, taker, seed, pool)
