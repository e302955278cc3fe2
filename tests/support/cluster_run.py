"""What does a clinic notice of a node that is lost? Files arrive all the while, and a watch is kept on its chart."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from tests.support.eventually import eventually
from tests.support.figures import BEGUN, BROKEN, HELD, Figures
from tests.support.rabbit import RabbitNode
from tests.support.rabbit_cluster import Cluster
from tests.support.scenario import Scenario

FIGURES = "ONSHI_CLUSTER_FIGURES"
"""Names the file that the figures of a run are appended to, if it is set. `tests.support.cluster_report` reads it."""
RESERVE = (".retry.", ".parked", "unrouted")


@dataclass(frozen=True, slots=True)
class Fault:
    """What was done to the cluster, and when."""

    words: str
    led: int
    """How many of the queues and streams that carry files the node led."""
    queues: int
    at: float


@dataclass(frozen=True, slots=True)
class Loss:
    """One fault, and what it cost."""

    fault: str
    led: int
    queues: int
    next_seconds: float
    """From the fault until the chart had the next file, of whatever age."""
    whole_way_seconds: float
    """From the fault until the chart had a file that arrived at the terminal after it."""
    back_seconds: float | None = None
    """From the node's start until every node saw it again."""


class Feeder:
    """Lets one file after the other arrive, whatever else happens."""

    def __init__(self, run: Scenario, files: int, every_seconds: float) -> None:
        self._run = run
        self._files = files
        self._every = every_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._feed, name="feeder")
        self.arrived: list[tuple[float, str]] = []

    def _feed(self) -> None:
        while len(self.arrived) < self._files and not self._stop.wait(self._every):
            (path,) = self._run.arrive(1)
            self.arrived.append((time.monotonic(), path.name))

    def first_after(self, moment: float) -> str | None:
        """Name the first file that arrived after this moment."""
        return next((name for at, name in list(self.arrived) if at > moment), None)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()


def working(cluster: Cluster, seen_by: RabbitNode) -> dict[str, str]:
    """Say who leads each queue and stream that carries files."""
    return {
        row["name"]: row["leader"]
        for row in cluster.queues(seen_by)
        if not any(part in row["name"] for part in RESERVE)
    }


def led_by(cluster: Cluster, seen_by: RabbitNode, node: RabbitNode) -> int:
    """Count what a node leads of that."""
    return list(working(cluster, seen_by).values()).count(node.name)


def busiest(cluster: Cluster) -> tuple[RabbitNode, int, int]:
    """Return the node that leads most of what carries files, how many it leads, and of how many."""
    leaders = list(working(cluster, cluster.nodes[0]).values())
    node = max(cluster.nodes, key=lambda each: leaders.count(each.name))
    return node, leaders.count(node.name), len(leaders)


def watched(run: Scenario, feeder: Feeder, fault: Fault, seconds: float) -> Loss:
    """Wait until files come through again, and say how long that took."""
    before = len(run.taker.recorded)
    eventually(lambda: len(run.taker.recorded) > before, seconds, "the next file at the chart")
    next_seconds = time.monotonic() - fault.at

    def has_come() -> bool:
        name = feeder.first_after(fault.at)
        return name is not None and name in run.taker.recorded

    eventually(has_come, seconds, "a file from after the fault at the chart")
    run.fault()
    whole_way = time.monotonic() - fault.at
    return Loss(fault.words, fault.led, fault.queues, round(next_seconds, 1), round(whole_way, 1))


@dataclass(slots=True)
class Kept:
    """What is published of a run beside the figures that every scenario has."""

    losses: list[Loss] = field(default_factory=list)
    told_twice: int | None = None
    """Events that lie in the vendor's stream a second time, under their own id."""


@contextmanager
def kept(run: Scenario) -> Iterator[Kept]:
    """Keep the figures of a run, whatever comes of it."""
    own = Kept()
    _record(run.figures(BEGUN, "its process ended without a word"), own)
    try:
        yield own
    except BaseException as fault:
        _record(run.figures(BROKEN, f"{type(fault).__name__}: {str(fault)[:300]}"), own)
        raise
    _record(run.figures(HELD), own)


def _record(figures: Figures, own: Kept) -> None:
    """Append a line to the file that the environment names."""
    if place := os.environ.get(FIGURES):
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        with Path(place).open("a", encoding="utf-8") as out:
            out.write(json.dumps({**asdict(figures), **asdict(own)}, ensure_ascii=False) + "\n")
