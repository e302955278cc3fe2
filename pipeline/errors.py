"""The failures the runner knows: what may be tried again, and what never will be.

Anything raised that is none of these is a bug: the runner parks the message and raises an alert.
"""


class OnshiError(Exception):
    """A failure of ours. Its text never carries a patient datum, for it reaches logs."""


class TransientError(OnshiError):
    """May succeed later: tried again on the retry tiers, then parked."""


class AwayError(TransientError):
    """The store or the broker is away: the consumer pauses and probes, and burns no attempt."""


class ClockInDoubtError(AwayError):
    """What was to be judged depends on a clock that cannot be believed now; waits like for a store that is away."""


class PermanentError(OnshiError):
    """Will never succeed: parked at once. `reason` is a stable lower-case word for grouping."""

    def __init__(self, reason: str, detail: str = "") -> None:
        self.reason = reason
        super().__init__(f"{reason}: {detail}" if detail else reason)


class UnfitStateError(OnshiError):
    """What was kept was written by another release. Nothing was touched; the process ends, for time mends nothing."""
