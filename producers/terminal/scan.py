"""What lies in a folder that the ledger does not know, and what is there no more?

The scan is the truth; events only make it come earlier. A name that is known with the same stamp costs one status
call and no query. What is not seen in a folder that is away is not concluded to be gone.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from pipeline.custody import Custody
from pipeline.oqs.names import Direction, FileName, Folder, parse_name
from producers.terminal.copies import Copy
from producers.terminal.folders import ShareFolder
from producers.terminal.handles import Stamp, kind_obstacle

MISSES = 2
"""In how many scans a copy must be missed before it is gone."""


@dataclass(slots=True)
class Known:
    """A copy as the index has it."""

    copy_id: str
    stamp: Stamp
    mac: str = field(repr=False)
    reason: str | None
    missed: int = 0
    missed_at: float = 0.0

    @property
    def is_retried(self) -> bool:
        """An unreadable file is tried at every scan until it can be read."""
        return self.reason == "unreadable"


@dataclass(frozen=True, slots=True)
class Sighting:
    """A file that is new or changed. `obstacle` is why it is never read, as far as its status tells."""

    folder: ShareFolder = field(repr=False)
    name: str = field(repr=False)
    parsed: FileName = field(repr=False)
    stamp: Stamp
    obstacle: str | None
    known: Known | None

    @property
    def key(self) -> tuple[str, str]:
        return (self.folder.label, self.name)


class Index:
    """What lies where, in memory. Belongs to the capturing thread."""

    def __init__(self, copies: Iterable[tuple[Copy, str]]) -> None:
        self._folders: dict[str, dict[str, Known]] = {}
        self._where: dict[str, tuple[str, str]] = {}
        for copy, name in copies:
            self.put(copy, name)

    def put(self, copy: Copy, name: str) -> None:
        reason = copy.reason if copy.state is Custody.HELD else None
        self._folders.setdefault(copy.folder, {})[name] = Known(copy.copy_id, copy.stamp, copy.mac, reason)
        self._where[copy.copy_id] = (copy.folder, name)

    def of(self, label: str) -> dict[str, Known]:
        return self._folders.setdefault(label, {})

    def drop(self, copy_ids: set[str]) -> None:
        for copy_id in copy_ids:
            label, name = self._where.pop(copy_id, ("", ""))
            known = self.of(label).get(name)
            if known is not None and known.copy_id == copy_id:
                del self.of(label)[name]


@dataclass(slots=True)
class Pass:
    """One look into one folder."""

    sightings: list[Sighting]
    names: set[str] = field(repr=False)
    recognised: int
    """How many known names were there."""


def wanted(name: str, folder: ShareFolder, is_ours: Callable[[str], bool], *, only_ours: bool) -> FileName | None:
    """Read a name if its file is for us; anything else is never opened and never touched.

    `only_ours`: in `res`, take nothing but answers to requests that we placed (`is_ours` of their correlation).
    """
    parsed = parse_name(name)
    if parsed is None:
        return None
    if folder.is_rescue:
        is_face = parsed.direction is Direction.FACE
        return parsed if is_face or (parsed.correlation and is_ours(parsed.correlation)) else None
    if folder.kind is None or not parsed.belongs_in(folder.kind):
        return None
    if folder.kind is Folder.RES and only_ours and not (parsed.correlation and is_ours(parsed.correlation)):
        return None
    return parsed


def look_into(
    folder: ShareFolder, known: dict[str, Known], want: Callable[[str, ShareFolder], FileName | None], limit: int
) -> Pass:
    """List a folder once.

    Raises:
        ShareAwayError, OSError: nothing may be concluded.
    """
    found = Pass([], set(), 0)
    with os.scandir(folder.descriptor()) as entries:
        for entry in entries:
            _see(entry, folder, known.get(entry.name), want=want, limit=limit, found=found)
    return found


def _see(
    entry: "os.DirEntry[str]",
    folder: ShareFolder,
    known: Known | None,
    *,
    want: Callable[[str, ShareFolder], FileName | None],
    limit: int,
    found: Pass,
) -> None:
    parsed = None if known else want(entry.name, folder)
    if known is None and parsed is None:
        return
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return
    found.names.add(entry.name)
    stamp = Stamp.of(status)
    if known:
        found.recognised += 1
        known.missed = 0
        if known.stamp == stamp and not known.is_retried:
            return
        parsed = want(entry.name, folder)
    if parsed is not None:
        why = kind_obstacle(status) or ("too_large" if status.st_size > limit else None)
        found.sightings.append(Sighting(folder, entry.name, parsed, stamp, why, known))


def missing(known: dict[str, Known], names: set[str], now: float, apart: float) -> Iterator[str]:
    """Name the copies missed in two scans at least `apart` seconds from each other."""
    for name, copy in known.items():
        if name in names or (copy.missed and now - copy.missed_at < apart):
            continue
        copy.missed += 1
        copy.missed_at = now
        if copy.missed >= MISSES:
            yield copy.copy_id
