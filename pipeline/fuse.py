"""Does this consumer park everything? Then it stops, for a bad release must not empty a queue into the parking lot.

Where several clinics share a consumer, none of them can stop it: of one clinic no more counts than another must add to.
An edge that sends nothing that can be used only ends being believed itself, as does one whose own configuration is
wrong: what else it says goes round a retry tier, unread and unparked, and one message of it is tried now and then.
What it says anew is tried beside what goes round, for that may be a week of what can never be used; and what it says
again while it goes round is not sent round twice.
"""

from dataclasses import dataclass, field
from typing import Final

MOST_IN_A_ROW: Final = 25
PROBE_SECONDS: Final = 600.0
ROUND_SECONDS: Final = 3600.0
"""How long what was sent round is taken to come again: several rounds, should other instances have had it meanwhile."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The edge whose word an event goes back to. The broker holds it against the sender's certificate."""

    clinic: str
    edge: str


@dataclass(slots=True)
class _Probe:
    """Which event is tried all the same, and when the next one is."""

    event_id: str | None = None
    next_at: float = 0.0


@dataclass(slots=True)
class _Doubt:
    """What one edge has sent since its last success, and what of it goes round, with the time it last set out."""

    parked: set[str] = field(default_factory=set)
    round: dict[str, float] = field(default_factory=dict)
    of_round: _Probe = field(default_factory=_Probe)
    of_new: _Probe = field(default_factory=_Probe)


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
        for probe in (doubt.of_round, doubt.of_new):
            if not before or probe.event_id == event_id:
                probe.next_at = now + PROBE_SECONDS
        return not before

    def doubts(self, origin: Origin, event_id: str, now: float) -> bool:
        """Say whether this event is put off for its edge's sake.

        In ten minutes one of what goes round is tried, and one of what does not yet; either may end the doubt.
        """
        doubt = self._doubts.get(origin)
        if doubt is None or len(doubt.parked) < self._most:
            return False
        if event_id in (doubt.of_round.event_id, doubt.of_new.event_id):
            return False
        probe = doubt.of_round if event_id in doubt.round else doubt.of_new
        if now < probe.next_at:
            return True
        probe.event_id, probe.next_at = event_id, now + PROBE_SECONDS
        return False

    def sent_round(self, origin: Origin, event_id: str, now: float) -> None:
        """Note that a put off event waits at the broker."""
        if origin in self._doubts:
            self._doubts[origin].round[event_id] = now

    def goes_round(self, origin: Origin, event_id: str, now: float) -> bool:
        """Say whether a put off event will come again of itself."""
        doubt = self._doubts.get(origin)
        return doubt is not None and now - doubt.round.get(event_id, -ROUND_SECONDS) < ROUND_SECONDS

    @property
    def is_blown(self) -> bool:
        # Of one clinic at most so many count that a second one must add to it: two are enough, one never is.
        share = (self._most + 1) // 2 if self._is_shared else self._most
        return sum(min(len(events), share) for events in self._in_a_row.values()) >= self._most
