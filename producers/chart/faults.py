"""What is wrong at this chart now, in stable words?"""

import threading

from pipeline.edge_words import EdgeFault


class Faults:
    """The faults that stand. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: set[EdgeFault] = set()

    def set(self, fault: EdgeFault, *, stands: bool) -> bool:
        """Note whether a fault stands; true when that is new."""
        with self._lock:
            changed = (fault in self._standing) != stands
            (self._standing.add if stands else self._standing.discard)(fault)
            return changed

    def words(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._standing))
