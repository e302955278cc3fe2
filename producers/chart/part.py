"""What runs in a thread of its own at the chart's edge, and when does it come round again?"""

import random
from typing import Protocol

FIRST_PAUSE = 0.2
LONGEST_PAUSE = 10.0


class Part(Protocol):
    """A loop's body. `close` lets go of connections; it is called in the loop's thread."""

    name: str

    def step(self) -> float:
        """Do a little, and return the seconds to wait before the next time."""

    def close(self) -> None: ...


class Pause:
    """Full-jitter back-off of one part: doubles with every failure, forgets with a success."""

    def __init__(self) -> None:
        self._ceiling = FIRST_PAUSE

    def after_failure(self) -> float:
        ceiling = self._ceiling
        self._ceiling = min(ceiling * 2, LONGEST_PAUSE)
        return ceiling * random.uniform(0.1, 1)  # noqa: S311 - spreads edges in time, guards nothing

    def reset(self) -> None:
        self._ceiling = FIRST_PAUSE
