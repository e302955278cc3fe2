"""How does a batch of settled files become durable: sealed in the spool, then known to the ledger?

The order is what keeps them safe: spool written, flushed and read back; ledger committed; only then is anything
published (preconditions C1 and C2).
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pipeline.contents import SealedFile
from pipeline.custody import Custody
from pipeline.edge_words import EdgeFault
from pipeline.events import FileRefused
from pipeline.oqs.names import Direction, FileName, parse_name
from producers.terminal import copies, evidence
from producers.terminal.copies import Copy
from producers.terminal.faults import Faults
from producers.terminal.folders import Folders, ShareAwayError
from producers.terminal.handles import ObstacleError, read_whole
from producers.terminal.ledger import Ledger
from producers.terminal.scan import Sighting
from producers.terminal.seals import Seals
from producers.terminal.settle import Reading
from producers.terminal.spool import Spool
from producers.terminal.trust import EdgeClock

_PART = "keep"
_log = logging.getLogger("onshi.terminal")


@dataclass(frozen=True, slots=True)
class Settled:
    """A file ready to be kept, or (with `refusal`) ready to be refused."""

    sighting: Sighting
    reading: Reading
    seen_at: datetime
    content: bytes = field(repr=False)
    refusal: str | None

    @property
    def parsed(self) -> FileName:
        return self.sighting.parsed

    @property
    def is_unchanged(self) -> bool:
        """A touched or rewritten file of the same content, or one refused for the same reason again."""
        known = self.sighting.known
        if known is None or known.reason != self.refusal:
            return False
        return self.refusal is not None or known.mac == self.reading.mac


@dataclass(frozen=True, slots=True)
class Keeper:
    """Writes what the capturing thread decides. `clinic` and `edge` say whose events these are."""

    clinic: str
    edge: str
    ledger: Ledger
    spool: Spool
    seals: Seals
    clock: EdgeClock
    faults: Faults

    def keep(self, batch: Sequence[Settled]) -> list[tuple[Copy, str]]:
        """Make a batch durable; return the new copies with their names.

        Raises:
            SpoolError, sqlite3.Error, KeyringError: nothing was kept.
        """
        now = self.clock.now()
        made = [settled for settled in batch if not settled.is_unchanged]
        rows = self._spooled(made, list(self._new_copies(made, now)), now)
        named = [(row, settled.sighting.name) for row, settled in zip(rows, made, strict=True)]
        same = [settled for settled in batch if settled.is_unchanged]
        self._commit(same, named, [s.sighting.known.copy_id for s in made if s.sighting.known], now)
        if rows:
            _log.info("captured", extra={"count": len(rows)})
        return named

    def _spooled(self, made: Sequence[Settled], rows: Sequence[Copy], now: datetime) -> list[Copy]:
        taken = [row for row in rows if row.state is Custody.SPOOLED]
        if not taken:
            return list(rows)
        sealed = [
            self._seal(settled.sighting, row.file_id, settled.content, now)
            for settled, row in zip(made, rows, strict=True)
            if row.state is Custody.SPOOLED
        ]
        places = dict(zip((row.copy_id for row in taken), self.spool.append(sealed), strict=True))
        return [replace(row, place=places.get(row.copy_id)) for row in rows]

    def _seal(self, sighting: Sighting, file_id: str, content: bytes, now: datetime) -> bytes:
        inside = SealedFile(sighting.name, _folder_inside(sighting.parsed), content)
        return self.seals.seal_original(file_id, sighting.parsed, inside, now)

    def _new_copies(self, batch: Sequence[Settled], now: datetime) -> Iterator[Copy]:
        marks = [self.seals.name_mac(settled.sighting.folder.label, settled.sighting.name) for settled in batch]
        with self.ledger.reading() as db:
            seen = copies.times_seen(db, marks)
        for settled, mark in zip(batch, marks, strict=True):
            label, mac = settled.sighting.folder.label, settled.reading.mac
            n = self.ledger.first_n + seen.get((mark, mac), 0)
            copy_id = self.seals.copy_id(label, mark, mac, n)
            yield Copy(
                copy_id=copy_id,
                file_id=self.seals.file_id(mac, settled.parsed),
                folder=label,
                sealed_name=self.seals.seal_name(copy_id, settled.sighting.name),
                name_mac=mark,
                n=n,
                kind=settled.parsed.kind.value,
                stamp=settled.reading.stamp,
                mac=mac,
                state=Custody.HELD if settled.refusal else Custody.SPOOLED,
                reason=settled.refusal,
                seen_at=settled.seen_at,
                captured_at=now,
            )

    def _commit(
        self, same: Sequence[Settled], named: Sequence[tuple[Copy, str]], replaced: Sequence[str], now: datetime
    ) -> None:
        refusals = [(self._refusal(row, name), None) for row, name in named if row.state is Custody.HELD]
        with self.ledger.transaction() as db:
            # The content that lay under this name before is no more: another program wrote over it.
            evidence.vanish(db, copies.not_ours_to_end(db, replaced), self.clinic, self.edge, now)
            copies.restamp(db, [(s.sighting.known.copy_id, s.reading.stamp) for s in same if s.sighting.known])
            copies.insert(db, [row for row, _ in named])
            evidence.add(db, refusals, now)

    def _refusal(self, row: Copy, name: str) -> FileRefused:
        return FileRefused(
            clinic=self.clinic,
            edge=self.edge,
            file_id=row.file_id,
            copy_id=row.copy_id,
            reason=row.reason or "",
            size=row.stamp.size,
            sealed_name=self.seals.seal_name_for_people(row.copy_id, name, row.captured_at),
            seen_at=row.seen_at,
        )

    def gone(self, copy_ids: Sequence[str]) -> set[str]:
        """Note that copies are no longer there; return those the index may forget (not those we are erasing)."""
        now = self.clock.now()
        with self.ledger.transaction() as db:
            found = copies.not_ours_to_end(db, copy_ids)
            evidence.vanish(db, found, self.clinic, self.edge, now)
        if found:
            _log.info("vanished", extra={"count": len(found)})
        return {copy.copy_id for copy in found}

    def remember_folder(self, label: str, identity: str) -> None:
        with self.ledger.transaction() as db:
            db.execute("INSERT OR REPLACE INTO folders (label, identity) VALUES (?, ?)", (label, identity))

    def write_seen(self, count: int) -> None:
        with self.ledger.transaction() as db:
            db.execute("INSERT OR REPLACE INTO counts (name, value) VALUES ('seen', ?)", (count,))

    def mend(self, folders: Folders, limit: int) -> None:
        """Spool again, from the source, what was found damaged in the spool."""
        with self.ledger.reading() as db:
            damaged = copies.damaged(db)
        unmended = [copy.copy_id for copy in damaged if not self._mend(copy, folders, limit)]
        if not unmended:
            self.faults.clear(EdgeFault.SPOOL_DAMAGED, _PART)
        elif self.faults.raise_(EdgeFault.SPOOL_DAMAGED, _PART):
            _log.error("spool damaged and the source is gone", extra={"copies": unmended[:10]})

    def _mend(self, copy: Copy, folders: Folders, limit: int) -> bool:
        folder, name = folders.labelled(copy.folder), self.seals.open_name(copy.copy_id, copy.sealed_name)
        parsed = parse_name(name)
        if folder is None or parsed is None:
            return False
        try:
            stamp, content = read_whole(folder.descriptor(), name, limit)
        except (ObstacleError, ShareAwayError):
            return False
        if self.seals.content_mac(content) != copy.mac:
            return False
        now = self.clock.now()
        sealed = self._seal(Sighting(folder, name, parsed, stamp, None, None), copy.file_id, content, now)
        (place,) = self.spool.append([sealed])
        with self.ledger.transaction() as db:
            copies.replace(db, copy.copy_id, place, now)
        return True


def _folder_inside(name: FileName) -> str:
    # A rescued file is what it was: its kind tells where it came from.
    return "face" if name.direction is Direction.FACE else "res"
