"""What does the spool still hold, and until when? A store that was restored can be filled again from it."""

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from producers.terminal.copies import backlog
from producers.terminal.ledger import from_micros, ledger_path


@dataclass(frozen=True, slots=True)
class Holdings:
    """`oldest_at`: when the oldest file was captured. `until`: when the next segment may go, if any may."""

    segments: int = 0
    files: int = 0
    size: int = 0
    oldest_at: datetime | None = None
    until: datetime | None = None


def waiting(path: Path) -> tuple[int, datetime | None]:
    """Count by a ledger file what the centre does not have yet, and say since when; also while its role runs."""
    if not path.exists():
        return 0, None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        is_made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'copies'").fetchone()
        return backlog(db) if is_made else (0, None)


def spool_path(state: Path, clinic: str, terminal: str) -> Path:
    return state / f"{clinic}.{terminal}.spool"


def ballast_path(state: Path, clinic: str, terminal: str) -> Path:
    return state / f"{clinic}.{terminal}.ballast"


def of_spool(db: sqlite3.Connection, folder: Path, keep_days: float) -> Holdings:
    """Count what lies in a spool; `keep_days` is how long a segment stays after the centre has all of it."""
    sizes = dict(_segments(folder))
    rows = db.execute(
        "SELECT count(*), min(captured_at), max(stored_at), sum(stored_at IS NULL) FROM copies"
        " WHERE segment IN (SELECT value FROM json_each(?)) GROUP BY segment",
        (json.dumps(list(sizes)),),
    ).fetchall()
    stored = [last for _, _, last, missing in rows if not missing]
    return Holdings(
        segments=len(sizes),
        files=sum(count for count, _, _, _ in rows),
        size=sum(sizes.values()),
        oldest_at=from_micros(min(first for _, first, _, _ in rows)) if rows else None,
        until=from_micros(min(stored)) + timedelta(days=keep_days) if stored else None,
    )


def _segments(folder: Path) -> Iterator[tuple[int, int]]:
    for path in folder.glob("*.seg"):
        # A running role may remove one while we look.
        with contextlib.suppress(OSError, ValueError):
            yield int(path.stem), path.stat().st_size


def spool_holdings(state: Path, clinic: str, terminal: str, keep_days: float) -> Holdings | None:
    """Look into a terminal's spool, also while its role runs. None: it is not of this machine."""
    path = ledger_path(state, clinic, terminal)
    if not path.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
        is_made = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'copies'").fetchone()
        return of_spool(db, spool_path(state, clinic, terminal), keep_days) if is_made else Holdings()
