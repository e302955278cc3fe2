"""Which scenarios fit into the time that is left? A plugin of pytest: the cheapest first, the rest named as not run."""

import os
import time

import pytest

UNTIL = "ONSHI_SOAK_UNTIL"
"""When the matrix must have ended, on the machine's monotonic clock."""
USUAL_SECONDS = 30.0


def seconds_of(item: pytest.Item) -> float:
    marker = item.get_closest_marker("takes")
    return float(marker.args[0]) if marker else USUAL_SECONDS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=seconds_of)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    if time.monotonic() + seconds_of(item) > float(os.environ[UNTIL]):
        pytest.skip(f"not run: takes {seconds_of(item):.0f} s, and there is no time left")
