"""Does the chart's inbox hold what was delivered? I4, as the folder shows it.

The chart's program may take everything away at any time, so what is missing is no fault; what lies there must be of
a delivery of ours, of a revision that is wanted or done, with the bytes that the receipt was given for.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, Row, select

from pipeline.clinic_settings import Clinic
from pipeline.invariants.finding import Finding
from pipeline.keyring import Keyring
from pipeline.storage.schema import copies, deliveries

SAYS: Final = "what is delivered has the chart's receipt, for a revision that was wanted"
_RECORD: Final = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.json")
_TEMPORARY: Final = re.compile(r"\.onshi-[0-9a-f]+\.tmp")
_AT_ONCE: Final = 500


@dataclass(frozen=True, slots=True)
class InInbox:
    """A record that lies there. `receipts`: those that these bytes may have been given."""

    file_id: str
    revision: int | None
    receipts: frozenset[str] = field(repr=False)
    original_mac: str | None = field(repr=False)


def finding(connection: Connection, keyring: Keyring, clinic: Clinic, now: datetime, limit: timedelta) -> Finding:
    """Look into the inbox of one clinic, where it lies on this machine."""
    if clinic.chart is None or not clinic.chart.inbox.is_dir():
        return Finding("I4", SAYS, note=f"{clinic.id}: no inbox here", applicable=False)
    inbox = clinic.chart.inbox
    broken = [f"{clinic.id}: {name} left over" for name in _left_over(inbox, now - limit)]
    found = list(_records(inbox, keyring, clinic.id))
    for start in range(0, len(found), _AT_ONCE):
        broken.extend(_compared(connection, clinic.id, found[start : start + _AT_ONCE]))
    return Finding("I4", SAYS, tuple(broken))


def _left_over(inbox: Path, before: datetime) -> Iterator[str]:
    for path in inbox.iterdir():
        if _TEMPORARY.fullmatch(path.name):
            try:
                changed = path.lstat().st_mtime
            except FileNotFoundError:
                continue
            if changed < before.timestamp():
                yield path.name


def _records(inbox: Path, keyring: Keyring, clinic: str) -> Iterator[InInbox]:
    identity = keyring.identity(clinic)
    originals = {path.stem: path for path in inbox.iterdir() if path.suffix in (".xml", ".pdf", ".zip", ".err")}
    for path in inbox.iterdir():
        name = _RECORD.fullmatch(path.name)
        content = _read(path) if name else None
        if name is None or content is None:
            continue
        original = _read(originals[name[1]]) if name[1] in originals else None
        given = {identity.mac("receipt", b"", content)}
        if original is not None:
            given.add(identity.mac("receipt", original, content))
        mac = None if original is None else identity.mac("content", original)
        yield InInbox(name[1], _revision(content), frozenset(given), mac)


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        # Taken away while we looked, which is the chart's right.
        return None


def _revision(content: bytes) -> int | None:
    try:
        value = json.loads(content)["revision"]
    except (ValueError, KeyError, TypeError):
        return None
    return value if isinstance(value, int) else None


def _compared(connection: Connection, clinic: str, found: Sequence[InInbox]) -> Iterator[str]:
    ids = [one.file_id for one in found]
    query = select(deliveries).where(deliveries.c.clinic == clinic, deliveries.c.file_id.in_(ids))
    rows = {row.file_id: row for row in connection.execute(query)}
    macs: dict[str, set[str]] = {}
    for row in connection.execute(select(copies.c.file_id, copies.c.mac).where(copies.c.file_id.in_(ids))):
        macs.setdefault(row.file_id, set()).add(row.mac)
    for one in found:
        fault = _fault(one, rows.get(one.file_id), macs.get(one.file_id, set()))
        if fault:
            yield f"{one.file_id} {fault}"


def _fault(one: InInbox, row: Row[tuple[object, ...]] | None, macs: set[str]) -> str | None:
    if row is None:
        return "never wanted"
    if one.revision is None:
        return "unreadable record"
    if not row.done_revision <= one.revision <= row.wanted_revision:
        return f"revision {one.revision}, delivered is {row.done_revision}"
    if one.original_mac is not None and one.original_mac not in macs:
        return "other original"
    # Without the original nobody can tell whether the receipt covered it.
    is_known = one.revision == row.done_revision and one.original_mac is not None
    if is_known and row.receipt not in one.receipts:
        return "other bytes than the receipt"
    return None
