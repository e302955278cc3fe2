"""`onshi certificates list|verify`, `onshi audit verify`, `onshi verify`: what can be proved."""

import json
from argparse import Namespace
from typing import Any

from sqlalchemy import select

from pipeline import access, invariants
from pipeline import certificates as chain
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


def verify(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        with desk.store.reading() as connection:
            findings = invariants.verify(connection, desk.keyring)
        rows = [{"invariant": f.name, "says": f.says, "held": f.is_held, "broken": list(f.broken)} for f in findings]
        lines = [f"{'held  ' if f.is_held else 'BROKEN'} {f.name:<4} {f.says}" for f in findings]
        lines += [f"         {name}: {thing}" for f in findings for name, thing in ((f.name, b) for b in f.broken[:20])]
        desk.say({"invariants": rows}, lines)
        return 1 if any(invariants.broken(findings)) else 0


def _answer(desk: Desk, faults: list[str], well: str, count: int | None) -> int:
    value: dict[str, Any] = {"valid": not faults, "faults": faults}
    if count is not None:
        value["certificates"] = count
    desk.say(value, faults or [well])
    return 1 if faults else 0
