"""What does this edge know for certain?

One SQLite file per terminal, written before anything is done that depends on it. Another process is refused by a
lock of the operating system, which a killed process lets go. Names in it are sealed.
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline import process_lock
from pipeline.errors import PermanentError, UnfitStateError
from pipeline.file_format import FileFormat
from pipeline.private import make_private

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS copies (
  number INTEGER PRIMARY KEY,
  copy_id TEXT NOT NULL UNIQUE,
  file_id TEXT NOT NULL,
  folder TEXT NOT NULL,
  sealed_name BLOB NOT NULL,
  name_mac TEXT NOT NULL,
  n INTEGER NOT NULL,
  kind TEXT NOT NULL,
  dev TEXT NOT NULL, ino TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL,
  mac TEXT NOT NULL,
  sha256 BLOB,
  state TEXT NOT NULL,
  reason TEXT,
  segment INTEGER, offset INTEGER, length INTEGER,
  damaged INTEGER NOT NULL DEFAULT 0,
  seen_at INTEGER NOT NULL, captured_at INTEGER NOT NULL,
  published_at INTEGER, stored_at INTEGER, gone_at INTEGER,
  next_publish_at INTEGER, published INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX IF NOT EXISTS copies_of_name ON copies (name_mac, mac);
CREATE INDEX IF NOT EXISTS copies_to_publish ON copies (next_publish_at, number) WHERE next_publish_at IS NOT NULL;
CREATE INDEX IF NOT EXISTS copies_by_state ON copies (state);
CREATE INDEX IF NOT EXISTS copies_damaged ON copies (damaged) WHERE damaged = 1;
CREATE INDEX IF NOT EXISTS copies_by_segment ON copies (segment, stored_at);
CREATE TABLE IF NOT EXISTS erasures (
  copy_id TEXT PRIMARY KEY,
  quarantine TEXT NOT NULL,
  phase TEXT NOT NULL,
  cause TEXT NOT NULL, correlation TEXT NOT NULL, traceparent TEXT NOT NULL,
  intended_at INTEGER NOT NULL,
  evidence BLOB
);
CREATE INDEX IF NOT EXISTS erasures_open ON erasures (phase) WHERE phase != 'done';
CREATE TABLE IF NOT EXISTS holds (copy_id TEXT NOT NULL, hold_id TEXT NOT NULL, PRIMARY KEY (copy_id, hold_id));
CREATE TABLE IF NOT EXISTS requests (
  request_id TEXT PRIMARY KEY,
  base_name TEXT NOT NULL,
  state TEXT NOT NULL,
  reason TEXT,
  temporary TEXT NOT NULL,
  dev TEXT, ino TEXT, size INTEGER, mtime_ns INTEGER, mac TEXT,
  placed_at INTEGER, withdraw_at INTEGER NOT NULL, ended_at INTEGER
);
CREATE INDEX IF NOT EXISTS requests_by_state ON requests (state);
CREATE TABLE IF NOT EXISTS outbox (
  number INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL, exchange TEXT NOT NULL, routing_key TEXT NOT NULL, batched INTEGER NOT NULL,
  body BLOB NOT NULL, at INTEGER NOT NULL, cause TEXT NOT NULL, correlation TEXT NOT NULL, traceparent TEXT NOT NULL,
  said INTEGER NOT NULL DEFAULT 0, next_at INTEGER
);
CREATE TABLE IF NOT EXISTS folders (label TEXT PRIMARY KEY, identity TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS departed (copy_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS counts (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
"""

FORMAT = FileFormat(_SCHEMA)
"""Of the ledger and of the spool beside it."""

_COUNTS = """
SELECT CASE WHEN state NOT IN ('erased', 'vanished') AND copy_id IN (SELECT copy_id FROM holds)
  THEN 'held' ELSE state END AS custody, count(*) FROM copies GROUP BY custody
UNION ALL SELECT name, value FROM counts WHERE name = 'seen' AND value > 0
"""


def to_micros(at: datetime) -> int:
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


def _lock_file(path: Path) -> Path:
    return path.with_name(path.name + ".lock")


def ledger_path(state: Path, clinic: str, terminal: str) -> Path:
    return state / f"{clinic}.{terminal}.db"


def succeed(state: Path, clinic: str, terminal: str) -> None:
    """Prepare the state folder of a new machine, so that its ledger knows that there was another before it."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _lock_file(ledger_path(state, clinic, terminal)).touch(0o600)


class Ledger:
    """The file and its lock. Thread-safe: one transaction at a time.

    `first_n` is where this ledger's copies begin to count, so that one that was lost and made anew never gives a new
    copy the id of an old one. `succeeds_lost`: another ledger was here, and this one does not know its copies.

    Raises:
        PermanentError: `second_process`: another process works for this terminal.
        UnfitFileError: it is of another release, and was left as it is.
    """

    def __init__(self, path: Path) -> None:
        FORMAT.require(path)
        was_lost = not path.exists() and _lock_file(path).exists()
        make_private(path)
        self._lock = threading.RLock()
        self._process_lock = _locked(_lock_file(path))
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
        for pragma in ("journal_mode = WAL", "synchronous = FULL", "secure_delete = ON"):
            self._db.execute(f"PRAGMA {pragma}")
        try:
            FORMAT.prepare(self._db, path.name)
        except UnfitStateError:
            self.close()
            raise
        with self.transaction() as db:
            self.first_n = _number(db, "first_n", int.from_bytes(os.urandom(4), "big"))
            self.succeeds_lost = bool(_number(db, "succeeds_lost", int(was_lost)))

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Commit durably at the end, or nothing."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # A failed commit may have rolled back by itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextlib.contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            yield self._db

    def close(self) -> None:
        with self._lock:
            self._db.close()
            os.close(self._process_lock)


def _number(db: sqlite3.Connection, name: str, first: int) -> int:
    """Return a number of this ledger, drawn when it was made."""
    db.execute("INSERT OR IGNORE INTO counts (name, value) VALUES (?, ?)", (name, first))
    (value,) = db.execute("SELECT value FROM counts WHERE name = ?", (name,)).fetchone()
    return int(value)


def _locked(path: Path) -> int:
    lock = process_lock.hold(path)
    if lock is None:
        raise PermanentError("second_process", f"another process uses {path.name.removesuffix('.lock')}")
    return lock


def is_at_work(path: Path) -> bool:
    """Say whether a process holds this ledger now."""
    return process_lock.is_held(_lock_file(path))


def counts(db: sqlite3.Connection) -> dict[str, int]:
    """Count copies by custody; a hold shows as `held`."""
    totals: dict[str, int] = {}
    for custody, count in db.execute(_COUNTS):
        totals[custody] = totals.get(custody, 0) + count
    return totals


def custody_counts(path: Path) -> dict[str, int]:
    """Count copies by custody from a ledger file, also while its role runs. A missing ledger counts nothing."""
    if not path.exists():
        return {}
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        FORMAT.require(path)
        is_made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'counts'").fetchone()
        return counts(db) if is_made else {}
