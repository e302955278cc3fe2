"""What does the ledger hold of each copy, and how does it change?

Every function works within the caller's transaction and takes whole batches.
"""

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pipeline.custody import Custody
from producers.terminal.handles import Stamp
from producers.terminal.ledger import from_micros, to_micros
from producers.terminal.spool import Place

_COLUMNS = (
    "copy_id, file_id, folder, sealed_name, name_mac, n, kind, dev, ino, size, mtime_ns, mac, sha256, state, reason,"
    " segment, offset, length, damaged, seen_at, captured_at, published_at, stored_at, gone_at, published"
)
_SELECT = f"SELECT {_COLUMNS} FROM copies "  # noqa: S608 - fixed columns
_LISTED = "copy_id IN (SELECT value FROM json_each(?))"
_STANDING = "state NOT IN ('erased', 'vanished')"


@dataclass(frozen=True, slots=True)
class Copy:
    """One place where a file lay. `mac` of a refused copy stands for its identity, not its content."""

    copy_id: str
    file_id: str
    folder: str
    sealed_name: bytes = field(repr=False)
    name_mac: str = field(repr=False)
    n: int
    kind: str
    stamp: Stamp
    mac: str = field(repr=False)
    state: Custody
    seen_at: datetime
    captured_at: datetime
    reason: str | None = None
    place: Place | None = None
    damaged: bool = False
    published_at: datetime | None = None
    stored_at: datetime | None = None
    gone_at: datetime | None = None
    published: int = 0


def _when(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)


def _copy(row: sqlite3.Row | tuple[object, ...]) -> Copy:
    values: list[object] = list(row)
    (copy_id, file_id, folder, sealed_name, name_mac, n, kind, dev, ino, size, mtime_ns, mac, sha256, state, reason) = (
        values[:15]
    )
    segment, offset, length, damaged, seen, captured, published_at, stored, gone, published = values[15:]
    return Copy(
        copy_id=str(copy_id),
        file_id=str(file_id),
        folder=str(folder),
        sealed_name=bytes(sealed_name),  # type: ignore[call-overload]
        name_mac=str(name_mac),
        n=int(n),  # type: ignore[call-overload]
        kind=str(kind),
        stamp=Stamp(int(dev), int(ino), int(size), int(mtime_ns)),  # type: ignore[call-overload]
        mac=str(mac),
        state=Custody(str(state)),
        seen_at=from_micros(seen),  # type: ignore[arg-type]
        captured_at=from_micros(captured),  # type: ignore[arg-type]
        reason=None if reason is None else str(reason),
        place=None if segment is None else Place(segment, offset, length, sha256),  # type: ignore[arg-type]
        damaged=bool(damaged),
        published_at=_when(published_at),  # type: ignore[arg-type]
        stored_at=_when(stored),  # type: ignore[arg-type]
        gone_at=_when(gone),  # type: ignore[arg-type]
        published=int(published),  # type: ignore[call-overload]
    )


def insert(db: sqlite3.Connection, rows: Iterable[Copy]) -> None:
    """Add copies. One that is in the spool is due for publication from the moment it was captured."""
    db.executemany(
        "INSERT INTO copies (copy_id, file_id, folder, sealed_name, name_mac, n, kind, dev, ino, size, mtime_ns, mac,"
        " sha256, state, reason, segment, offset, length, seen_at, captured_at, next_publish_at)"
        " VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
        [_values(row) for row in rows],
    )


def _values(row: Copy) -> tuple[object, ...]:
    stamp, place = row.stamp, row.place
    in_spool = (place.sha256, place.segment, place.offset, place.length) if place else (None, None, None, None)
    captured = to_micros(row.captured_at)
    return (
        *(row.copy_id, row.file_id, row.folder, row.sealed_name, row.name_mac, row.n, row.kind),
        *(str(stamp.dev), str(stamp.ino), stamp.size, stamp.mtime_ns, row.mac),
        *(in_spool[0], row.state.value, row.reason, *in_spool[1:]),
        *(to_micros(row.seen_at), captured, captured if place else None),
    )


def find(db: sqlite3.Connection, copy_ids: Sequence[str]) -> dict[str, Copy]:
    rows = db.execute(f"{_SELECT} WHERE {_LISTED}", (json.dumps(list(copy_ids)),))
    return {copy.copy_id: copy for copy in map(_copy, rows)}


def standing(db: sqlite3.Connection) -> list[Copy]:
    """Find every copy that still lies there as far as we know."""
    return [_copy(row) for row in db.execute(f"{_SELECT} WHERE {_STANDING}")]


def times_seen(db: sqlite3.Connection, name_macs: Sequence[str]) -> dict[tuple[str, str], int]:
    """Count the copies ever known by name and content, for the next `n`."""
    rows = db.execute(
        "SELECT name_mac, mac, count(*) FROM copies WHERE name_mac IN (SELECT value FROM json_each(?))"
        " GROUP BY name_mac, mac",
        (json.dumps(list(name_macs)),),
    )
    return {(name_mac, mac): count for name_mac, mac, count in rows}


