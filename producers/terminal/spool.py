"""Where is a file safe between the share and the centre?

Append-only segments of sealed records, each framed with its length and a checksum. A batch is flushed once, read
back and compared before anybody relies on it (preconditions C1 and C2). A segment that failed is never written
again: after a failed flush the system may have dropped the pages and would report the next flush as a success.
"""

import errno
import os
import struct
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from pipeline.edge_words import EdgeFault

_FRAME: Final = struct.Struct(">4sII")
_MAGIC: Final = b"OSp1"
SEGMENT_BYTES: Final = 64 << 20
SEGMENT_SECONDS: Final = 86400.0


class SpoolError(Exception):
    """Nothing of the batch may be relied on. `word`: DISK_FULL or SPOOL."""

    def __init__(self, word: EdgeFault) -> None:
        self.word = word
        super().__init__(word)


class DamagedError(Exception):
    """A record is not what was written."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed record lies. `sha256` is of the sealed bytes."""

    segment: int
    offset: int
    length: int
    sha256: bytes = field(repr=False)


class Spool:
    """The segments in one folder. Appending belongs to one thread; reading to any.

    Every start opens a new segment, so the torn tail that a crash may leave is never appended to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._handle = -1
        self._number = max(self._numbers(), default=0)
        self._end = 0
        self._opened_at = 0.0

    def append(self, records: Sequence[bytes]) -> list[Place]:
        """Write records, flush once, read them back.

        Raises:
            SpoolError: nothing was added; the segment is given up.
        """
        try:
            self._rotate()
            places = self._write(records)
            os.fsync(self._handle)
            for place in places:
                self._check(self._handle, place)
        except (OSError, DamagedError) as fault:
            self._abandon()
            full = isinstance(fault, OSError) and fault.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
            raise SpoolError(EdgeFault.DISK_FULL if full else EdgeFault.SPOOL) from None
        self._end = places[-1].offset + places[-1].length if places else self._end
        return places

    def _write(self, records: Sequence[bytes]) -> list[Place]:
        at = self._end
        places: list[Place] = []
        for record in records:
            head = _FRAME.pack(_MAGIC, len(record), zlib.crc32(record))
            for part in (head, record):
                view = memoryview(part)
                while view:
                    written = os.pwrite(self._handle, view, at)
                    view, at = view[written:], at + written
            places.append(Place(self._number, at - len(record), len(record), sha256(record).digest()))
        return places

    def read(self, place: Place) -> bytes:
        """Return a sealed record as it was written.

        Raises:
            DamagedError: it was changed, or is gone.
        """
        try:
            handle = os.open(self._path(place.segment), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise DamagedError from None
        try:
            return self._check(handle, place)
        except OSError:
            raise DamagedError from None
        finally:
            os.close(handle)

    @staticmethod
    def _check(handle: int, place: Place) -> bytes:
        record = os.pread(handle, place.length, place.offset)
        if sha256(record).digest() != place.sha256:
            raise DamagedError
        return record

    def _rotate(self) -> None:
        is_old = time.monotonic() - self._opened_at > SEGMENT_SECONDS
        if self._handle >= 0 and self._end < SEGMENT_BYTES and not is_old:
            return
        self.close()
        self._number += 1
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        self._handle = os.open(self._path(self._number), flags, 0o600)
        self._end, self._opened_at = 0, time.monotonic()
        self._flush_folder()

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _abandon(self) -> None:
        # What was flushed before stays readable; the rest would only fill a full disk.
        if self._handle < 0:
            return
        try:
            if self._end:
                os.ftruncate(self._handle, self._end)
            else:
                self._path(self._number).unlink()
        except OSError:
            pass
        self.close()

    def prune(self, kept: set[int]) -> None:
        """Remove every finished segment that is not kept."""
        for number in self._numbers():
            if number not in kept and not (number == self._number and self._handle >= 0):
                self._path(number).unlink(missing_ok=True)

    def _numbers(self) -> list[int]:
        return sorted(int(path.stem) for path in self._folder.glob("*.seg") if path.stem.isdecimal())

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:010}.seg"

    def close(self) -> None:
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1
