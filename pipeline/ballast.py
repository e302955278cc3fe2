"""Can what is in hand be finished when the disk is full?

A file full of nothing lies in the state folder. When the disk is full it is emptied, and what was begun (intents,
receipts, certificates, answers) has room to be written. Nothing new is begun until there is room to make it again.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.metrics import BALLAST

PART_OF_DISK: Final = 16
"""At most the sixteenth part of a small disk."""
LEAST_FREE_BYTES: Final = 1 << 20
TEND_SECONDS: Final = 1.0


class Ballast:
    """One file. Thread-safe. `place` names it in the metrics; a size of 0 keeps none."""

    def __init__(self, path: Path, size: int, place: str) -> None:
        self._path = path
        self._wanted = size
        self._place = place
        self._lock = threading.Lock()

    def tend(self) -> bool:
        """Make it where there is room, give it up where there is nearly none; say whether it is there.

        Raises nothing: a folder that cannot be asked has none.
        """
        with self._lock:
            try:
                whole = self._tend()
            except OSError:
                whole = False
            BALLAST.labels(self._place).set(held(self._path))
            return whole

    def release(self) -> None:
        """Give the room to whoever has met a full disk."""
        with self._lock, contextlib.suppress(OSError):
            self._empty()
        BALLAST.labels(self._place).set(held(self._path))

    def bytes_held(self) -> int:
        return held(self._path)

    def _tend(self) -> bool:
        disk = os.statvfs(self._path.parent)
        size = min(self._wanted, disk.f_blocks * disk.f_frsize // PART_OF_DISK)
        free = disk.f_bavail * disk.f_frsize
        if held(self._path) >= size:
            if free >= min(LEAST_FREE_BYTES, size // 4):
                return True
            self._empty()
            return False
        # Twice its size: as much must be left for what made the disk full.
        if free < 2 * size:
            return False
        self._fill(size)
        return True

    def _fill(self, size: int) -> None:
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.posix_fallocate(handle, 0, size)
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, 0)
            raise
        finally:
            os.close(handle)

    def _empty(self) -> None:
        # Emptied and not removed, so that it can be told from one that was never made.
        os.truncate(self._path, 0)


def held(path: Path) -> int:
    """Say how much a ballast file really takes."""
    try:
        status = path.stat()
    except OSError:
        return 0
    return min(status.st_size, status.st_blocks * 512)


def is_spent(path: Path) -> bool:
    """Say whether there was a ballast here and it is used up."""
    return path.exists() and held(path) == 0


def keeper(ballast: Ballast) -> Callable[[threading.Event], None]:
    """Make the part of a process that tends a ballast until told to stop."""

    def run(stop: threading.Event) -> None:
        while True:
            ballast.tend()
            if stop.wait(TEND_SECONDS):
                return

    return run
