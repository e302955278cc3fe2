"""One point after another: disturb a role there, let it recover, check everything, write down what came of it."""

import json
import random
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.support.eventually import eventually
from tests.support.sweep import strace
from tests.support.sweep.clinic import Clinic
from tests.support.sweep.order import Findings, check
from tests.support.sweep.points import Counts, Point, faults, kills

END_SECONDS = 90.0
FAULT_SECONDS = 1.0
"""How long an error stays after it was first met."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`result`: held, not_reached (the round ended first; everything held all the same), or broken."""

    point: Point
    result: str
    seconds: float
    why: tuple[str, ...] = ()

    @property
    def is_broken(self) -> bool:
        return self.result == "broken"

    def line(self, seed: int) -> str:
        point = asdict(self.point)
        return json.dumps({**point, "outcome": self.result, "seconds": self.seconds, "why": self.why, "seed": seed})


class Drive:
    """The points of one clinic. `results`: a file of JSON lines that is added to."""

    def __init__(
        self, made: Clinic, seed: int, results: Path | None = None, *, end_seconds: float = END_SECONDS
    ) -> None:
        self._end_seconds = end_seconds
        self._clinic = made
        self._dice = random.Random(seed)
        self._seed = seed
        self._results = results

    def settle(self) -> None:
        """Do one round undisturbed: every role is up, and the sources of noise of a first start are over."""
        self._clinic.put()
        self._clinic.wait_until_all_ended(END_SECONDS)

    def count(self, role: str) -> Counts:
        """Count what a role calls during one round."""
        pid = self._clinic.process(role).pid
        log = self._clinic.root / f"count-{role}.trace"
        with strace.counting(pid, log):
            names = strace.threads_of(pid)
            self._clinic.put()
            self._clinic.wait_until_all_ended(self._end_seconds)
        return strace.counts(log, names)

    def follow(self, role: str) -> Findings:
        """Check the order of what a role does during one round."""
        log = self._clinic.root / f"order-{self._clinic.rounds:04}.trace"
        with strace.following(self._clinic.process(role).pid, log):
            self._clinic.put()
            self._clinic.wait_until_all_ended(self._end_seconds)
        return check(log)

    def kills(self, role: str) -> Iterator[Point]:
        return kills(role, self.count(role), self._dice)

    def faults(self, role: str) -> Iterator[Point]:
        return faults(role, self.count(role), self._dice)

    def at(self, *points: Point, back_when: Callable[[], bool] = lambda: True) -> list[Outcome]:
        """Disturb one round at these points, of different roles, and check what came of it.

        Who was killed is started again at once, or only when `back_when` is true.
        """
        began = time.monotonic()
        why: list[str] = []
        reached: set[Point] = set()
        try:
            self._disturb(points, reached, back_when)
            self._clinic.wait_until_all_ended(self._end_seconds)
        except AssertionError as late:
            why.append(str(late))
        why += self._clinic.faults()
        seconds = round(time.monotonic() - began, 2)
        outcomes = [
            Outcome(p, "broken" if why else "held" if p in reached else "not_reached", seconds, tuple(why))
            for p in points
        ]
        if self._results:
            with self._results.open("a", encoding="utf-8") as lines:
                lines.writelines(outcome.line(self._seed) + "\n" for outcome in outcomes)
        return outcomes

    def _disturb(self, points: Sequence[Point], reached: set[Point], back_when: Callable[[], bool]) -> None:
        if points[0].fault:
            if self._fault(points[0]):
                reached.add(points[0])
        else:
            self._kill(points, reached, back_when)

    def _log(self, point: Point) -> Path:
        return self._clinic.root / f"point-{self._clinic.rounds:04}-{point.role}.trace"

    def _kill(self, points: Sequence[Point], reached: set[Point], back_when: Callable[[], bool]) -> None:
        alive: dict[Point, subprocess.Popen[bytes]] = {}

        def over() -> bool:
            dead = [point for point, process in alive.items() if process.poll() is not None]
            for point in dead if back_when() else ():
                # At once, for the other role may die only when this one works again.
                self._clinic.begin(point.role)
                reached.add(point)
                del alive[point]
            return not alive or self._clinic.is_final()

        with ExitStack() as tracers:
            for point in points:
                process = self._clinic.process(point.role)
                tracer = strace.disturbing(process.pid, self._log(point), point)
                if tracer:
                    tracers.enter_context(tracer)
                    alive[point] = process
            self._clinic.put()
            eventually(over, self._end_seconds, "the kill")
        over()

    def _fault(self, point: Point) -> bool:
        process = self._clinic.process(point.role)
        tracer = strace.disturbing(process.pid, self._log(point), point)
        if tracer is None:
            self._clinic.put()
            return False
        with tracer:
            self._clinic.put()
            eventually(lambda: _is_felt(tracer) or self._clinic.is_final(), self._end_seconds, "the fault")
            until = time.monotonic() + FAULT_SECONDS
            eventually(lambda: time.monotonic() > until, 2 * FAULT_SECONDS, "its end")
        if process.poll() is not None:
            # A role that gives up is started again by whoever supervises it.
            self._clinic.begin(point.role)
        return _is_felt(tracer)


def _is_felt(tracer: strace.Tracer) -> bool:
    return "INJECTED" in tracer.log.read_text(errors="replace")
