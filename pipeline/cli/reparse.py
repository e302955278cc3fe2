"""`onshi files reparse`: stored originals are read again by the running parsing role, as today's parser reads them."""

import time
from argparse import Namespace
from collections.abc import Iterator, Sequence
from datetime import timedelta
from uuid import uuid4

from sqlalchemy import Connection, func, select

from pipeline import budget, outbox
from pipeline.cli.desk import Desk
from pipeline.cli.instants import instant
from pipeline.cli.main import WrongUseError
from pipeline.events import FileReparse
from pipeline.storage.schema import files
from pipeline.topology import Role

AT_ONCE = 50
"""How many originals are written in one transaction; each may be some MiB."""


def reparse(desk: Desk, arguments: Namespace) -> int:
    """Order the chosen files to be read again; what is the same afterwards changes nothing."""
    desk.required_staff("files.reparse", _subject(arguments.ids))
    ids, without_key = _readable(desk, _chosen(desk, arguments))
    rate = arguments.rate
    size = AT_ONCE if rate is None else max(1, min(AT_ONCE, int(rate)))
    asked_id = str(uuid4())
    for start in range(0, max(1, len(ids)), size):
        if start and rate:
            time.sleep(size / rate)
        with desk.store.transaction() as connection:
            _order(desk, connection, ids[start : start + size], asked_id)
            if not start:
                # With the first of them: who breaks a slow one off has ordered something.
                desk.log_deed(connection, "files.reparse", _subject(ids))
    lines = [f"reading {len(ids)} again: the running parsing role takes them within a few seconds"]
    if without_key:
        lines.append(f"{without_key} cannot be read again: their keys were destroyed")
    desk.say({"rereading": len(ids), "without_key": without_key}, lines)
    return 0


def _chosen(desk: Desk, arguments: Namespace) -> list[tuple[str, str | None]]:
    """Find what was meant, with the key each is sealed to; never everything by accident."""
    if not (arguments.ids or arguments.since or arguments.all):
        raise WrongUseError("name file ids, or --since, or --all")
    query = select(files.c.file_id, files.c.original_key).where(files.c.sealed_original.is_not(None))
    if arguments.ids:
        query = query.where(files.c.file_id.in_(arguments.ids))
    if arguments.since:
        query = query.where(files.c.stored_at >= instant(arguments.since))
    if arguments.until:
        query = query.where(files.c.stored_at < instant(arguments.until))
    for column, wanted in ((files.c.clinic, arguments.clinic), (files.c.outcome, arguments.outcome)):
        if wanted:
            query = query.where(column == wanted)
    with desk.store.reading() as connection:
        rows = connection.execute(query.order_by(files.c.stored_at, files.c.file_id)).all()
    if len({row.file_id for row in rows}) < len(set(arguments.ids)):
        raise WrongUseError("not every id is a stored file; nothing was done")
    return [(row.file_id, row.original_key) for row in rows]


def _readable(desk: Desk, chosen: Sequence[tuple[str, str | None]]) -> tuple[list[str], int]:
    """Leave out what no key opens any more; parking all of it would only blow the fuse."""
    keys = {key for _, key in chosen if key}
    gone = {key for key in keys if desk.keyring.private_key(bytes.fromhex(key)) is None}
    ids = [file_id for file_id, key in chosen if key not in gone]
    return ids, len(chosen) - len(ids)


def _subject(ids: Sequence[str]) -> str:
    return ids[0] if len(ids) == 1 else f"{len(ids)} files"


def _order(desk: Desk, connection: Connection, ids: Sequence[str], asked_id: str) -> None:
    repeat = timedelta(seconds=desk.settings.centre.republish_seconds)
    query = select(files.c.file_id, func.length(files.c.sealed_original)).where(files.c.file_id.in_(ids))
    sized = [(row[0], row[1] or 0) for row in connection.execute(query.order_by(files.c.stored_at, files.c.file_id))]
    for part in budget.parts(sized):
        orders = [(order, None) for order in _orders(connection, part, asked_id)]
        outbox.add(connection, Role.PARSING, orders, desk.now, repeat)


def _orders(connection: Connection, ids: Sequence[str], asked_id: str) -> Iterator[FileReparse]:
    query = select(files).where(files.c.file_id.in_(ids)).order_by(files.c.stored_at, files.c.file_id)
    for row in connection.execute(query):
        yield FileReparse(
            clinic=row.clinic,
            edge=row.terminal,
            file_id=row.file_id,
            asked_id=asked_id,
            sealed=row.sealed_original,
            captured_at=row.captured_at,
        )
