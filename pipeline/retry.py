"""What becomes of an event that failed? Pure: a decision value, carried out by the runner."""

from dataclasses import dataclass

from pipeline.errors import AwayError, PermanentError, TransientError
from pipeline.topology import Tier

TIERS: tuple[Tier, ...] = tuple(Tier)


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after the tier's delay; `attempt` is the number of the coming one, from 2."""

    tier: Tier
    attempt: int


@dataclass(frozen=True, slots=True)
class Park:
    """Set aside for a person. `reason` groups; `is_bug` raises an alert."""

    reason: str
    is_bug: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """Store or broker is away: wait and probe, with the same event in hand."""


def after_failure(error: Exception, attempt: int) -> Again | Park | Pause:
    """Say what follows a failure of attempt number `attempt` (from 1)."""
    match error:
        case AwayError():
            return Pause()
        case PermanentError():
            return Park(error.reason)
        case TransientError() if attempt <= len(TIERS):
            return Again(TIERS[attempt - 1], attempt + 1)
        case TransientError():
            return Park("gave_up")
        case _:
            return Park(f"bug_{type(error).__name__}"[:40], is_bug=True)
