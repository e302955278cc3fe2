"""What did the clinic's folders show, to somebody who asks the product nothing?

One thread takes every file out of the chart's inbox at once, as a chart does, and sees which files leave the
terminal. Content is compared by its hash: what came twice, came in pieces, or left before it was delivered is noted.
"""

import threading
from collections import Counter
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Self

LOOK_SECONDS = 0.003


class Observer:
    def __init__(self, inbox: Path, folders: Sequence[Path]) -> None:
        self._inbox = inbox
        self._folders = folders
        self._lock = threading.Lock()
        self._there: dict[Path, str] = {}
        self._due: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="observer")
        self.taken: Counter[str] = Counter()
        self.records: Counter[str] = Counter()
        self.complaints: list[str] = []

    def put(self, source: Path, target: Path, *, delivered: bool) -> None:
        """Put a file into the terminal's folder, complete when its name appears, and remember what it was."""
        digest = sha256(source.read_bytes()).hexdigest()
        with self._lock:
            self._there[target] = digest
            if delivered:
                self._due.add(digest)
            source.rename(target)

    def missing(self) -> int:
        """Count originals and records that the chart has not had."""
        with self._lock:
            return len(self._due - set(self.taken)) + max(0, len(self._due) - len(self.records))

    def seen(self) -> list[str]:
        """Return every complaint, the doubles of this moment among them."""
        with self._lock:
            twice = [f"the chart got one file {n} times" for n in self.taken.values() if n > 1]
            records = [f"the chart got one record {n} times" for n in self.records.values() if n > 1]
            return [*self.complaints, *twice, *records]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            with self._lock:
                self._look()

    def _look(self) -> None:
        here = {path for folder in self._folders for path in folder.iterdir()}
        gone = [path for path in self._there if path not in here]
        # Looked at after the terminal's folder: what was delivered before it went is in the inbox or taken by now.
        self._take()
        for path in gone:
            digest = self._there.pop(path)
            if digest in self._due and digest not in self.taken:
                self.complaints.append("a file left the terminal before the chart had it")

    def _take(self) -> None:
        for path in sorted(self._inbox.iterdir()):
            if path.name.startswith("."):
                continue
            content = path.read_bytes()
            path.unlink()
            if path.suffix == ".json":
                self.records[path.name] += 1
                continue
            digest = sha256(content).hexdigest()
            self.taken[digest] += 1
            if digest not in self._due:
                self.complaints.append("the chart got a file that nobody wrote, or a piece of one")
