"""What does a clinic cost the centre while nothing arrives? Two groups at rest, one larger, and their difference."""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks import costs
from benchmarks.setups import RABBITMQ, SQLITE, Setup, opened, start
from tests.support.eventually import eventually
from tests.support.site import SECOND_CLINIC

GROUPS: Final = (2, 42)
REST_SECONDS: Final = 20.0
SETTLE_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Rest:
    """A group of so many clinics, each a terminal and a chart, of which none does anything."""

    clinics: int
    queues: int
    connections: int
    broker_memory_bytes: int
    cpu_ms_a_second: dict[str, float]


def clinic(number: int) -> str:
    """Configure one more clinic."""
    return SECOND_CLINIC.replace("c002", f"c{number:03}").replace("9919000029", f"99{number:08}")


def measure(clinics: int, root: Path) -> Rest:
    others = "".join(clinic(number) for number in range(2, clinics + 1))
    with opened(Setup(RABBITMQ, SQLITE), root, others=others) as place:
        rabbit = place.rabbit
        assert rabbit is not None
        start(place)
        wanted = 2 * clinics
        eventually(lambda: len(place.site.state()["terminals"]) >= clinics, 180, f"{clinics} terminals heard of")
        time.sleep(SETTLE_SECONDS)
        first = costs.spent(place.trees)
        time.sleep(REST_SECONDS)
        used = {name: each - first[name] for name, each in costs.spent(place.trees).items()}
        memory = costs.memory(place.trees)["RabbitMQ"]
        queues = len(rabbit.control("list_queues", "--quiet", "name").split()) - 1
        connections = len(rabbit.control("list_connections", "--quiet", "pid").split()) - 1
        assert queues > wanted, "not every edge has its queue"
    cpu = {name: round(1000 * each.cpu / REST_SECONDS, 2) for name, each in used.items()}
    return Rest(clinics, queues, connections, memory, cpu)


def write(path: Path, rests: Sequence[Rest]) -> None:
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(each)) + "\n" for each in rests)


def read(path: Path) -> list[Rest]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [Rest(**row) for row in rows if "clinics" in row]
