"""How do bytes come into an exchange folder?

In place, under the final name, possibly in pieces: nothing says that the terminal renames (oqs-interface section 9,
question 3), so a reader must bear the worse case.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


def _rest() -> None:
    time.sleep(0.05)


@dataclass(frozen=True, slots=True)
class Pace:
    """In how many pieces a file is written, and what happens between them."""

    pieces: int = 1
    between: Callable[[], None] = _rest


def write_file(path: Path, content: bytes, pace: Pace) -> None:
    """Create the file and write it; every piece has left the process before the next begins."""
    size = max(1, -(-len(content) // pace.pieces))
    with path.open("wb", buffering=0) as file:
        for at in range(0, max(1, len(content)), size):
            if at:
                pace.between()
            file.write(content[at : at + size])
            if pace.pieces > 1:
                os.fsync(file.fileno())
