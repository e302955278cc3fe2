"""`onshi certificates list|show|verify`, `onshi audit verify`: what can be proved of the chains."""

import json
from argparse import Namespace
from typing import Any

from sqlalchemy import select

from pipeline import access
from pipeline import certificates as chain
from pipeline.cli.certificate import show
from pipeline.cli.desk import Desk
from pipeline.settings import Settings
from pipeline.storage.schema import certificates as table

_COLUMNS = {
    "clinic": "clinic",
    "number": "no.",
    "copy_id": "copy",
    "level": "level",
    "method": "method",
    "at": "certified (JST)",
}


def certificates(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        if arguments.action == "list":
            return _list(desk, arguments)
        if arguments.action == "show":
            return show(desk, arguments)
        with desk.store.reading() as connection:
            faults = chain.verify(connection, desk.keyring)
            count = len(connection.execute(select(table.c.number)).all())
        return _answer(desk, [str(fault) for fault in faults], f"{count} certificates, every chain holds", count)


def _list(desk: Desk, arguments: Namespace) -> int:
    query = select(table).order_by(table.c.clinic, table.c.number).limit(arguments.limit)
    if arguments.clinic:
        query = query.where(table.c.clinic == arguments.clinic)
    with desk.store.reading() as connection:
        rows = [_certificate(row) for row in connection.execute(query)]
    desk.show(rows, _COLUMNS, "certificates")
    return 0


def _certificate(row: Any) -> dict[str, Any]:
    content = json.loads(row.content)
    return {
        **content,
        "clinic": row.clinic,
        "number": row.number,
        "copy_id": row.copy_id,
        "file_id": row.file_id,
        "previous": row.previous,
        "digest": row.digest,
        "at": row.at,
    }


def audit(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        with desk.store.reading() as connection:
            faults = access.verify(connection, desk.keyring)
        return _answer(desk, [str(fault) for fault in faults], "the access log is complete and unchanged", None)


def _answer(desk: Desk, faults: list[str], well: str, count: int | None) -> int:
    value: dict[str, Any] = {"valid": not faults, "faults": faults}
    if count is not None:
        value["certificates"] = count
    desk.say(value, faults or [well])
    return 1 if faults else 0
