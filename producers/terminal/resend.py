"""How does a terminal say again what the centre once had and has forgotten?

For a store that was restored from an old backup. What is still in the spool is due again, oldest first, until the
centre answers that it has it; also of copies that are gone from the share, whose erasure the centre then asks about
and is told again. Safe beside a running role, and for files the centre does have.
"""

import contextlib
import json
import sqlite3
from datetime import datetime
from pathlib import Path

from producers.terminal.ledger import FORMAT, ledger_path, to_micros


def resend(state: Path, clinic: str, terminal: str, since: datetime | None) -> int:
    """Make every copy that is in the spool (captured since then) due for publication; return how many.

    Raises:
        UnfitFileError: its ledger is of another release, and was left as it is.
    """
    path = ledger_path(state, clinic, terminal)
    if not path.exists():
        return 0
    FORMAT.require(path)
    segments = [int(part.stem) for part in (state / f"{clinic}.{terminal}.spool").glob("*.seg")]
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as db:
        db.execute("PRAGMA synchronous = FULL")
        changed = db.execute(
            "UPDATE copies SET stored_at = NULL, published = 0, next_publish_at = captured_at"
            " WHERE segment IN (SELECT value FROM json_each(?)) AND captured_at >= ?",
            (json.dumps(segments), to_micros(since) if since else 0),
        )
        return changed.rowcount
