"""What was erased, when, how thoroughly, and who can prove it?

One certificate per erased copy, numbered and hash-chained per clinic, the head signed hourly. A certificate says
what was done to the file and what that cannot reach; it names the content only by a keyed hash. Sources: design
sections 6 and 7, security-and-reliability 3.2 and 3.4.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Final

from sqlalchemy import Connection, Row, select

from pipeline.chain import (
    Fault,
    Link,
    Tip,
    canonical,
    digest_of,
    first_fault,
    head_fault,
    last_head,
    lock,
    sign_head,
)
from pipeline.custody import Custody
from pipeline.events import FileErased
from pipeline.keyring import Keyring
from pipeline.storage.schema import certificates, copies, heads

HEAD_EVERY: Final = timedelta(hours=1)
POLICY: Final = "1"
"""Version of the rules below, printed on each certificate."""

STATEMENTS: Final[Mapping[str, str]] = {
    "L0": "The file was removed. Nobody saw whether its content had been overwritten before.",
    "L1": "The content was overwritten in place once and flushed; then the file was removed and a new listing"
    " no longer showed it.",
}
"""What each level says (security-and-reliability 3.2), never more than the edge reported."""
LIMITS: Final = (
    "Not covered: spare cells of the medium, file system journals, snapshots, backups and records of file names."
)


@dataclass(frozen=True, slots=True)
class Draft:
    """What the centre adds to the edge's evidence. `receipts`: consumer → result and instant."""

    evidence: FileErased
    kind: str
    outcome: str
    reason: str | None
    stored_at: datetime | None
    receipts: tuple[tuple[str, str, datetime], ...]
    preconditions: tuple[str, ...]
    """Those the centre checked."""


def append(connection: Connection, drafts: Sequence[Draft], now: datetime) -> list[str]:
    """Certify copies in order; one that has a certificate keeps it. Returns the copy ids that were certified now."""
    made: list[str] = []
    by_clinic = sorted(drafts, key=_clinic)
    for clinic, group in groupby(by_clinic, key=_clinic):
        lock(connection, clinic)
        wanted = {draft.evidence.copy_id: draft for draft in group}
        known = set(
            connection.scalars(select(certificates.c.copy_id).where(certificates.c.copy_id.in_(sorted(wanted))))
        )
        new = [draft for copy_id, draft in wanted.items() if copy_id not in known]
        if new:
            rows = list(_rows(clinic, tip(connection, clinic), new, now))
            connection.execute(certificates.insert(), rows)
        made.extend(draft.evidence.copy_id for draft in new)
    return made


def _clinic(draft: Draft) -> str:
    return draft.evidence.clinic


def tip(connection: Connection, clinic: str) -> Tip:
    row = connection.execute(
        select(certificates.c.number, certificates.c.digest)
        .where(certificates.c.clinic == clinic)
        .order_by(certificates.c.number.desc())
        .limit(1)
    ).first()
    return Tip(row.number, row.digest) if row else Tip()


def _rows(clinic: str, last: Tip, drafts: Sequence[Draft], now: datetime) -> Iterator[dict[str, Any]]:
    for draft in drafts:
        content = canonical(_content(draft, last.number + 1, now))
        digest = digest_of(last.digest, content)
        yield {
            "clinic": clinic,
            "number": last.number + 1,
            "copy_id": draft.evidence.copy_id,
            "file_id": draft.evidence.file_id,
            "content": content,
            "previous": last.digest,
            "digest": digest,
            "at": now,
        }
        last = Tip(last.number + 1, digest)


def _content(draft: Draft, number: int, now: datetime) -> dict[str, object]:
    evidence = draft.evidence
    return {
        "certificate": number,
        "clinic": evidence.clinic,
        "terminal": evidence.edge,
        "file": evidence.file_id,
        "copy": evidence.copy_id,
        "kind": draft.kind,
        "size": evidence.size,
        "content_keyed_hash": evidence.mac,
        "outcome": draft.outcome,
        "reason": draft.reason,
        "first_seen_at": _iso(evidence.first_seen_at),
        "stored_at": _iso(evidence.stored_at or draft.stored_at),
        "receipts": {consumer: {"result": result, "at": _iso(at)} for consumer, result, at in draft.receipts},
        "intended_at": _iso(evidence.intended_at),
        "erased_at": _iso(evidence.erased_at),
        "certified_at": _iso(now),
        "clock": {"source": "terminal", "offset_seconds": evidence.clock_offset_seconds},
        "level": evidence.level,
        "method": evidence.method,
        "statement": STATEMENTS[evidence.level],
        "limits": LIMITS,
        "filesystem": evidence.filesystem,
        "volume": "encryption and snapshots not examined",
        "verified_absent": evidence.verified_absent,
        "bytes_read_back": evidence.bytes_read_back,
        "preconditions": {"terminal": sorted(evidence.preconditions), "centre": sorted(draft.preconditions)},
        "policy": POLICY,
        "software": evidence.software,
    }


