"""Does one process alone work with a file? A lock of the operating system beside it, which a killed process lets go."""

import fcntl
import os
import time
from pathlib import Path
from typing import Final

_LOOKS: Final = 10
_PAUSE_SECONDS: Final = 0.02


def hold(path: Path) -> int | None:
    """Take the lock for as long as the returned descriptor is open; None: another process has it."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    for _ in range(_LOOKS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            # Whoever only asks, as `is_held` does, has it for a moment.
            time.sleep(_PAUSE_SECONDS)
        else:
            return lock
    os.close(lock)
    return None


def is_held(path: Path) -> bool:
    """Say whether a process has the lock now."""
    try:
        lock = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(lock)
    return False
