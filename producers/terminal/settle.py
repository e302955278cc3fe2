"""When is a file taken?

A file is taken when two readings apart in time are identical and the content is whole. One that stays incomplete or
empty but unchanged long enough is taken as it is: the centre will say what is wrong with it. Pure. Design section 7.
"""

from dataclasses import dataclass
from enum import StrEnum

from producers.terminal.handles import Stamp


class Step(StrEnum):
    WAIT = "wait"
    READ = "read"
    TAKE = "take"
    RESTART = "restart"


@dataclass(frozen=True, slots=True)
class Rules:
    """In seconds."""

    settle: float
    unfinished: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What one reading saw. `mac` is the keyed hash of the content, or the reason why it could not be read."""

    stamp: Stamp
    mac: str
    is_complete: bool
    at: float
    """Monotonic."""

    def equals(self, other: "Reading") -> bool:
        return self.stamp == other.stamp and self.mac == other.mac


def next_step(first: Reading, latest: Reading, stamp: Stamp, now: float, rules: Rules) -> Step:
    """Say what to do about a file seen again: begin anew, wait, or read it again."""
    if stamp != first.stamp:
        return Step.RESTART
    if now - latest.at < rules.settle:
        return Step.WAIT
    return Step.READ


def judge(first: Reading, latest: Reading, rules: Rules) -> Step:
    """Say what two readings make of it: take, wait, or begin anew from the latest."""
    if not latest.equals(first):
        return Step.RESTART
    age = latest.at - first.at
    if age < rules.settle:
        return Step.WAIT
    # An incomplete file may have a slow writer whose pauses are longer than the settling time.
    return Step.TAKE if latest.is_complete or age >= rules.unfinished else Step.WAIT


def due_in(latest: Reading, now: float, rules: Rules) -> float:
    """Return the seconds until the file is worth reading again."""
    return max(0.0, latest.at + rules.settle - now)
