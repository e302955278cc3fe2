"""May this edge's clock be believed?

No request is placed and nothing is erased while wall and monotonic time part, a file is dated ahead of us, or the
centre's orders come from our future. Eligibility flows on (design section 9, invariant I6).
"""

import threading
from datetime import datetime

from pipeline.clock import DRIFT_LIMIT, Clock, ClockWatch

_COOLDOWN_SECONDS = 300.0


class EdgeClock:
    """Thread-safe."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._watch = ClockWatch(clock)
        self._lock = threading.Lock()
        self._doubted_at: float | None = None
        self._behind_seconds: float | None = None

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    def note_instant(self, at: datetime | None) -> None:
        """Compare with an instant that cannot lie in our future: a file's writing, an order's issue."""
        if at is None or at - self._clock.now() <= DRIFT_LIMIT:
            return
        with self._lock:
            self._doubted_at = self._clock.monotonic()
            self._behind_seconds = (at - self._clock.now()).total_seconds()

    def is_reliable(self) -> bool:
        with self._lock:
            agrees = self._watch.is_reliable()
            doubted = self._doubted_at
            if doubted is None or self._clock.monotonic() - doubted >= _COOLDOWN_SECONDS:
                self._behind_seconds = None
                return agrees
            return False

    def offset_seconds(self) -> float | None:
        """Return how far we are known to be behind; None when nothing speaks against our clock."""
        with self._lock:
            return None if self._behind_seconds is None else -self._behind_seconds
