"""Does this consumer park everything? Then it stops, for a bad release must not empty a queue into the parking lot.

Where several clinics share a consumer, none of them can stop it: of one clinic no more counts than another must add to.
An edge that sends nothing that can be used only ends being believed itself, as does one whose own configuration is
wrong: what else it says goes round a retry tier, unread and unparked, and one message of it is tried now and then.
"""

from dataclasses import dataclass, field
from typing import Final

MOST_IN_A_ROW: Final = 25
PROBE_SECONDS: Final = 600.0


@dataclass(frozen=True, slots=True)
class Origin:
    """The edge whose word an event goes back to. The broker holds it against the sender's certificate."""

    clinic: str
    edge: str


@dataclass(slots=True)
class _Doubt:
    """What one edge has sent since its last success, and which event of it is tried all the same."""

    parked: set[str] = field(default_factory=set)
    probe: str | None = None
    next_probe: float = 0.0


class Fuse:
    """Blows after 25 parked events without one success between them. Reset only by a restart.

    `is_shared`: whether events of several clinics come here. If not, nobody is there to be protected from another.
    Times are seconds of a clock that only goes forward.
    """

    def __init__(self, most: int = MOST_IN_A_ROW, *, is_shared: bool = False) -> None:
        self._most = most
        self._is_shared = is_shared
        self._in_a_row: dict[str, set[str]] = {}
        self._doubts: dict[Origin, _Doubt] = {}

    def passed(self, origin: Origin | None = None) -> None:
        """Note a success; it also shows that its own edge can be believed."""
        if not self.is_blown:
            self._in_a_row.clear()
        if origin is not None:
            self._doubts.pop(origin, None)

    def parked(self, event_id: str, origin: Origin | None = None, now: float = 0.0) -> bool:
        """Count an event; one that is decided again, because its parking could not be published, counts once.

        Returns whether its edge ends being believed with it.
        """
        clinic = origin.clinic if origin else ""
        self._in_a_row.setdefault(clinic, set()).add(event_id)
        if origin is None or not self._is_shared:
            return False
        doubt = self._doubts.setdefault(origin, _Doubt())
        before = len(doubt.parked) >= self._most
        doubt.parked.add(event_id)
        if len(doubt.parked) < self._most:
            return False
        doubt.next_probe = now + PROBE_SECONDS
        return not before

    def doubts(self, origin: Origin, event_id: str, now: float) -> bool:
        """Say whether this event is put off for its edge's sake; one in ten minutes is tried, and may end the doubt."""
        doubt = self._doubts.get(origin)
        if doubt is None or len(doubt.parked) < self._most or doubt.probe == event_id:
            return False
        if now < doubt.next_probe:
            return True
        doubt.probe, doubt.next_probe = event_id, now + PROBE_SECONDS
        return False

    @property
    def is_blown(self) -> bool:
        # Of one clinic at most so many count that a second one must add to it: two are enough, one never is.
        share = (self._most + 1) // 2 if self._is_shared else self._most
        return sum(min(len(events), share) for events in self._in_a_row.values()) >= self._most
