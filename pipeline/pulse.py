"""Is a role alive, and can it do its work? Set by the role's thread, read by /livez, /readyz and the supervisor."""

import threading
import time

from pipeline.metrics import READY


class Pulse:
    """One role's signs of life. Thread-safe."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lock = threading.Lock()
        self._beat_at = time.monotonic()
        self._why_not: str | None = "starting"

    def beat(self) -> None:
        """Say that the loop has come round."""
        with self._lock:
            self._beat_at = time.monotonic()

    def ready(self) -> None:
        self._set(None)

    def not_ready(self, why: str) -> None:
        """Say in one stable word what is missing: starting, store_away, broker_away, fuse, stopped."""
        self._set(why)

    def _set(self, why: str | None) -> None:
        with self._lock:
            self._why_not = why
        READY.labels(self.name).set(1 if why is None else 0)

    @property
    def seconds_since_beat(self) -> float:
        with self._lock:
            return time.monotonic() - self._beat_at

    @property
    def why_not_ready(self) -> str | None:
        with self._lock:
            return self._why_not
