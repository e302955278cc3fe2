"""How is a file touched without ever following a name to somewhere else?

Everything goes through a held folder descriptor and an open handle; a path is never used twice. A name may be
swapped for a link, a directory or a pipe at any moment, by anybody who can write to the share
(security-and-reliability section 4; CWE-59, CWE-1386).
"""

import ctypes
import errno
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_WRITE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_RENAME_NOREPLACE = 1
LOCAL = frozenset({"ext4", "xfs", "btrfs", "f2fs", "tmpfs"})
"""File systems of this machine's own, whose answers about a file come from its disk."""
_GROUPED = 4
"""From how many files on one flush of the file system, which waits for others' writes too, costs less."""
_NOT_OFFERED = (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP)
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_BUSY = (errno.EBUSY, errno.ETXTBSY, errno.EAGAIN)

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Stamp:
    """What tells one file from another without reading it."""

    dev: int
    ino: int
    size: int
    mtime_ns: int

    @classmethod
    def of(cls, status: os.stat_result) -> Self:
        return cls(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)

    @property
    def identity(self) -> str:
        """Device and inode, as text: an inode of a share may not fit a signed number."""
        return f"{self.dev}:{self.ino}"


class ObstacleError(Exception):
    """The file cannot be touched as asked.

    `reason`: gone, linked, not_regular, too_large, unreadable, busy, changed, or io.
    """

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def obstacle(fault: OSError) -> ObstacleError:
    """Name what an error of the file system means. Its text, which quotes the file's name, is dropped."""
    if fault.errno in (errno.ENOENT, errno.ENOTDIR):
        return ObstacleError("gone")
    if fault.errno in (errno.ELOOP, errno.EMLINK):
        return ObstacleError("linked")
    if fault.errno in (errno.ENXIO, errno.EISDIR, errno.ENODEV):
        return ObstacleError("not_regular")
    if fault.errno in _REFUSED:
        return ObstacleError("unreadable")
    return ObstacleError("busy" if fault.errno in _BUSY else "io")


def kind_obstacle(status: os.stat_result) -> str | None:
    """Say why a file of this kind is never taken, from its status alone."""
    if stat.S_ISLNK(status.st_mode):
        return "linked"
    if not stat.S_ISREG(status.st_mode):
        return "not_regular"
    return "linked" if status.st_nlink > 1 else None


def look(folder: int, name: str) -> os.stat_result:
    """Return the status of the name itself, following nothing.

    Raises:
        ObstacleError: gone, unreadable or io.
    """
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except OSError as fault:
        raise obstacle(fault) from None


def open_regular(folder: int, name: str, *, write: bool = False) -> int:
    """Open a regular file that no other name shares; the caller closes the handle.

    Raises:
        ObstacleError: it is not such a file, or cannot be opened.
    """
    try:
        handle = os.open(name, _WRITE if write else _READ, dir_fd=folder)
    except OSError as fault:
        raise obstacle(fault) from None
    reason = kind_obstacle(os.fstat(handle))
    if reason:
        os.close(handle)
        raise ObstacleError(reason)
    return handle


def read_handle(handle: int, limit: int) -> tuple[Stamp, bytes]:
    """Read the whole file from an open handle.

    Raises:
        ObstacleError: too_large (nothing is read), changed (while it was read), io.
    """
    try:
        before = Stamp.of(os.fstat(handle))
        if before.size > limit:
            raise ObstacleError("too_large")
        content = _read_all(handle, before.size + 1)
        after = Stamp.of(os.fstat(handle))
    except OSError as fault:
        raise obstacle(fault) from None
    if after != before or len(content) != before.size:
        raise ObstacleError("changed")
    return before, content


def read_whole(folder: int, name: str, limit: int) -> tuple[Stamp, bytes]:
    """Open, read and close.

    Raises:
        ObstacleError: see `open_regular` and `read_handle`.
    """
    handle = open_regular(folder, name)
    try:
        return read_handle(handle, limit)
    finally:
        os.close(handle)


def _read_all(handle: int, most: int) -> bytes:
    parts: list[bytes] = []
    at = 0
    while at < most:
        part = os.pread(handle, most - at, at)
        if not part:
            break
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def write_all(handle: int, content: bytes, at: int = 0) -> None:
    view = memoryview(content)
    while view:
        written = os.pwrite(handle, view, at)
        view, at = view[written:], at + written


def rename_new(folder: int, name: str, to: str) -> None:
    """Rename within a folder, never onto an existing name.

    Raises:
        FileExistsError: `to` is taken.
        OSError: not renamed.
    """
    source, target = os.fsencode(name), os.fsencode(to)
    if _libc.renameat2(folder, source, folder, target, _RENAME_NOREPLACE) == 0:
        return
    code = ctypes.get_errno()
    if code not in _NOT_OFFERED:
        raise OSError(code, os.strerror(code))
    try:
        os.stat(to, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(name, to, src_dir_fd=folder, dst_dir_fd=folder)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))


def flush_all(folder: int, handles: list[int], filesystem: str) -> None:
    """Bring what was written through these handles to the disk, with one call where that is as good.

    Raises:
        OSError: it may not be there.
    """
    # A share's client answers syncfs without asking the server to flush; only a local disk may be flushed at once.
    if len(handles) >= _GROUPED and filesystem in LOCAL and _libc.syncfs(folder) == 0:
        return
    for handle in handles:
        os.fsync(handle)


def filesystem_type(dev: int) -> str:
    """Name the file system that a device number belongs to (`ext4`, `cifs` …), or `unknown`."""
    wanted = f"{os.major(dev)}:{os.minor(dev)}"
    try:
        lines = Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return "unknown"
    for line in lines:
        fields = line.split()
        if fields[2] == wanted:
            return fields[fields.index("-") + 1]
    return "unknown"
