"""How is a log kept so that nobody can change it unseen?

Each entry's digest covers the digest before it, so an edited, removed or inserted entry breaks the chain at a number
that can be named. A signed head says how far a chain had come, so that a cut end shows too; whoever holds the signing
key or can change signed heads is outside of what this proves. Sources: security-and-reliability 1.2 A2, 3.3 D7.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography.exceptions import InvalidSignature
from sqlalchemy import Connection, Row, func, select

from pipeline.keyring import Keyring
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import heads

GENESIS: Final = "0" * 64
"""What stands before the first entry."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a chain.

    `what`: missing, edited, broken_link, truncated, head_missing_entry, head_differs, head_forged, uncertified,
    not_erased.
    """

    chain: str
    what: str
    number: int | None = None
    copy_id: str | None = None

    def __str__(self) -> str:
        where = [f"number {self.number}"] if self.number is not None else []
        where += [f"copy {self.copy_id}"] if self.copy_id else []
        return " ".join([self.chain, *where, self.what])


@dataclass(frozen=True, slots=True)
class Link:
    """One entry as it is stored. `is_consistent`: its columns say what its content says."""

    number: int
    content: str
    previous: str
    digest: str
    is_consistent: bool = True


@dataclass(frozen=True, slots=True)
class Tip:
    """How far a chain has come; number 0 when it is empty."""

    number: int = 0
    digest: str = GENESIS


def canonical(content: Mapping[str, object]) -> str:
    """Write content as the one JSON text that is hashed and signed."""
    return json.dumps(content, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def digest_of(previous: str, content: str) -> str:
    return sha256(f"{previous}{content}".encode()).hexdigest()


def lock(connection: Connection, chain: str) -> None:
    """Let nobody else append until this transaction ends. On SQLite `BEGIN IMMEDIATE` has done so already."""
    if connection.dialect.name == "postgresql":
        number = int.from_bytes(sha256(f"chain {chain}".encode()).digest()[:8], "big", signed=True)
        connection.execute(select(func.pg_advisory_xact_lock(number)))


def first_fault(chain: str, links: Iterable[Link]) -> tuple[Fault | None, Tip]:
    """Follow a chain in order of number; return what is wrong first, and how far it was sound."""
    tip = Tip()
    for entry in links:
        what, number = _check(entry, tip), entry.number
        if what == "missing":
            number = tip.number + 1
        if what:
            return Fault(chain, what, number), tip
        tip = Tip(entry.number, entry.digest)
    return None, tip


def _check(entry: Link, tip: Tip) -> str | None:
    if entry.number != tip.number + 1:
        return "missing"
    if entry.previous != tip.digest:
        return "broken_link"
    if not entry.is_consistent or digest_of(entry.previous, entry.content) != entry.digest:
        return "edited"
    return None


def last_head(connection: Connection, chain: str) -> Row[tuple[object, ...]] | None:
    return connection.execute(
        select(heads).where(heads.c.clinic == chain).order_by(heads.c.number.desc()).limit(1)
    ).first()


def sign_head(connection: Connection, keyring: Keyring, chain: str, tip: Tip, now: datetime) -> None:
    """Sign how far a chain has come; a number signed before stays as it is."""
    signature = keyring.signing_key.sign(_head_bytes(chain, tip, now)).hex()
    row = {"clinic": chain, "number": tip.number, "digest": tip.digest, "signature": signature, "at": now}
    insert_new(connection, heads, [row])


def head_fault(
    connection: Connection, keyring: Keyring, chain: str, tip: Tip, digests: Mapping[int, str]
) -> Fault | None:
    """Compare every signed head of a chain with the chain; `digests` has the digest stored at each head's number."""
    for row in connection.execute(select(heads).where(heads.c.clinic == chain).order_by(heads.c.number)):
        try:
            keyring.verifying_key.verify(
                bytes.fromhex(row.signature), _head_bytes(chain, Tip(row.number, row.digest), row.at)
            )
        except (InvalidSignature, ValueError):
            return Fault(chain, "head_forged", row.number)
        if row.number > tip.number:
            return Fault(chain, "truncated", row.number)
        if digests.get(row.number) != row.digest:
            return Fault(chain, "head_differs", row.number)
    return None


def _head_bytes(chain: str, tip: Tip, at: datetime) -> bytes:
    head = {"chain": chain, "number": tip.number, "digest": tip.digest, "at": at.astimezone(UTC).isoformat()}
    return canonical(head).encode()
