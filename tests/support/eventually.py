"""When is it so? Tests wait for a condition, never for a time."""

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.02


def eventually(condition: Callable[[], T], seconds: float = 30.0, what: str = "the condition") -> T:
    """Return the first true value of `condition`; fail when there is none in time."""
    until = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"{what} did not come true within {seconds} s; last: {value!r}")
        time.sleep(POLL_SECONDS)
