"""What is wrong at this chart now, in stable words?"""

import threading
from enum import StrEnum


class Fault(StrEnum):
    """As `edge.reported` names them."""

    CHART_AWAY = "chart_away"
    DISK_FULL = "disk_full"
    """The local file cannot be written: mostly no room."""
    CLOCK = "clock"
    KEYS = "keys"
    UNREADABLE = "unreadable_message"
    """Something came that this version cannot read, mostly because the centre is newer; stands until a restart."""
    BOOKINGS_INVALID = "bookings_invalid"
    BOOKINGS_MISSING = "bookings_missing"
    """There is no list of bookings to read; the last one stands."""
    PATIENTS_INVALID = "patients_invalid"
    PATIENTS_MISSING = "patients_missing"
    """There is no patient list to read; the last one stands."""


class Faults:
    """The faults that stand. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._standing: set[Fault] = set()

    def set(self, fault: Fault, *, stands: bool) -> bool:
        """Note whether a fault stands; true when that is new."""
        with self._lock:
            changed = (fault in self._standing) != stands
            (self._standing.add if stands else self._standing.discard)(fault)
            return changed

    def words(self) -> tuple[str, ...]:
        with self._lock:
            return tuple(sorted(self._standing))
