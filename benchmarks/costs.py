"""What did a process take? Asked of the kernel, for a process and all its children."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

PROC: Final = Path("/proc")
TICKS: Final = os.sysconf("SC_CLK_TCK")
_PARENT, _CPU = 1, slice(11, 15)
"""Fields of `stat` after the command's name: the parent, and ticks of user and system, own and of ended children."""


@dataclass(frozen=True, slots=True)
class Spent:
    """What was taken until now: CPU in seconds, bytes given to the disk."""

    cpu: float = 0.0
    written: int = 0

    def __add__(self, other: Self) -> "Spent":
        return Spent(self.cpu + other.cpu, self.written + other.written)

    def __sub__(self, other: Self) -> "Spent":
        return Spent(self.cpu - other.cpu, self.written - other.written)


@dataclass(frozen=True, slots=True)
class Tree:
    """A process and its children."""

    pid: int

    def spent(self) -> Spent:
        return sum((_spent(pid) for pid in self._pids()), Spent())

    def memory(self) -> int:
        """Say how many bytes it holds; what several of them share counts once."""
        return sum(_resident(pid) for pid in self._pids())

    def _pids(self) -> set[int]:
        parents = _parents()
        found = {self.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return found


def spent(trees: Mapping[str, Sequence[Tree]]) -> dict[str, Spent]:
    return {name: sum((tree.spent() for tree in each), Spent()) for name, each in trees.items()}


def memory(trees: Mapping[str, Sequence[Tree]]) -> dict[str, int]:
    """Say how much the largest process of each name holds."""
    return {name: max(tree.memory() for tree in each) for name, each in trees.items()}


def largest(looks: Iterable[Mapping[str, int]]) -> dict[str, int]:
    most: dict[str, int] = {}
    for look in looks:
        for name, size in look.items():
            most[name] = max(most.get(name, 0), size)
    return most


def cores() -> int:
    return os.cpu_count() or 1


def memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30))


def _fields(pid: int) -> list[str]:
    # The name of the command stands in brackets and may hold anything.
    return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()


def _parents() -> dict[int, int]:
    found: dict[int, int] = {}
    for entry in PROC.iterdir():
        if entry.name.isdecimal():
            try:
                found[int(entry.name)] = int(_fields(int(entry.name))[_PARENT])
            except OSError:
                continue
    return found


def _spent(pid: int) -> Spent:
    try:
        ticks = sum(int(field) for field in _fields(pid)[_CPU])
        written = _number(PROC / str(pid) / "io", "write_bytes:")
    except OSError:
        return Spent()
    return Spent(ticks / TICKS, written)


def _resident(pid: int) -> int:
    try:
        return _number(PROC / str(pid) / "smaps_rollup", "Pss:") * 1024
    except OSError:
        return 0


def _number(path: Path, key: str) -> int:
    return next((int(line.split()[1]) for line in path.read_text().splitlines() if line.startswith(key)), 0)
