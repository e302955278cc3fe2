"""What does the edge ask of a chart system, whatever its make?

An effect has a key, `<file id>:<revision>`. The caller always asks `find` before `apply`, so that an effect whose
receipt was lost is looked up and not repeated.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from pipeline.contents import SealedDelivery
from pipeline.errors import PermanentError, TransientError


class ChartAwayError(TransientError):
    """The chart cannot be reached or takes nothing now. Not the fault of any one delivery. Names no path."""


class ChartRefusedError(PermanentError):
    """The chart will never take this delivery as it is."""


@dataclass(frozen=True, slots=True)
class ChartDelivery:
    """One revision of one file, opened. `original` is none inside when the chart has it already."""

    file_id: str
    revision: int
    content: SealedDelivery

    @property
    def key(self) -> str:
        return delivery_key(self.file_id, self.revision)


def delivery_key(file_id: str, revision: int) -> str:
    """Name the effect of one revision."""
    return f"{file_id}:{revision}"


Receipt = str
"""Proof of one effect: a keyed hash or the chart's own number, never a patient datum; at most 128 characters."""


class ChartPort(Protocol):
    """One chart system. Thread-safe for different files; one file is in one call at a time. Both calls block."""

    def find(self, keys: Sequence[str]) -> Mapping[str, Receipt]:
        """Look up effects that were begun, finish those that can be finished, and return their receipts.

        A key that is not in the answer had no effect and may be applied.

        Raises:
            ChartAwayError: nothing is known of any.
        """

    def apply(self, deliveries: Sequence[ChartDelivery]) -> Mapping[str, Receipt | ChartRefusedError]:
        """Give the chart these deliveries of different files; an answer for every key.

        Raises:
            ChartAwayError: some may have had their effect: ask `find` before the next `apply`.
        """
