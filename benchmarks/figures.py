"""What is one run's result? One JSON line, every value counted or timed in that run."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Figures:
    """One run of one setup. Everything named `_a_file` is a mean over the burst."""

    setup: str
    product: str
    """Which of the trees that were compared; `this` where there was one."""
    round: int
    files: int
    bytes_a_file: int
    """Mean size on the terminal."""
    seconds_to_chart: float
    """From the arrival of the burst until the chart had the last record."""
    seconds_to_certificate: float
    """Until the last copy was erased and its erasure certified."""
    cpu_ms_a_file: Mapping[str, float]
    idle_cpu_ms_a_second: Mapping[str, float]
    memory_bytes: Mapping[str, int]
    """Most that was seen of one process of a role, with its children; looked at twice a second."""
    written_bytes_a_file: Mapping[str, int]
    """What was given to the disk, with journals and what was written again."""
    rows_a_file: Mapping[str, float]
    store_bytes_a_file: Mapping[str, int]
    wal_bytes_a_file: int
    broker_a_file: Mapping[str, float]
    """Messages and bytes, counted by the broker itself."""
    waits_ms: tuple[int, ...]
    """Of single files into an idle installation: from their arrival until the chart had the record."""
    cores: int
    memory_gib: int
    load: float
    """Mean load of the machine in the minute before."""
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def files_a_second(self) -> float:
        return self.files / self.seconds_to_certificate

    @property
    def cpu_ms(self) -> float:
        return sum(self.cpu_ms_a_file.values())


def write(path: Path, figures: Iterable[Figures]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        out.writelines(json.dumps(asdict(each), ensure_ascii=False) + "\n" for each in figures)


def read(path: Path) -> list[Figures]:
    """Read the runs of a file, which may hold lines of other kinds."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    return [Figures(**{**row, "waits_ms": tuple(row["waits_ms"])}) for row in rows if "setup" in row]