def due(db: sqlite3.Connection, now: datetime, longest: timedelta, most: int) -> list[Copy]:
    """Find what is to be published now, oldest first. No repetition is ever set further ahead than `longest`."""
    # What seems not due for longer, or was never published at all, was written by a clock that was ahead.
    query = (
        f"{_SELECT} WHERE next_publish_at IS NOT NULL AND damaged = 0"
        " AND (published = 0 OR next_publish_at <= ? OR next_publish_at > ?) ORDER BY next_publish_at, number LIMIT ?"
    )
    return [_copy(row) for row in db.execute(query, (to_micros(now), to_micros(now + longest), most))]


def mark_published(db: sqlite3.Connection, copies: Iterable[tuple[str, datetime]], now: datetime) -> None:
    """Note the broker's confirmation, with the time of the next publication should nobody answer."""
    at = to_micros(now)
    db.executemany(
        "UPDATE copies SET published = published + 1, published_at = coalesce(published_at, ?),"
        " state = CASE state WHEN 'spooled' THEN 'captured' ELSE state END,"
        " next_publish_at = CASE WHEN stored_at IS NULL THEN ? END WHERE copy_id = ?",
        [(at, to_micros(again), copy_id) for copy_id, again in copies],
    )


def mark_stored(db: sqlite3.Connection, copies: Iterable[tuple[str, datetime]]) -> None:
    db.executemany(
        "UPDATE copies SET stored_at = coalesce(stored_at, ?), next_publish_at = NULL, damaged = 0,"
        " state = CASE WHEN state IN ('spooled', 'captured') THEN 'stored' ELSE state END WHERE copy_id = ?",
        [(to_micros(stored_at), copy_id) for copy_id, stored_at in copies],
    )


def mark_gone(db: sqlite3.Connection, copy_ids: Iterable[str], state: Custody, at: datetime) -> None:
    db.executemany(
        f"UPDATE copies SET state = ?, gone_at = ? WHERE copy_id = ? AND {_STANDING}",  # noqa: S608 - fixed condition
        [(state.value, to_micros(at), copy_id) for copy_id in copy_ids],
    )


def restamp(db: sqlite3.Connection, stamps: Iterable[tuple[str, Stamp]]) -> None:
    """Note that a copy has another inode or time but the same content."""
    db.executemany(
        "UPDATE copies SET dev = ?, ino = ?, size = ?, mtime_ns = ? WHERE copy_id = ?",
        [(str(s.dev), str(s.ino), s.size, s.mtime_ns, copy_id) for copy_id, s in stamps],
    )


def not_ours_to_end(db: sqlite3.Connection, copy_ids: Sequence[str]) -> list[Copy]:
    """Find those of these copies that still count as there and that no erasure of ours has begun on."""
    begun = {copy_id for (copy_id,) in db.execute("SELECT copy_id FROM erasures WHERE phase != 'done'")}
    return [copy for copy in find(db, copy_ids).values() if copy.copy_id not in begun and not copy.state.is_gone]


def mark_damaged(db: sqlite3.Connection, copy_ids: Iterable[str]) -> None:
    db.executemany("UPDATE copies SET damaged = 1 WHERE copy_id = ?", [(copy_id,) for copy_id in copy_ids])


def damaged(db: sqlite3.Connection) -> list[Copy]:
    return [_copy(row) for row in db.execute(f"{_SELECT} WHERE damaged = 1")]


def replace(db: sqlite3.Connection, copy_id: str, place: Place, now: datetime) -> None:
    """Point a copy whose spool record was damaged to its new one."""
    db.execute(
        "UPDATE copies SET segment = ?, offset = ?, length = ?, sha256 = ?, damaged = 0, next_publish_at = ?"
        " WHERE copy_id = ?",
        (place.segment, place.offset, place.length, place.sha256, to_micros(now), copy_id),
    )


def backlog(db: sqlite3.Connection) -> tuple[int, datetime | None]:
    """Count what the centre does not have yet, and say since when the oldest of it waits."""
    row = db.execute("SELECT count(*), min(seen_at) FROM copies WHERE next_publish_at IS NOT NULL OR damaged = 1")
    count, oldest = row.fetchone()
    return count, _when(oldest)


def segments_kept(db: sqlite3.Connection, stored_after: datetime) -> set[int]:
    """Name the segments that hold anything not stored, or stored only since `stored_after`."""
    rows = db.execute(
        "SELECT DISTINCT segment FROM copies WHERE segment IS NOT NULL AND (stored_at IS NULL OR stored_at > ?)",
        (to_micros(stored_after),),
    )
    return {segment for (segment,) in rows}


def held(db: sqlite3.Connection, copy_ids: Sequence[str]) -> set[str]:
    query = "SELECT DISTINCT copy_id FROM holds WHERE copy_id IN (SELECT value FROM json_each(?))"
    rows = db.execute(query, (json.dumps(list(copy_ids)),))
    return {copy_id for (copy_id,) in rows}