def _iso(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None


def sign_heads(connection: Connection, keyring: Keyring, clinics: Sequence[str], now: datetime) -> int:
    """Sign the head of each chain that grew since its last head, at most hourly. Returns how many were signed."""
    signed = 0
    for clinic in clinics:
        last, reached = last_head(connection, clinic), tip(connection, clinic)
        if reached.number > (last.number if last else 0) and (last is None or now - last.at >= HEAD_EVERY):
            sign_head(connection, keyring, clinic, reached, now)
            signed += 1
    return signed


def verify(connection: Connection, keyring: Keyring, clinic: str | None = None) -> list[Fault]:
    """Check every chain (or one clinic's), its signed heads, and that erased copies and certificates match."""
    faults: list[Fault] = []
    for name in _chains(connection, clinic):
        fault, reached = first_fault(name, _links(connection, name))
        # After a broken entry nothing can be said of what follows; heads are compared with a sound chain only.
        fault = fault or head_fault(connection, keyring, name, reached, _digests_at_heads(connection, name))
        if fault:
            faults.append(fault)
    return [*faults, *_unmatched(connection, clinic)]


def _chains(connection: Connection, clinic: str | None) -> list[str]:
    if clinic is not None:
        return [clinic]
    names = set(connection.scalars(select(certificates.c.clinic).distinct()))
    names |= set(connection.scalars(select(heads.c.clinic).distinct().where(heads.c.clinic.not_like("-%"))))
    return sorted(names)


def _links(connection: Connection, clinic: str) -> Iterator[Link]:
    query = select(certificates).where(certificates.c.clinic == clinic).order_by(certificates.c.number)
    for row in connection.execution_options(yield_per=1000).execute(query):
        yield Link(row.number, row.content, row.previous, row.digest, _is_consistent(row))


def _is_consistent(row: Row[tuple[object, ...]]) -> bool:
    try:
        said = json.loads(row.content)
        columns = {"certificate": row.number, "clinic": row.clinic, "copy": row.copy_id, "file": row.file_id}
        return said["certified_at"] == _iso(row.at) and all(said[key] == value for key, value in columns.items())
    except (ValueError, KeyError, TypeError):
        return False


def _digests_at_heads(connection: Connection, clinic: str) -> dict[int, str]:
    query = select(certificates.c.number, certificates.c.digest).join(
        heads, (heads.c.clinic == certificates.c.clinic) & (heads.c.number == certificates.c.number)
    )
    return {row.number: row.digest for row in connection.execute(query.where(certificates.c.clinic == clinic))}


def _unmatched(connection: Connection, clinic: str | None) -> Iterator[Fault]:
    is_erased = copies.c.custody == Custody.ERASED
    joined = copies.c.copy_id == certificates.c.copy_id
    without = select(copies.c.clinic, copies.c.copy_id).outerjoin(certificates, joined)
    without = without.where(is_erased, certificates.c.copy_id.is_(None)).order_by(copies.c.clinic, copies.c.copy_id)
    stray = select(certificates.c.clinic, certificates.c.number, certificates.c.copy_id)
    stray = stray.outerjoin(copies, joined & is_erased).where(copies.c.copy_id.is_(None))
    stray = stray.order_by(certificates.c.clinic, certificates.c.number)
    if clinic is not None:
        without = without.where(copies.c.clinic == clinic)
        stray = stray.where(certificates.c.clinic == clinic)
    for clinic_id, copy_id in connection.execute(without).all():
        yield Fault(clinic_id, "uncertified", None, copy_id)
    for clinic_id, number, copy_id in connection.execute(stray).all():
        yield Fault(clinic_id, "not_erased", number, copy_id)
