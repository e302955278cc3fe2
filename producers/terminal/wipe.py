"""How is a file taken out of the share for ever, step by step?

Rename into quarantine, check by handle, overwrite in place through the same handle, flush, read back, unlink, flush
the folder, see that it is absent (D2 to D6 of security-and-reliability section 3.3). Flushes are grouped over a
batch of one folder. The caller commits its intent before `take` and once more between `take` and `destroy`.
"""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from producers.terminal.handles import (
    LOCAL,
    ObstacleError,
    Stamp,
    flush_all,
    kind_obstacle,
    look,
    obstacle,
    open_regular,
    read_handle,
    rename_new,
    write_all,
)

MacOf = Callable[[bytes], str]
_AS_REASON = {"unreadable": "permission", "busy": "permission", "not_regular": "linked", "too_large": "changed"}


@dataclass(frozen=True, slots=True)
class Target:
    """What is to go, and what it must still be. `key` is a copy's or a request's id."""

    key: str
    name: str = field(repr=False)
    quarantine: str
    stamp: Stamp
    mac: str = field(repr=False)


@dataclass(slots=True)
class Taken:
    """A target in quarantine, held open."""

    target: Target
    handle: int


@dataclass(frozen=True, slots=True)
class Failure:
    """It still lies there (stranded: under its quarantine name). `reason`: gone, changed, linked, permission, io."""

    target: Target
    reason: str
    is_stranded: bool = False


@dataclass(frozen=True, slots=True)
class Wiped:
    """It is gone. `read_back` is how many bytes were found overwritten; 0 when they were not."""

    target: Target
    read_back: int
    is_absent: bool


def quarantine_name() -> str:
    """Draw a name outside every pattern, that no one can guess."""
    return f".onshi-{os.urandom(12).hex()}.erasing"


def inspect(folder: int, target: Target) -> str | None:
    """Say why the name does not lead to the file we knew (precondition C7), before anything is touched."""
    try:
        status = look(folder, target.name)
    except ObstacleError as met:
        return reason_of(met)
    return "linked" if kind_obstacle(status) else _difference(Stamp.of(status), target.stamp)


def reason_of(met: ObstacleError) -> str:
    return _AS_REASON.get(met.reason, met.reason)


def _difference(now: Stamp, then: Stamp) -> str | None:
    # Times are left out: a touched file is the same file, and its content is hashed again.
    return None if (now.identity, now.size) == (then.identity, then.size) else "changed"


def take(folder: int, target: Target, mac_of: MacOf) -> Taken | Failure:
    """Rename into quarantine and make sure, by handle, that it is the file we know (D2, D3)."""
    try:
        os.rename(target.name, target.quarantine, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as fault:
        return Failure(target, reason_of(obstacle(fault)))
    return take_quarantined(folder, target, mac_of)


def take_quarantined(folder: int, target: Target, mac_of: MacOf) -> Taken | Failure:
    """Check a file that lies in quarantine already; what is not ours to destroy goes back under its name."""
    try:
        handle = open_regular(folder, target.quarantine, write=True)
    except ObstacleError as met:
        return give_back(folder, target, reason_of(met))
    try:
        stamp, content = read_handle(handle, target.stamp.size)
        reason = _difference(stamp, target.stamp) or (None if mac_of(content) == target.mac else "changed")
    except ObstacleError as met:
        reason = reason_of(met)
    if reason is None:
        return Taken(target, handle)
    os.close(handle)
    return give_back(folder, target, reason)


def give_back(folder: int, target: Target, reason: str) -> Failure:
    """Rename out of quarantine. Never onto a file that has come under the name meanwhile."""
    try:
        rename_new(folder, target.quarantine, target.name)
    except FileNotFoundError:
        return Failure(target, "gone")
    except OSError:
        return Failure(target, reason, is_stranded=True)
    return Failure(target, reason)


def reopen(folder: int, target: Target) -> Taken | Failure:
    """Hold a file again whose overwriting had begun: whatever it holds now is ours to destroy."""
    try:
        handle = open_regular(folder, target.quarantine, write=True)
    except ObstacleError as met:
        return Failure(target, reason_of(met), is_stranded=met.reason != "gone")
    now = Stamp.of(os.fstat(handle))
    # Not the device: that of a share changes with every mount, and nobody else can have guessed the name.
    if (now.ino, now.size) != (target.stamp.ino, target.stamp.size):
        os.close(handle)
        return Failure(target, "changed", is_stranded=True)
    return Taken(replace(target, stamp=now), handle)


def destroy(folder: int, batch: Sequence[Taken], filesystem: str) -> Iterator[Wiped | Failure]:
    """Overwrite, flush, read back, unlink, flush the folder, look again (D4 to D6). Closes the handles."""
    try:
        fillings = [_overwrite(taken) for taken in batch]
        try:
            flush_all(folder, [taken.handle for taken in batch], filesystem)
        except OSError:
            fillings = [None] * len(batch)
        outcomes = [_remove(folder, taken, filling, filesystem) for taken, filling in zip(batch, fillings, strict=True)]
    finally:
        for taken in batch:
            os.close(taken.handle)
    with contextlib.suppress(OSError):  # some shares cannot flush a folder; the look below is what counts
        os.fsync(folder)
    left = set(names_in(folder))
    for taken, (read_back, failure) in zip(batch, outcomes, strict=True):
        yield failure or Wiped(taken.target, read_back, taken.target.quarantine not in left)


def _overwrite(taken: Taken) -> bytes | None:
    filling = os.urandom(taken.target.stamp.size)
    try:
        write_all(taken.handle, filling)
    except OSError:
        return None
    return filling


def _remove(folder: int, taken: Taken, filling: bytes | None, filesystem: str) -> tuple[int, Failure | None]:
    target = taken.target
    if filling is None:
        return 0, Failure(target, "io", is_stranded=True)
    try:
        status = look(folder, target.quarantine)
        if Stamp.of(status).identity != target.stamp.identity or status.st_nlink > 1:
            return 0, Failure(target, "linked", is_stranded=True)
        read_back = len(filling) if os.pread(taken.handle, len(filling) + 1, 0) == filling else 0
        os.unlink(target.quarantine, dir_fd=folder)
        if filesystem in LOCAL and os.fstat(taken.handle).st_nlink:
            # The name was swapped in between: another file went, ours lies elsewhere, overwritten.
            return 0, Failure(target, "linked", is_stranded=True)
    except ObstacleError as met:
        return 0, Failure(target, reason_of(met), is_stranded=True)
    except OSError as fault:
        return 0, Failure(target, reason_of(obstacle(fault)), is_stranded=True)
    return read_back, None


def names_in(folder: int) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            yield entry.name
