"""Where do messages wait that the broker has sent and nobody has taken yet?

In memory, as far as the budget goes. A prefetch counts messages, not bytes, and cannot be lowered in mid-stream
without messages coming back that nobody has seen; so the bodies beyond the budget lie in a file without a name, which
ends with the process. Bodies are sealed or hold nothing of a patient, as at the broker.
"""

import os
import tempfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import IO

from pipeline.broker.port import Delivery
from pipeline.budget import BYTES, fitting


@dataclass(frozen=True, slots=True)
class _Waiting:
    delivery: Delivery
    size: int
    at: int | None = None
    """Where the body lies in the file; none: it is in memory."""


class Arrivals:
    """First in, first out. Not thread-safe; `most` bytes stay in memory."""

    def __init__(self, most: int = BYTES) -> None:
        self._most = most
        self._waiting: deque[_Waiting] = deque()
        self._file: IO[bytes] | None = None
        self._end = 0
        self.in_memory = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, delivery: Delivery) -> None:
        size = len(delivery.body)
        if self.in_memory + size > self._most and self.in_memory:
            try:
                at = self._put_away(delivery.body)
            except OSError:
                # A full disk: too much memory is better than a message nobody can read.
                pass
            else:
                self._waiting.append(_Waiting(replace(delivery, body=b""), size, at))
                return
        self.in_memory += size
        self._waiting.append(_Waiting(delivery, size))

    def take(self, most: int) -> list[Delivery]:
        """Hand out the oldest that fit together, at most `most`."""
        count = sum(1 for _ in fitting((one, one.size) for one in list(self._waiting)[:most])) if most > 0 else 0
        return [self._fetch(self._waiting.popleft()) for _ in range(count)]

    def _put_away(self, body: bytes) -> int:
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="onshi-arrived-")  # noqa: SIM115 - closed with the subscription
        at, view = self._end, memoryview(body)
        while view:
            written = os.pwrite(self._file.fileno(), view, self._end)
            view, self._end = view[written:], self._end + written
        return at

    def _fetch(self, one: _Waiting) -> Delivery:
        if one.at is None:
            self.in_memory -= one.size
            return one.delivery
        assert self._file is not None
        body = b"".join(_read(self._file.fileno(), one.at, one.size))
        if not any(other.at is not None for other in self._waiting):
            os.ftruncate(self._file.fileno(), 0)
            self._end = 0
        return replace(one.delivery, body=body)

    def close(self) -> None:
        self._waiting.clear()
        self.in_memory = 0
        if self._file is not None:
            self._file.close()
            self._file = None
            self._end = 0


def _read(handle: int, at: int, size: int) -> Iterator[bytes]:
    while size:
        part = os.pread(handle, size, at)
        if not part:
            raise OSError("the end of the file came too soon")
        yield part
        at, size = at + len(part), size - len(part)
