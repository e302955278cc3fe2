"""Where is each file, and did it come there in the right order? I1 to I4 and I10, as the store shows them."""

import json
from collections.abc import Callable, Iterator
from typing import Any

from sqlalchemy import Connection, Select, and_, exists, or_, select

from pipeline.custody import REQUIRED, Custody, FileOutcome
from pipeline.invariants.finding import Finding
from pipeline.storage.schema import certificates, copies, deliveries, files, hold_answers, holds, receipts
from pipeline.topology import Role


def findings(connection: Connection) -> Iterator[Finding]:
    for name, says, queries in _QUERIES:
        broken = [str(row[0]) for query in queries for row in connection.execute(query())]
        yield Finding(name, says, tuple(dict.fromkeys(broken)))
    yield Finding("I2", "nothing was erased before every receipt was in", tuple(_erased_too_early(connection)))


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


def _erased_too_early(connection: Connection) -> Iterator[str]:
    """Find erased copies whose file lacks a receipt that its outcome needs.

    A file read again later may be open anew: its copy went rightly if its certificate names the receipts that the
    outcome of that time needed.
    """
    for row in connection.execute(_lacking_receipts()):
        certified = json.loads(row.content) if row.content else {}
        then = certified.get("outcome", "")
        got = certified.get("receipts", {})
        was_right = then in REQUIRED and then != row.outcome and all(role.value in got for role in REQUIRED[then])
        if not was_right:
            yield str(row.copy_id)


def _lacking_receipts() -> Select[Any]:
    lacking = []
    for outcome, roles in REQUIRED.items():
        for role in roles:
            got = exists().where(receipts.c.file_id == files.c.file_id, receipts.c.consumer == role.value)
            lacking.append(and_(files.c.outcome == outcome.value, ~got))
    return (
        select(copies.c.copy_id, files.c.outcome, certificates.c.content)
        .join(files, files.c.file_id == copies.c.file_id)
        .outerjoin(certificates, certificates.c.copy_id == copies.c.copy_id)
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


_QUERIES: tuple[tuple[str, str, tuple[Callable[[], Select[Any]], ...]], ...] = (
    (
        "I1",
        "every file has its copies, every copy its file, and what is settled is final",
        (_copies_without_file, _files_without_copy, _settled_but_not_final),
    ),
    ("I3", "of every file that left or may leave the terminal the sealed original is here", (_without_intact_copy,)),
    (
        "I4",
        "what is delivered has the chart's receipt, for a revision that was wanted",
        (_delivered_without_receipt, _done_but_not_wanted),
    ),
    ("I10", "no held copy was erased", (_erased_under_hold,)),
)
