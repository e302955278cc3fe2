"""What of ours lies in the folders that the ledger does not know?

When a ledger was lost, files may lie in quarantine under a name that only we give, and nobody would ever come back to
them. Their erasure was ordered and begun, so it is completed; but nothing proves any more that each is the file that
was meant, so its content is first kept, sealed to the centre, as long as a spool keeps a file. What cannot be
completed is shown as the fault `orphan`.
"""

import contextlib
import logging
import os
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import Final

from pipeline.edge_words import EdgeFault
from pipeline.keyring import KeyringError
from producers.terminal.faults import Faults
from producers.terminal.folders import Folders, ShareAwayError, ShareFolder
from producers.terminal.handles import ObstacleError, Stamp, filesystem_type, open_regular, read_handle
from producers.terminal.ledger import Ledger
from producers.terminal.seals import Seals
from producers.terminal.trust import EdgeClock
from producers.terminal.wipe import Taken, Target, Wiped, destroy, names_in

OURS: Final = re.compile(r"\.onshi-[0-9a-f]{24}\.(?:erasing|tmp)")
APART_SECONDS = 10.0
"""How long one must have been seen before it is touched: another process of ours may be at work beside us."""
EVERY_SECONDS = 60.0
MOST_BYTES: Final = 64 << 20
_PART = "orphans"
_log = logging.getLogger("onshi.terminal")


class Orphans:
    """Belongs to the thread of the orders. `kept` is the folder for what was sealed."""

    def __init__(
        self, folders: Folders, ledger: Ledger, seals: Seals, *, clock: EdgeClock, faults: Faults, kept: Path
    ) -> None:
        self._folders = folders
        self._ledger = ledger
        self._seals = seals
        self._clock = clock
        self._faults = faults
        self._kept = kept
        self._seen: dict[tuple[str, str], float] = {}
        self._next_at = 0.0

    def turn(self, keep_days: float) -> None:
        """Look for them now and then; returns at once when it is not time, or when no clock can be believed.

        Raises:
            sqlite3.Error: tried again at the next turn.
        """
        now = self._clock.monotonic()
        if now < self._next_at or not self._clock.is_reliable():
            return
        self._prune(keep_days)
        found = self._find()
        self._seen = {key: self._seen.get(key, now) for key in found}
        ripe = [key for key, since in self._seen.items() if now - since >= APART_SECONDS]
        left = [key for key in ripe if not self._complete(found[key], key[1])]
        self._next_at = now + (EVERY_SECONDS if len(ripe) == len(found) else APART_SECONDS)
        if not left:
            self._faults.clear(EdgeFault.ORPHAN, _PART)
        elif self._faults.raise_(EdgeFault.ORPHAN, _PART):
            _log.error("orphans left", extra={"count": len(left)})

    def _find(self) -> dict[tuple[str, str], ShareFolder]:
        with self._ledger.reading() as db:
            known = {name for (name,) in db.execute("SELECT quarantine FROM erasures WHERE phase != 'done'")}
            known |= {name for (name,) in db.execute("SELECT temporary FROM requests")}
        found: dict[tuple[str, str], ShareFolder] = {}
        for folder in (self._folders.face, self._folders.res, self._folders.req):
            with contextlib.suppress(ShareAwayError, OSError):
                names = [name for name in names_in(folder.descriptor()) if OURS.fullmatch(name) and name not in known]
                found |= {(folder.label, name): folder for name in names}
        return found

    def _complete(self, folder: ShareFolder, name: str) -> bool:
        try:
            descriptor = folder.descriptor()
            handle = open_regular(descriptor, name, write=True)
        except ShareAwayError:
            return False
        except ObstacleError as met:
            return met.reason == "gone"
        try:
            stamp, content = read_handle(handle, MOST_BYTES)
            self._keep(name, content)
        except (ObstacleError, OSError, KeyringError):
            # Nothing to seal it with, or no room: it stays, for without its content it would be lost.
            os.close(handle)
            return False
        try:
            return self._destroy(descriptor, Taken(Target(name, name, name, stamp, ""), handle))
        except OSError:
            # The share went away meanwhile: the next look finds it, if it is still there.
            return False

    def _destroy(self, folder: int, taken: Taken) -> bool:
        stamp: Stamp = taken.target.stamp
        (result,) = destroy(folder, [taken], filesystem_type(stamp.dev))
        is_gone = isinstance(result, Wiped) and result.is_absent
        if is_gone:
            _log.warning("orphan erased", extra={"orphan": taken.target.quarantine, "size": stamp.size})
        return is_gone

    def _keep(self, name: str, content: bytes) -> None:
        if (self._kept / f"{name[1:]}.sealed").exists():
            # Kept before an attempt that did not end: what lies there now may be half overwritten.
            return
        self._kept.mkdir(mode=0o700, exist_ok=True)
        sealed = self._seals.seal_orphan(name, content, self._clock.now())
        part = self._kept / f"{name[1:]}.part"
        with part.open("wb") as out:
            out.write(sealed)
            out.flush()
            os.fsync(out.fileno())
        part.rename(self._kept / f"{name[1:]}.sealed")
        folder = os.open(self._kept, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def _prune(self, keep_days: float) -> None:
        before = time.time() - timedelta(days=keep_days).total_seconds()
        for path in self._kept.glob("*.sealed"):
            with contextlib.suppress(OSError):
                if path.stat().st_mtime < before:
                    path.unlink()
