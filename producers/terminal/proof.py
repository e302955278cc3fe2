"""What do this terminal's folders, ledger and spool show that must not be? Read only, also while its role runs.

Names of files are never told: a file is named by the id it would get, a name of ours by itself.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Final

from pipeline.clinic_settings import Terminal
from pipeline.events import derive_id
from pipeline.keyring import Keyring
from pipeline.oqs.names import Folder, parse_name
from pipeline.sealing import IdentityKey
from producers.terminal.ledger import from_micros, ledger_path

_OURS: Final = re.compile(r"\.onshi-[0-9a-f]+\.(?:tmp|erasing)")


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that must not be. `invariant` by its number, `what` without a patient's datum."""

    invariant: str
    what: str


@dataclass(frozen=True, slots=True)
class _Lying:
    """A file that lies in an exchange folder and is one of the terminal's."""

    status: os.stat_result
    name: str = field(repr=False)
    path: Path = field(repr=False)


@dataclass(frozen=True, slots=True)
class _Place:
    """Which terminal, with what its ledger file is."""

    clinic: str
    terminal: Terminal
    state: Path
    identity: IdentityKey

    @property
    def ledger(self) -> Path:
        return ledger_path(self.state, self.clinic, self.terminal.id)

    @property
    def spool(self) -> Path:
        return self.state / f"{self.clinic}.{self.terminal.id}.spool"


def find_faults(
    state: Path, clinic: str, terminal: Terminal, keyring: Keyring, before: datetime
) -> Iterator[Fault] | None:
    """Look at one terminal; what lies there since `before` should have been noticed. None: it is not of this machine.

    Raises:
        OSError, sqlite3.Error: it could not be looked at.
    """
    place = _Place(clinic, terminal, state, keyring.identity(clinic))
    if not place.ledger.exists():
        return None
    return _faults(place, before)


def _faults(place: _Place, before: datetime) -> Iterator[Fault]:
    lying = list(_lying(place.terminal))
    with closing(sqlite3.connect(f"{place.ledger.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        yield from (Fault("I13", f"{place.terminal.id}: {name} left over") for name in _left_over(place, before))
        yield from _without_custody(place, db, lying, before)
        yield from _falsely_erased(place, db, lying)
        yield from _without_intact_copy(place, db, lying)


def _lying(terminal: Terminal) -> Iterator[_Lying]:
    folders = [(terminal.face, Folder.FACE)]
    if terminal.mode == "own":
        # Beside another program, most of what lies in `res` is that program's.
        folders.append((terminal.res, Folder.RES))
    for folder, kind in folders:
        for entry in os.scandir(folder):
            name = parse_name(entry.name)
            if name is None or not name.belongs_in(kind):
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            yield _Lying(status, entry.name, Path(entry.path))


def _left_over(place: _Place, before: datetime) -> Iterator[str]:
    for folder in (place.terminal.face, place.terminal.res, place.terminal.req):
        for entry in os.scandir(folder):
            if _OURS.fullmatch(entry.name):
                try:
                    changed = entry.stat(follow_symlinks=False).st_ctime
                except FileNotFoundError:
                    continue
                if changed < before.timestamp():
                    yield entry.name


def _without_custody(place: _Place, db: sqlite3.Connection, lying: list[_Lying], before: datetime) -> Iterator[Fault]:
    query = "SELECT dev, ino FROM copies WHERE state NOT IN ('erased', 'vanished')"
    known = {(str(dev), str(ino)) for dev, ino in db.execute(query)}
    for each in lying:
        is_old = each.status.st_ctime < before.timestamp()
        if is_old and (str(each.status.st_dev), str(each.status.st_ino)) not in known:
            mac = _mac(place, each)
            name = parse_name(each.name)
            correlation = (name.correlation if name else None) or ""
            file_id = derive_id("file", place.clinic, mac, correlation) if mac else "a file that cannot be read"
            yield Fault("I1", f"{file_id} lies on {place.terminal.id} without custody")


def _falsely_erased(place: _Place, db: sqlite3.Connection, lying: list[_Lying]) -> Iterator[Fault]:
    """Find copies said to be erased whose very file is still there; one that came again is another file."""
    there = {(str(each.status.st_dev), str(each.status.st_ino)): each for each in lying}
    query = "SELECT copy_id, dev, ino, mtime_ns, mac, gone_at FROM copies WHERE state = 'erased'"
    for copy_id, dev, ino, mtime_ns, mac, gone_at in db.execute(query):
        each = there.get((dev, ino))
        if each is None or each.status.st_mtime_ns != mtime_ns or gone_at is None:
            continue
        is_untouched = each.status.st_ctime <= from_micros(gone_at).timestamp()
        if is_untouched and _mac(place, each) == mac:
            yield Fault("I9", f"{copy_id} is called erased and still lies on {place.terminal.id}")


def _without_intact_copy(place: _Place, db: sqlite3.Connection, lying: list[_Lying]) -> Iterator[Fault]:
    """Find copies the centre does not have yet whose spooled form is damaged and whose source is gone."""
    there = {(str(each.status.st_dev), str(each.status.st_ino)) for each in lying}
    query = (
        "SELECT file_id, dev, ino, segment, offset, length, sha256 FROM copies"
        " WHERE stored_at IS NULL AND segment IS NOT NULL AND state NOT IN ('erased', 'vanished')"
    )
    for file_id, dev, ino, segment, offset, length, digest in db.execute(query):
        if (dev, ino) not in there and not _is_intact(place.spool / f"{segment:010}.seg", offset, length, digest):
            yield Fault("I3", f"{file_id} has no intact copy on {place.terminal.id}, and the store has none yet")


def _is_intact(path: Path, offset: int, length: int, digest: bytes) -> bool:
    try:
        with path.open("rb") as segment:
            segment.seek(offset)
            return sha256(segment.read(length)).digest() == digest
    except OSError:
        return False


def _mac(place: _Place, each: _Lying) -> str | None:
    try:
        handle = os.open(each.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as source:
        return place.identity.mac("content", source.read())
