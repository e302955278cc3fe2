"""How does a test say that a copy lies in the store, and that its terminal erased it?"""

from datetime import UTC, datetime

from pipeline.events import FileErased, derive_id
from pipeline.storage.schema import copies, files, receipts
from tests.support.centre import Centre

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
MAC = "ab" * 32
ALL = ("parsing", "reconciliation", "consent", "forwarding")
FILE = derive_id("file", "one")


def copy_id(name: str) -> str:
    return derive_id("copy", name)


def add_file(centre: Centre, outcome: str = "delivered", got: tuple[str, ...] = ALL, file_id: str = FILE) -> str:
    centre.insert(
        files,
        file_id=file_id,
        clinic="c1",
        terminal="t1",
        kind="face",
        outcome=outcome,
        revision=1,
        suffix=".xml",
        sealed_original=b"O1",
        captured_at=NOW,
        stored_at=NOW,
    )
    for consumer in got:
        centre.insert(receipts, file_id=file_id, consumer=consumer, result="done", at=NOW)
    return file_id


def add_copy(
    centre: Centre, name: str = "a", file_id: str = FILE, terminal: str = "t1", custody: str = "stored"
) -> str:
    centre.insert(
        copies,
        copy_id=copy_id(name),
        file_id=file_id,
        clinic="c1",
        terminal=terminal,
        kind="face",
        custody=custody,
        sealed_name=b"O1",
        mac=MAC,
        size=7,
        seen_at=NOW,
        captured_at=NOW,
        stored_at=NOW,
    )
    return copy_id(name)


def erased(name: str = "a", file_id: str = FILE, edge: str = "t1", level: str = "L1", mac: str = MAC) -> FileErased:
    return FileErased(
        clinic="c1",
        edge=edge,
        file_id=file_id,
        copy_id=copy_id(name),
        level=level,
        method="overwrite-once",
        mac=mac,
        size=7,
        first_seen_at=NOW,
        stored_at=NOW,
        intended_at=NOW,
        erased_at=NOW,
        verified_absent=True,
        bytes_read_back=7,
        filesystem="ext4",
        clock_offset_seconds=None,
        preconditions=("C1", "C2", "C4", "C7", "C8"),
        software="0.1.0",
    )
