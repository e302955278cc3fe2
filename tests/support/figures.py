"""Where do the figures of a run go? One JSON line each into the file that `ONSHI_FIGURES` names, if it does."""

import fcntl
import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path

HELD, BROKEN = "held", "broken"
BEGUN, NOT_RUN = "begun", "not run"
"""Written first, so that a run whose process dies is missed; and what ends a run that found its tools missing."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What a scenario cost and showed. `None`: it broke before that could be counted."""

    scenario: str
    outcome: str
    broker: str
    store: str
    files: int
    faults: int
    """How many were brought about, of whatever kind."""
    lost: int | None
    duplicates: int
    false_certificates: int | None
    wrong_erasures: int
    """Files that left the terminal before the chart had them, as somebody saw who asks the product nothing."""
    drain_seconds: float | None
    """From the end of the last fault until every file was final."""
    seconds: float
    seed: int
    why: str = ""


_FOLDERS = re.compile(r"(?:/[\w.@+-]+)+/")


def record(figures: Figures) -> None:
    """Append a line, without the folders of the machine; several workers may write at once."""
    place = os.environ.get("ONSHI_FIGURES")
    if not place:
        return
    with Path(place).open("a", encoding="utf-8") as out:
        fcntl.flock(out, fcntl.LOCK_EX)
        out.write(json.dumps(asdict(replace(figures, why=_FOLDERS.sub("…/", figures.why))), ensure_ascii=False) + "\n")
