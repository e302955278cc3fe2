"""How much content may be in memory at once? One number, for every place that takes a batch.

A hundred messages are mostly a megabyte and may be a gigabyte. Whoever takes a batch takes less of it then; a single
larger message still passes alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

BYTES = 32 << 20
"""Content of one batch in one role. Its text form and its seals may be in memory beside it, each as large again."""

T = TypeVar("T")


class TooHeavyError(Exception):
    """The facts of a batch are more than fits; nothing was written. The runner halves the batch and comes again."""


def fitting(sized: Iterable[tuple[T, int]], most: int | None = None) -> Iterator[T]:
    """Give the first of these (item, bytes) that fit together; always one, however large."""
    most = BYTES if most is None else most
    total = 0
    for number, (item, size) in enumerate(sized):
        total += size
        if number and total > most:
            return
        yield item


def parts(sized: Iterable[tuple[T, int]]) -> Iterator[list[T]]:
    """Divide these (item, bytes) into parts that fit, in order."""
    part: list[T] = []
    total = 0
    for item, size in sized:
        if part and total + size > BYTES:
            yield part
            part, total = [], 0
        part.append(item)
        total += size
    if part:
        yield part


def check(sizes: Sequence[int], most: int | None = None) -> None:
    """Look at the sizes before the contents are read.

    Raises:
        TooHeavyError: together they are too large, and there is more than one.
    """
    if len(sizes) > 1 and sum(sizes) > (BYTES if most is None else most):
        raise TooHeavyError
