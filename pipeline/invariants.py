"""What must always be true of the store? Each invariant named, held or broken, with the files concerned.

The numbers are those of security-and-reliability section 5.3. Only what the store itself can show is asked here;
safe on a live system: one reading transaction.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, func, or_, select

from pipeline import access, certificates
from pipeline.custody import REQUIRED, Custody, FileOutcome
from pipeline.keyring import Keyring
from pipeline.storage.schema import copies, deliveries, files, grants, hold_answers, holds, receipts, standings
from pipeline.topology import Role


@dataclass(frozen=True, slots=True)
class Finding:
    """One invariant: `broken` names the files, copies or rows that break it."""

    name: str
    says: str
    broken: tuple[str, ...] = ()

    @property
    def is_held(self) -> bool:
        return not self.broken


def verify(connection: Connection, keyring: Keyring) -> list[Finding]:
    """Check every invariant that the store can show."""
    made = [_ask(connection, name, says, query) for name, says, query in _QUERIES]
    faults = [f"{fault}" for fault in certificates.verify(connection, keyring)]
    made.append(Finding("I9", "every erasure has one valid certificate, and the chain holds", tuple(faults)))
    tampered = [f"{fault}" for fault in access.verify(connection, keyring)]
    made.append(Finding("I15", "the access log is complete and unchanged", tuple(tampered)))
    return sorted(made, key=lambda finding: int(finding.name[1:]))


def _ask(connection: Connection, name: str, says: str, queries: Sequence[Callable[[], Select[Any]]]) -> Finding:
    broken = [str(row[0]) for query in queries for row in connection.execute(query())]
    return Finding(name, says, tuple(dict.fromkeys(broken)))


def _copies_without_file() -> Select[Any]:
    return select(copies.c.copy_id).where(~exists().where(files.c.file_id == copies.c.file_id))


def _files_without_copy() -> Select[Any]:
    return select(files.c.file_id).where(~exists().where(copies.c.file_id == files.c.file_id))


def _settled_but_not_final() -> Select[Any]:
    here = exists().where(
        copies.c.file_id == files.c.file_id,
        copies.c.custody.not_in([Custody.ERASED.value, Custody.VANISHED.value]),
    )
    return select(files.c.file_id).where(
        files.c.settled_at.is_not(None), or_(files.c.outcome == FileOutcome.PENDING.value, here)
    )


def _erased_too_early() -> Select[Any]:
    """Find erased copies whose file lacks a receipt that its outcome needs."""
    lacking = []
    for outcome, roles in REQUIRED.items():
        for role in roles:
            got = exists().where(receipts.c.file_id == files.c.file_id, receipts.c.consumer == role.value)
            lacking.append(and_(files.c.outcome == outcome.value, ~got))
    return (
        select(copies.c.copy_id)
        .join(files, files.c.file_id == copies.c.file_id)
        .where(copies.c.custody == Custody.ERASED.value, or_(files.c.outcome == FileOutcome.PENDING.value, *lacking))
    )


def _without_intact_copy() -> Select[Any]:
    return (
        select(files.c.file_id)
        .join(copies, copies.c.file_id == files.c.file_id)
        .where(files.c.sealed_original.is_(None), copies.c.custody.in_([Custody.STORED.value, Custody.ERASED.value]))
    )


def _delivered_without_receipt() -> Select[Any]:
    got = exists().where(receipts.c.file_id == files.c.file_id, receipts.c.consumer == Role.FORWARDING.value)
    return select(files.c.file_id).where(files.c.outcome == FileOutcome.DELIVERED.value, ~got)


def _done_but_not_wanted() -> Select[Any]:
    return select(deliveries.c.file_id).where(deliveries.c.done_revision > deliveries.c.wanted_revision)


def _erased_under_hold() -> Select[Any]:
    return (
        select(copies.c.copy_id)
        .join(hold_answers, hold_answers.c.copy_id == copies.c.copy_id)
        .join(holds, holds.c.hold_id == hold_answers.c.hold_id)
        .where(
            hold_answers.c.kept,
            copies.c.custody == Custody.ERASED.value,
            or_(holds.c.released_at.is_(None), copies.c.gone_at < holds.c.released_at),
        )
    )


def _standing_not_newest() -> Select[Any]:
    newest = (
        select(func.max(grants.c.consented_at))
        .where(
            grants.c.clinic == standings.c.clinic,
            grants.c.person_hash == standings.c.person_hash,
            grants.c.category == standings.c.category,
            grants.c.source == standings.c.source,
            # A grant in a vendor's spelling stands in the ledger but permits nothing.
            or_(grants.c.may_request, ~grants.c.granted),
        )
        .scalar_subquery()
    )
    return select(standings.c.grant_id).where(standings.c.consented_at != newest)


_QUERIES: tuple[tuple[str, str, tuple[Callable[[], Select[Any]], ...]], ...] = (
    (
        "I1",
        "every file has its copies, every copy its file, and what is settled is final",
        (_copies_without_file, _files_without_copy, _settled_but_not_final),
    ),
    ("I2", "nothing was erased before every receipt was in", (_erased_too_early,)),
    ("I3", "of every file that left or may leave the terminal the sealed original is here", (_without_intact_copy,)),
    (
        "I4",
        "what is delivered has the chart's receipt, for a revision that was wanted",
        (_delivered_without_receipt, _done_but_not_wanted),
    ),
    ("I10", "no held copy was erased", (_erased_under_hold,)),
    ("I12", "the consent that stands is the newest one given", (_standing_not_newest,)),
)


def broken(findings: Sequence[Finding]) -> Iterator[Finding]:
    return (finding for finding in findings if not finding.is_held)
