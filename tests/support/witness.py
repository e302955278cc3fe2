"""What did the clinic's folders show, to somebody who asks the product nothing?

A `Witness` is a chart that takes everything at once, and looks ten times a second which files have left the terminal:
each must have been in the chart by then.
"""

import hashlib
import os
import threading
import time
from pathlib import Path

from tests.support.site import Taker

LOOK_SECONDS = 0.1


class Witness(Taker):
    """Knows by hash what was put into the terminal's folder."""

    def __init__(self, inbox: Path, face: Path) -> None:
        super().__init__(inbox)
        self._face = face
        # A folder that is not this one (not mounted, or an empty one below the mount) shows nothing of any file.
        self._place = face.stat().st_ino
        self.there: dict[str, str] = {}
        """What is not known to have left, by name."""
        self.looks = 0
        self._put: set[str] = set()
        self._early: list[tuple[str, str]] = []
        self._elsewhere: set[str] = set()
        self._turn = threading.Lock()
        self._looked_at = 0.0

    def put(self, source: Path) -> Path:
        """Let a file arrive, complete when its name appears."""
        digest = hashlib.sha256(source.read_bytes()).hexdigest()
        with self._turn:
            target = source.rename(self._face / source.name)
            self.there[source.name] = digest
            self._put.add(digest)
        return target

    def release(self, name: str) -> None:
        """From here on somebody else may take this file away."""
        with self._turn:
            self.there.pop(name, None)

    def absorb(self, other: Taker) -> None:
        """What was taken elsewhere was the chart's too, and was there before it was seen to be."""
        self.taken += other.taken
        self.contents += other.contents
        self.records |= other.records
        self.recorded |= other.recorded
        self._elsewhere |= other.recorded | set(other.contents)

    @property
    def lost(self) -> int:
        return len(self._put - set(self.contents))

    @property
    def pieces(self) -> int:
        """Count originals in the chart that nobody wrote so."""
        return len(set(self.contents) - self._put)

    @property
    def duplicates(self) -> int:
        return sum(times - 1 for times in self.taken.values())

    @property
    def wrong_erasures(self) -> int:
        return sum(not self._elsewhere & {name, digest} for name, digest in self._early)

    def _take(self) -> None:
        super()._take()
        if time.monotonic() - self._looked_at > LOOK_SECONDS:
            with self._turn:
                self._look()
            self._looked_at = time.monotonic()
            self.looks += 1

    def _look(self) -> None:
        try:
            before = self._face.stat().st_ino
            here = set(os.listdir(self._face))  # noqa: PTH208 - of ten thousand files, ten times a second
            after = self._face.stat().st_ino
        except OSError:
            return
        gone = [name for name in self.there if name not in here]
        if not gone or {before, after} != {self._place}:
            return
        # Looked at after the terminal's folder: what was delivered before it went is in the inbox or taken by now.
        super()._take()
        for name in gone:
            digest = self.there.pop(name)
            if digest not in self.contents or name not in self.recorded:
                self._early.append((name, digest))
