"""Where can a role die, and which of these points does a run choose?"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

WHOLE = "all"
"""The role under test is `onshi run` with every role, on the embedded broker."""
ROLES = ("terminal", "chart", "forwarding", "deletion", WHOLE)
CHANGING = (
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "syncfs",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
)
"""The calls that change a file, or promise that it is on the disk."""
FAULTED = ("terminal", "chart", WHOLE)
"""The roles that meet errors of the clinic's disks."""
FAULTS = ("ENOSPC", "EIO", "EACCES")


@dataclass(frozen=True, slots=True, order=True)
class Point:
    """The k-th call of one name in one thread, counted from when a round begins. Written role:thread:call:k[:fault]."""

    role: str
    thread: str
    call: str
    k: int
    fault: str = ""
    """An error instead of SIGKILL; it stays until the round ends it."""

    def __str__(self) -> str:
        return ":".join((self.role, self.thread, self.call, str(self.k), *([self.fault] if self.fault else [])))

    @classmethod
    def read(cls, text: str) -> Self:
        role, thread, call, k, *fault = text.split(":")
        return cls(role, thread, call, int(k), *fault)


Counts = Mapping[tuple[str, str], int]
"""How often a thread made a call during one round, by (thread, call)."""


def kills(role: str, counts: Counts, dice: random.Random) -> Iterator[Point]:
    """Choose points for ever: every (thread, call) in its turn, a k of it that was not yet taken, else any."""
    yield from _spread(role, counts, dice, [""])


def faults(role: str, counts: Counts, dice: random.Random) -> Iterator[Point]:
    yield from _spread(role, counts, dice, FAULTS)


def _spread(role: str, counts: Counts, dice: random.Random, kinds: Sequence[str]) -> Iterator[Point]:
    groups = [(thread, call, kind) for thread, call in sorted(counts) for kind in kinds]
    left = {group: dice.sample(range(1, most + 1), most) for group in groups if (most := counts[group[:2]])}
    while groups:
        dice.shuffle(groups)
        for thread, call, kind in groups:
            untaken = left[thread, call, kind]
            k = untaken.pop() if untaken else dice.randint(1, counts[thread, call])
            yield Point(role, thread, call, k, kind)


class Source(Protocol):
    def kills(self, role: str) -> Iterator[Point]: ...

    def faults(self, role: str) -> Iterator[Point]: ...


def draw(source: Source, roles: Sequence[str], dice: random.Random) -> Iterator[Sequence[Point]]:
    """Choose rounds for ever: each role alone, two at once, and errors at the edges."""
    swept = [role for role in ROLES if role in roles]
    kills_of = {role: source.kills(role) for role in swept}
    faults_of = {role: source.faults(role) for role in swept if role in FAULTED}
    while True:
        for role in dice.sample(swept, len(swept)):
            yield (next(kills_of[role]),)
        if len(swept) > 1:
            yield from pairs(kills_of, dice)
        for faults_of_role in faults_of.values():
            yield (next(faults_of_role),)


def pairs(kills_of: Mapping[str, Iterator[Point]], dice: random.Random) -> Iterator[tuple[Point, Point]]:
    """Kill every role once, two at a time."""
    order = dice.sample(sorted(kills_of), len(kills_of))
    for one, other in zip(order[::2], order[1::2], strict=True):
        yield next(kills_of[one]), next(kills_of[other])
