"""Runs at the start of every process of a swept clinic: names its threads for the kernel, and plants a defect.

The product knows nothing of it: the harness puts this folder on PYTHONPATH of the processes it starts.
"""

import os
import threading
from contextlib import suppress
from pathlib import Path

_begin = threading.Thread._bootstrap_inner  # type: ignore[attr-defined]


def _named(thread: threading.Thread) -> None:
    with suppress(OSError):
        # Fifteen bytes are kept; the end of a name tells more than its beginning.
        Path("/proc/thread-self/comm").write_text(thread.name[-15:], encoding="utf-8")
    _begin(thread)


threading.Thread._bootstrap_inner = _named  # type: ignore[attr-defined]

if os.environ.get("ONSHI_TEST_DEFECT"):
    from tests.support.sweep.defects import plant

    plant(os.environ["ONSHI_TEST_DEFECT"])
