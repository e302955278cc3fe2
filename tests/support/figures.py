"""Where do the figures of a run go? One JSON line each into the file that `ONSHI_FIGURES` names, if it does."""

import fcntl
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figures:
    """What a scenario cost. `kills` counts faults of any kind that were brought about."""

    scenario: str
    files: int
    kills: int
    lost: int
    duplicates: int
    false_certificates: int
    drain_seconds: float
    seed: int


def record(figures: Figures) -> None:
    """Append a line; several workers may write at once."""
    place = os.environ.get("ONSHI_FIGURES")
    if not place:
        return
    with Path(place).open("a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(json.dumps(asdict(figures)) + "\n")
