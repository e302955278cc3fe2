"""What must always be true? I1 to I17, each by one question; safe on a live system.

`verify` asks the store alone, in one reading transaction. Folders, inbox and broker are asked by the command line,
which joins what they show; the rest of what is said of one invariant is joined here.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Connection

from pipeline import access, certificates
from pipeline.invariants import asking, clinical, custody, repetition, seals, waiting
from pipeline.invariants.finding import Finding, broken, joined, lasting
from pipeline.keyring import Keyring

__all__ = ["LIMIT", "Finding", "broken", "joined", "lasting", "verify"]

LIMIT: Final = timedelta(hours=1)
"""How long anything may wait before it counts as stuck."""


def verify(
    connection: Connection, keyring: Keyring, now: datetime | None = None, limit: timedelta = LIMIT
) -> list[Finding]:
    """Check every invariant that the store can show."""
    return joined(_store(connection, keyring, now or datetime.now(UTC), limit))


def _store(connection: Connection, keyring: Keyring, now: datetime, limit: timedelta) -> Iterator[Finding]:
    yield from custody.findings(connection)
    yield from asking.findings(connection)
    yield from clinical.findings(connection)
    yield seals.finding(connection, keyring)
    yield from waiting.findings(connection, now, limit)
    yield from repetition.findings(connection)
    faults = tuple(f"{fault}" for fault in certificates.verify(connection, keyring))
    yield Finding("I9", "every erasure has one valid certificate, and the chain holds", faults)
    tampered = tuple(f"{fault}" for fault in access.verify(connection, keyring))
    yield Finding("I15", "the access log is complete and unchanged", tampered)
