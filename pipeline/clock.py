"""What time is it, and may it be believed?

Inside, every instant is aware UTC. Wall time and monotonic time are read together; when they part by more than
`DRIFT_LIMIT` since the last reading the clock is unreliable and nothing that depends on a window or a lease may be
done (design section 9, invariant I6).
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Protocol

DRIFT_LIMIT = timedelta(seconds=60)
"""How far wall and monotonic time may part, and how far a file or an edge may be off, before nothing is asked."""
COOLDOWN = timedelta(minutes=5)
"""How long a clock that jumped is not believed."""


class Clock(Protocol):
    def now(self) -> datetime:
        """Return the wall time, aware UTC."""

    def monotonic(self) -> float:
        """Return seconds that never go back, from an arbitrary start."""


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


@dataclass(frozen=True, slots=True)
class _Reading:
    wall: datetime
    monotonic: float


class ClockWatch:
    """Compares wall and monotonic time from reading to reading. After a jump it stays unreliable for `COOLDOWN`.

    A machine that slept looks like a jump; the cool-down lets time synchronisation settle before trust returns.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = self._read()
        self._jumped_at: float | None = None

    def is_reliable(self) -> bool:
        """Read both clocks and say whether they still agree."""
        reading = self._read()
        drift = (reading.wall - self._last.wall).total_seconds() - (reading.monotonic - self._last.monotonic)
        self._last = reading
        if abs(drift) > DRIFT_LIMIT.total_seconds():
            self._jumped_at = reading.monotonic
        return self._jumped_at is None or reading.monotonic - self._jumped_at >= COOLDOWN.total_seconds()

    def _read(self) -> _Reading:
        return _Reading(self._clock.now(), self._clock.monotonic())
