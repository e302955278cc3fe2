"""Where does the chart's edge keep what it must not forget? One SQLite file for each clinic, for one process.

Everything of a patient in it is sealed as it came. WAL and `synchronous=FULL`: what a transaction wrote has outlived
a loss of power when it returns.
"""

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from pipeline import process_lock
from pipeline.errors import PermanentError, TransientError, UnfitStateError
from pipeline.file_format import FileFormat

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deliveries (
  number INTEGER PRIMARY KEY,
  file_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  state TEXT NOT NULL,            -- wanted | done | refused
  sealed BLOB,                    -- SealedDelivery, sealed to this edge; gone when done
  cause TEXT NOT NULL,            -- id of the event that wanted it, for the answer
  traceparent TEXT NOT NULL,
  wanted_at TEXT NOT NULL,
  receipt TEXT,
  reason TEXT,
  done_at TEXT,
  UNIQUE (file_id, revision)
) STRICT;
CREATE INDEX IF NOT EXISTS deliveries_wanted ON deliveries (number) WHERE state = 'wanted';
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (state, wanted_at);
CREATE TABLE IF NOT EXISTS delivered (
  file_id TEXT PRIMARY KEY,
  revision INTEGER NOT NULL,      -- the newest that had its effect
  receipt TEXT NOT NULL,
  has_original INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS stages (
  key TEXT PRIMARY KEY,
  content TEXT NOT NULL           -- the adapter's own, JSON; nothing of a patient
) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outgoing (
  number INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  type TEXT NOT NULL,
  exchange TEXT NOT NULL,
  routing_key TEXT NOT NULL,
  batched INTEGER NOT NULL,
  body BLOB NOT NULL,
  at TEXT NOT NULL,
  cause TEXT NOT NULL,
  correlation TEXT NOT NULL,
  traceparent TEXT NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS outgoing_by_key ON outgoing (routing_key, number);
CREATE TABLE IF NOT EXISTS patient_list (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  mac TEXT NOT NULL,
  list_id TEXT NOT NULL,
  taken_at TEXT NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS booking_list (
  only INTEGER PRIMARY KEY CHECK (only = 1),
  mac TEXT NOT NULL,
  list_id TEXT NOT NULL,
  taken_at TEXT NOT NULL
) STRICT;
"""

FORMAT = FileFormat(_SCHEMA)


def ledger_path(state: Path, clinic: str) -> Path:
    return state / f"{clinic}.chart.db"


def is_at_work(path: Path) -> bool:
    """Say whether a process holds this ledger now."""
    return process_lock.is_held(path.with_suffix(".lock"))


def delivery_counts(path: Path) -> dict[str, int]:
    """Count deliveries by state from a ledger file, also while its role runs. A missing ledger counts nothing."""
    if not path.exists():
        return {}
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        is_made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'deliveries'").fetchone()
        return dict(db.execute("SELECT state, count(*) FROM deliveries GROUP BY state")) if is_made else {}


class LedgerBusyError(PermanentError):
    """Another process carries out this clinic's deliveries."""

    def __init__(self) -> None:
        super().__init__("ledger_busy")


class LedgerAwayError(TransientError):
    """The local file cannot be written or read now; nothing was written. Carries the kind of error only."""


class Ledger:
    """The open file. Thread-safe; one transaction at a time.

    Raises:
        LedgerBusyError: another process holds it.
        LedgerAwayError: it cannot be opened.
        UnfitFileError: it is of another release, and was left as it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        FORMAT.require(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._held = _hold(path.with_suffix(".lock"))
        self._turn = threading.Lock()
        try:
            self._connection = _connect(path)
        except sqlite3.Error as error:
            os.close(self._held)
            raise LedgerAwayError(type(error).__name__) from None
        except UnfitStateError:
            os.close(self._held)
            raise

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """Open a writing transaction, durable when the block has ended without an exception."""
        with self._turn:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                yield self._connection
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                self._roll_back()
                raise LedgerAwayError(type(error).__name__) from None
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")

    def close(self) -> None:
        with self._turn:
            self._connection.close()
            os.close(self._held)


def _hold(path: Path) -> int:
    # Kept beside the database: SQLite's own locks would be dropped by any other close of the same file.
    descriptor = process_lock.hold(path)
    if descriptor is None:
        raise LedgerBusyError
    return descriptor


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=30)
    path.chmod(0o600)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    try:
        FORMAT.prepare(connection, path.name)
    except UnfitStateError:
        connection.close()
        raise
    return connection
