"""How does a file get from the share into the spool and the ledger?

Each pass lists the folders, reads what is new, waits until it has settled, and writes what has into the spool in
batches: spool first, ledger second, and only then is anything published.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from pipeline.edge_words import EdgeFault
from pipeline.errors import PermanentError
from pipeline.oqs.names import FileName
from pipeline.oqs.whole import is_complete
from pipeline.sealing import UnsealError
from producers.terminal import copies
from producers.terminal.copies import Copy
from producers.terminal.faults import Faults
from producers.terminal.folders import Folders, ShareAwayError, ShareFolder
from producers.terminal.handles import ObstacleError, read_whole
from producers.terminal.keep import Keeper, Settled
from producers.terminal.ledger import Ledger
from producers.terminal.scan import Index, Pass, Sighting, look_into, missing, wanted
from producers.terminal.seals import Seals
from producers.terminal.settle import Reading, Rules, Step, due_in, judge, next_step
from producers.terminal.trust import EdgeClock

BATCH_FILES = 256
BATCH_BYTES = 16 << 20
"""Content, its sealed form and the joined bytes are in memory together; a batch stays below 64 MiB."""
_PART = "capture"
_log = logging.getLogger("onshi.terminal")
_FORMER_KEYS: Final = (
    "the state folder was written with other keys of this terminal; nothing was touched: put the former folder of keys"
    " back, and enrol again when `onshi status` shows nothing that waits"
    " (状態フォルダは以前の鍵で作成されたものです。以前の鍵フォルダに戻し、待ちがなくなってから再登録してください)"
)


@dataclass(frozen=True, slots=True)
class CaptureRules:
    settle: Rules
    size_limit: int
    scan_seconds: float
    only_our_answers: bool
    """Mode `beside`: in `res`, only answers to requests of ours."""


@dataclass(slots=True)
class Candidate:
    """A file that is being watched until it has settled."""

    first: Reading
    latest: Reading
    seen_at: datetime


class Capture:
    """Belongs to one thread. `tick` is called often; `is_ours` knows the correlations of our requests."""

    def __init__(
        self,
        *,
        rules: CaptureRules,
        folders: Folders,
        ledger: Ledger,
        keeper: Keeper,
        seals: Seals,
        clock: EdgeClock,
        faults: Faults,
        is_ours: Callable[[str], bool],
        tick: Callable[[], None],
    ) -> None:
        self._rules = rules
        self._folders = folders
        self._ledger = ledger
        self._keeper = keeper
        self._seals = seals
        self._clock = clock
        self._faults = faults
        self._is_ours = is_ours
        self._tick = tick
        self._candidates: dict[tuple[str, str], Candidate] = {}
        self._seen_written = -1
        with ledger.reading() as db:
            known = copies.standing(db)
            self._identities: dict[str, str] = dict(db.execute("SELECT label, identity FROM folders").fetchall())
        self._index = _index_of(known, seals)

    @property
    def seen(self) -> int:
        """How many files are being watched and not yet taken."""
        return len(self._candidates)

    def oldest_seen(self) -> datetime | None:
        return min((candidate.seen_at for candidate in list(self._candidates.values())), default=None)

    def wait_seconds(self) -> float:
        """Return how long nothing needs to be looked at, at most one scan interval."""
        now = self._clock.monotonic()
        due = (due_in(candidate.latest, now, self._rules.settle) for candidate in self._candidates.values())
        return min(min(due, default=self._rules.scan_seconds) + 0.01, self._rules.scan_seconds)

    def run_once(self, stopping: Callable[[], bool]) -> int:
        """Make one pass over every folder; return how many files were kept.

        Raises:
            SpoolError, sqlite3.Error, KeyringError: what was not kept is tried again at the next pass.
        """
        self._forget_erased()
        self._keeper.mend(self._folders, self._rules.size_limit)
        away = False
        kept = 0
        for folder in self._folders.scanned:
            try:
                found = look_into(folder, self._index.of(folder.label), self._want, self._rules.size_limit)
            except (ShareAwayError, OSError):
                away = True
                continue
            here = self._take_in(folder, found, stopping)
            away |= not self._conclude(folder, found, here)
            kept += here
        self._report_away(is_away=away)
        self._write_seen()
        return kept

    def _want(self, name: str, folder: ShareFolder) -> FileName | None:
        return wanted(name, folder, self._is_ours, only_ours=self._rules.only_our_answers)

    def _report_away(self, *, is_away: bool) -> None:
        if not is_away:
            self._faults.clear(EdgeFault.SHARE_AWAY, _PART)
        elif self._faults.raise_(EdgeFault.SHARE_AWAY, _PART):
            _log.warning("a folder is away")

    def _forget_erased(self) -> None:
        with self._ledger.reading() as db:
            gone = [copy_id for (copy_id,) in db.execute("SELECT copy_id FROM departed").fetchall()]
        if gone:
            with self._ledger.transaction() as db:
                db.executemany("DELETE FROM departed WHERE copy_id = ?", [(copy_id,) for copy_id in gone])
            self._index.drop(set(gone))

    # What is new

    def _take_in(self, folder: ShareFolder, found: Pass, stopping: Callable[[], bool]) -> int:
        kept, size = 0, 0
        batch: list[Settled] = []
        # Oldest first: after the disk was full, many wait.
        for sighting in sorted(found.sightings, key=_age):
            if stopping():
                break
            self._tick()
            settled = self._examine(sighting)
            if settled is None:
                continue
            batch.append(settled)
            size += len(settled.content)
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                kept += self._keep(batch)
                batch, size = [], 0
        kept += self._keep(batch)
        self._drop_candidates(folder, found.names)
        return kept

    def _drop_candidates(self, folder: ShareFolder, names: set[str]) -> None:
        for key in [key for key in self._candidates if key[0] == folder.label and key[1] not in names]:
            del self._candidates[key]

    def _examine(self, sighting: Sighting) -> Settled | None:
        now = self._clock.monotonic()
        candidate = self._candidates.get(sighting.key)
        if candidate is not None:
            step = next_step(candidate.first, candidate.latest, sighting.stamp, now, self._rules.settle)
            if step is Step.WAIT:
                return None
        reading, content, refusal = self._read(sighting, now)
        if reading is None or _is_known_refusal(sighting, refusal):
            return None
        if candidate is None or step is Step.RESTART:
            seen_at = candidate.seen_at if candidate else self._clock.now()
            self._candidates[sighting.key] = candidate = Candidate(reading, reading, seen_at)
            if self._rules.settle.settle > 0:
                return None
        candidate.latest = reading
        verdict = judge(candidate.first, reading, self._rules.settle)
        if verdict is Step.RESTART:
            candidate.first = reading
        if verdict is not Step.TAKE:
            return None
        return Settled(sighting, reading, candidate.seen_at, content, refusal)

    def _read(self, sighting: Sighting, now: float) -> tuple[Reading | None, bytes, str | None]:
        """Read once. Without a reading, nothing can be said yet: it went, changed meanwhile, or is busy."""
        reason = sighting.obstacle
        if reason is None:
            try:
                stamp, content = read_whole(sighting.folder.descriptor(), sighting.name, self._rules.size_limit)
            except ObstacleError as met:
                reason = met.reason
            except ShareAwayError:
                return None, b"", None
            else:
                mac = self._seals.content_mac(content)
                return Reading(stamp, mac, is_complete(sighting.parsed, content), now), content, None
        if reason in ("gone", "busy", "changed", "io"):
            return None, b"", None
        mac = self._seals.refused_mac(reason, sighting.stamp.identity)
        return Reading(sighting.stamp, mac, is_complete=True, at=now), b"", reason

    def _keep(self, batch: list[Settled]) -> int:
        if not batch:
            return 0
        rows = self._keeper.keep(batch)
        for row, name in rows:
            self._index.put(row, name)
        for settled in batch:
            if settled.is_unchanged and settled.sighting.known:
                settled.sighting.known.stamp = settled.reading.stamp
            self._candidates.pop(settled.sighting.key, None)
            self._clock.note_instant(settled.parsed.written_at)
        return len(rows)

    # What is gone

    def _conclude(self, folder: ShareFolder, found: Pass, kept: int) -> bool:
        """Mark what is gone; false when the folder is not believed to be the one we knew."""
        known = self._index.of(folder.label)
        # A share that is not mounted shows the empty folder below it. Another folder under the path is believed
        # when something we know lies there, or the terminal writes there; until then nothing counts as gone.
        is_same = self._identities.get(folder.label, folder.identity) == folder.identity
        if not (is_same or found.recognised or kept or not known):
            return False
        if self._identities.get(folder.label) != folder.identity:
            self._keeper.remember_folder(folder.label, folder.identity)
            self._identities[folder.label] = folder.identity
        gone = list(missing(known, found.names, self._clock.monotonic(), self._rules.scan_seconds))
        if gone:
            self._index.drop(self._keeper.gone(gone))
        return True

    def _write_seen(self) -> None:
        if self.seen != self._seen_written:
            self._keeper.write_seen(self.seen)
            self._seen_written = self.seen


def _index_of(known: Sequence[Copy], seals: Seals) -> Index:
    """Index what lies there as far as the ledger knows.

    Raises:
        PermanentError: `former_keys`: the machine was enrolled again, and its state is that of its former keys.
    """
    try:
        return Index((copy, seals.open_name(copy.copy_id, copy.sealed_name)) for copy in known)
    except UnsealError as error:
        if error.reason != "key_missing":
            raise
        raise PermanentError("former_keys", _FORMER_KEYS) from None


def _age(sighting: Sighting) -> int:
    return sighting.stamp.mtime_ns


def _is_known_refusal(sighting: Sighting, refusal: str | None) -> bool:
    known = sighting.known
    return known is not None and refusal is not None and refusal == known.reason and sighting.stamp == known.stamp
