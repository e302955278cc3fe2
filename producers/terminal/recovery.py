"""When is an erasure that was cut short taken up again?

At once when it is new, then twice as rarely each time, up to a minute: a share that failed for a moment has its
certificate a second later, one that stays away costs little.
"""

from producers.terminal.erase import Eraser
from producers.terminal.trust import EdgeClock

FIRST_SECONDS = 1.0
MOST_SECONDS = 60.0


class Recovery:
    """Belongs to the thread of the orders, as the eraser does."""

    def __init__(self, eraser: Eraser, clock: EdgeClock) -> None:
        self._eraser = eraser
        self._clock = clock
        self._known: frozenset[str] = frozenset()
        self._pause = FIRST_SECONDS
        self._tried_at = -MOST_SECONDS

    def turn(self) -> None:
        """Take up what is due; returns at once when nothing is.

        Raises:
            sqlite3.Error: tried again at the next turn.
        """
        unfinished = self._eraser.unfinished()
        if unfinished - self._known:
            self._pause = FIRST_SECONDS
        self._known = unfinished
        now = self._clock.monotonic()
        if not unfinished or now - self._tried_at < self._pause:
            return
        self._tried_at = now
        self._pause = min(2 * self._pause, MOST_SECONDS)
        self._eraser.recover()
