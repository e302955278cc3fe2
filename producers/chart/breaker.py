"""When may a chart that was away be tried again? Full-jitter back-off from 1 s to 30 s; no delivery is burnt."""

import random
import threading
from collections.abc import Callable
from datetime import timedelta
from enum import Enum, auto

from pipeline.clock import Clock

FIRST = timedelta(seconds=1)
MOST = timedelta(seconds=30)


class Leave(Enum):
    """What a worker may do now."""

    WORK = auto()
    PROBE = auto()
    """One worker tries the oldest delivery alone, and says how it went."""
    WAIT = auto()


class Breaker:
    """One per chart, shared by its workers. Thread-safe."""

    def __init__(self, clock: Clock, chance: Callable[[], float] = random.random) -> None:
        self._clock = clock
        self._chance = chance
        self._lock = threading.Lock()
        self._failures = 0
        self._again_at = 0.0
        self._probing = False

    @property
    def is_open(self) -> bool:
        return self._failures > 0

    def leave(self) -> Leave:
        """Say what may be done; `PROBE` is given to one caller, who answers `failed`, `succeeded` or `unused`."""
        with self._lock:
            if not self._failures:
                return Leave.WORK
            if self._probing or self._clock.monotonic() < self._again_at:
                return Leave.WAIT
            self._probing = True
            return Leave.PROBE

    def failed(self) -> None:
        """Note that the chart was away."""
        with self._lock:
            self._probing = False
            self._failures += 1
            ceiling = min(MOST.total_seconds(), FIRST.total_seconds() * 2 ** min(self._failures - 1, 10))
            self._again_at = self._clock.monotonic() + ceiling * self._chance()

    def succeeded(self) -> None:
        """Note that the chart answered, be it with a refusal."""
        with self._lock:
            self._probing = False
            self._failures = 0

    def unused(self) -> None:
        """Give a probe back that nothing was known of at the end."""
        with self._lock:
            self._probing = False
