"""How is one setup measured? Warm it, let it rest, let a burst arrive, then single files; and see all is right."""

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import costs, volumes
from benchmarks.costs import Spent
from benchmarks.figures import Figures
from benchmarks.setups import Place, Setup, opened, start
from benchmarks.volumes import Held
from tests.support.eventually import eventually

WARM: Final = 60
SINGLES: Final = 8
REST_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.1
MEASURE_EVERY: Final = 5
"""Every how many looks memory is measured; it costs more than to count."""
TAIL_SECONDS: Final = 1.5
"""After the last certificate: what was sent is still being marked."""
MOST_SECONDS: Final = 900.0
SEED: Final = 7
TAKEN_APART: Final = "batch taken apart"
"""What the runner logs when a batch failed and is handled event by event: right, but not what is measured."""


class WrongRunError(Exception):
    """The run did not do what it was measured for; its figures are worth nothing."""


@dataclass(slots=True)
class _Course:
    """When all records had come to the chart, when all was certified, and what was held in memory meanwhile."""

    to_chart: float = 0.0
    to_certificate: float = 0.0
    memory: list[dict[str, int]] = field(default_factory=list)


def measure(setup: Setup, root: Path, files: int, *, number: int = 1, product: tuple[str, Path | None]) -> Figures:
    """Run one setup once.

    Raises:
        WrongRunError: something was lost, parked or left behind.
    """
    load = os.getloadavg()[0]
    name, tree = product
    with opened(setup, root, tree) as place:
        pool = _invented(place, WARM + files + SINGLES)
        start(place)
        _arrive(place, pool[:WARM])
        _follow(place, WARM)
        before, idle = _rest(place)
        first = costs.spent(place.trees)
        burst = pool[WARM : WARM + files]
        size = sum(path.stat().st_size for path in burst) // files
        _arrive(place, burst)
        course = _follow(place, WARM + files)
        time.sleep(TAIL_SECONDS)
        used = _difference(costs.spent(place.trees), first)
        after = volumes.held(place)
        waits = [_single(place, path) for path in pool[WARM + files :]]
        _follow(place, len(pool))
        _prove(place, len(pool))
    return Figures(
        setup=setup.name,
        product=name,
        round=number,
        files=files,
        bytes_a_file=size,
        seconds_to_chart=round(course.to_chart, 2),
        seconds_to_certificate=round(course.to_certificate, 2),
        cpu_ms_a_file={role: round(1000 * each.cpu / files, 3) for role, each in used.items()},
        idle_cpu_ms_a_second={role: round(1000 * each.cpu / REST_SECONDS, 1) for role, each in idle.items()},
        memory_bytes=costs.largest(course.memory),
        written_bytes_a_file={role: each.written // files for role, each in used.items()},
        waits_ms=tuple(waits),
        load=round(load, 2),
        cores=costs.cores(),
        memory_gib=costs.memory_gib(),
        **_volumes_a_file(before, after, files),
    )


def _invented(place: Place, count: int) -> list[Path]:
    """Write every file beforehand, aside, with one patient list for all."""
    place.site.simulate(count, seed=SEED)
    aside = place.site.root / "to-come"
    aside.mkdir()
    return [path.rename(aside / path.name) for path in sorted(place.site.face.iterdir())]


def _arrive(place: Place, paths: Sequence[Path]) -> None:
    for path in paths:
        path.rename(place.site.face / path.name)


def _follow(place: Place, goal: int) -> _Course:
    """Look on until so many files are certified in all."""
    course = _Course()
    began = time.monotonic()
    until = began + MOST_SECONDS
    looks = 0
    while not course.to_certificate:
        time.sleep(LOOK_SECONDS)
        looks += 1
        if looks % MEASURE_EVERY == 1:
            course.memory.append(costs.memory(place.trees))
        passed = time.monotonic() - began
        if not course.to_chart and _records(place) >= goal:
            course.to_chart = passed
        if course.to_chart and volumes.certified(place) >= goal:
            course.to_certificate = passed
        if time.monotonic() > until:
            raise WrongRunError(f"not over after {MOST_SECONDS:.0f} s\n{place.site.logs()}")
    return course


def _records(place: Place) -> int:
    with os.scandir(place.site.inbox) as entries:
        return sum(entry.name.endswith(".json") for entry in entries)


def _rest(place: Place) -> tuple[Held, dict[str, Spent]]:
    """Look into store and broker, then let everything rest and see what that costs."""
    time.sleep(TAIL_SECONDS)
    held = volumes.held(place)
    first = costs.spent(place.trees)
    time.sleep(REST_SECONDS)
    return held, _difference(costs.spent(place.trees), first)


def _single(place: Place, path: Path) -> int:
    """Let one file arrive, and return after how many milliseconds the chart had its record."""
    there = _records(place)
    began = time.monotonic()
    _arrive(place, [path])
    eventually(lambda: _records(place) > there, 60, "the record of a single file")
    return round(1000 * (time.monotonic() - began))


def _difference(after: dict[str, Spent], before: dict[str, Spent]) -> dict[str, Spent]:
    return {name: each - before[name] for name, each in after.items()}


def _volumes_a_file(before: Held, after: Held, files: int) -> dict[str, Any]:
    def mean(late: Callable[[str], float], early: Callable[[str], float], names: Sequence[str]) -> dict[str, float]:
        found = {name: round((late(name) - early(name)) / files, 2) for name in names}
        return {name: value for name, value in found.items() if value}

    rows = mean(lambda n: after.rows[n], lambda n: before.rows.get(n, 0), sorted(after.rows))
    sizes = mean(lambda n: after.sizes[n], lambda n: before.sizes.get(n, 0), sorted(after.sizes))
    broker = mean(lambda n: after.counters[n], lambda n: before.counters.get(n, 0), list(after.counters))
    return {
        "rows_a_file": rows,
        "store_bytes_a_file": {name: round(size) for name, size in sizes.items()},
        "wal_bytes_a_file": (after.wal - before.wal) // files,
        "broker_a_file": broker,
    }


def _prove(place: Place, count: int) -> None:
    """Hold the run against what it should have done."""
    state = place.site.state()
    delivered = len({path.stem for path in place.site.inbox.glob("*.json")})
    if delivered != count or state["parked"] or any(place.site.face.iterdir()):
        raise WrongRunError(f"{delivered} of {count} delivered; parked: {state['parked']}\n{place.site.logs()}")
    if TAKEN_APART in place.site.logs(whole=True):
        raise WrongRunError(f"a batch could not be handled whole\n{place.site.logs()}")
    codes = [place.site.stop(process) for process in place.site.processes]
    if any(codes):
        raise WrongRunError(f"roles ended with {codes}\n{place.site.logs()}")
