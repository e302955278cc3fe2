"""What does a handler answer with? A value; only the runner writes, publishes and acknowledges."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeVar

from pipeline.events import Event

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one event leads to.

    `writes` are values that only the consumer's own `apply` understands; `events` go to the outbox in the same
    transaction; `result` is one stable lower-case word for the log and the metric. With `park`, what was decided is
    written and published all the same, but the event is set aside for a person under that reason, and is new again
    when it is replayed.
    """

    result: str = "done"
    events: tuple[Event, ...] = ()
    writes: tuple[object, ...] = ()
    park: str | None = None


def said(outcomes: Iterable[tuple[T, Outcome]], *, to_vendors: bool) -> list[tuple[Event, T]]:
    """List what outcomes say, each with what led to it; what only vendors hear is said only where there are some."""
    return [
        (event, cause) for cause, outcome in outcomes for event in outcome.events if to_vendors or not event.for_vendors
    ]


NOTHING = Outcome("nothing")
