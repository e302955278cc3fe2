"""`onshi files list|show|reparse`: the custody of each copy of each file."""

from argparse import Namespace
from typing import Any

from sqlalchemy import Row, select

from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.cli.reparse import reparse
from pipeline.settings import Settings
from pipeline.storage.schema import copies, deliveries, files, receipts

_COLUMNS = {
    "file_id": "file",
    "clinic": "clinic",
    "terminal": "terminal",
    "name": "name",
    "kind": "kind",
    "custody": "custody",
    "outcome": "outcome",
    "reason": "reason",
}


def files_command(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        match arguments.action:
            case "list":
                return _list(desk, arguments)
            case "reparse":
                return reparse(desk, arguments)
            case _:
                return _show(desk, arguments.file_id)


def _query() -> Any:
    return select(
        copies,
        files.c.outcome,
        files.c.reason.label("file_reason"),
        files.c.processed_at,
        files.c.outcome_at,
        files.c.settled_at,
    ).join(files, files.c.file_id == copies.c.file_id)


def _list(desk: Desk, arguments: Namespace) -> int:
    query = _query().order_by(copies.c.seen_at, copies.c.copy_id)
    for column, wanted in (
        (copies.c.clinic, arguments.clinic),
        (copies.c.custody, arguments.custody),
        (files.c.outcome, arguments.outcome),
    ):
        if wanted:
            query = query.where(column == wanted)
    with desk.store.reading() as connection:
        rows = connection.execute(query.limit(arguments.limit)).all()
    if desk.staff:
        desk.log_access("files.list", f"{len(rows)} copies")
    desk.show([_row(desk, row) for row in rows], _COLUMNS, "files")
    return 0


def _row(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    return {
        "file_id": row.file_id,
        "copy_id": row.copy_id,
        "clinic": row.clinic,
        "terminal": row.terminal,
        "name": desk.open_name(row.clinic, row.copy_id, row.sealed_name),
        "kind": row.kind,
        "custody": row.custody,
        "outcome": row.outcome,
        "reason": row.reason or row.file_reason,
        "erasure_fault": row.erasure_fault,
        "times": {
            "seen": row.seen_at,
            "captured": row.captured_at,
            "stored": row.stored_at,
            "processed": row.processed_at,
            "outcome": row.outcome_at,
            "gone": row.gone_at,
            "settled": row.settled_at,
        },
    }


def _show(desk: Desk, file_id: str) -> int:
    with desk.store.reading() as connection:
        rows = connection.execute(_query().where(copies.c.file_id == file_id)).all()
        got = connection.execute(select(receipts).where(receipts.c.file_id == file_id)).all()
        delivery = connection.execute(select(deliveries).where(deliveries.c.file_id == file_id)).first()
    if not rows:
        raise WrongUseError(f"{file_id}: there is no such file")
    desk.log_access("files.show", file_id)
    copies_ = [_row(desk, row) for row in rows]
    shown = {
        "file_id": file_id,
        "copies": copies_,
        "receipts": {row.consumer: {"result": row.result, "at": row.at} for row in got},
        "delivery": None
        if delivery is None
        else {
            "state": delivery.state,
            "revision": delivery.done_revision,
            "reason": delivery.reason,
            "at": delivery.done_at,
        },
    }
    desk.say(shown, _lines(shown))
    return 0


def _lines(shown: dict[str, Any]) -> list[str]:
    lines = [f"file {shown['file_id']}"]
    for copy in shown["copies"]:
        lines.append(f"  copy {copy['copy_id']}  {copy['name'] or ''}")
        lines.append(
            f"    {copy['terminal']}  {copy['kind']}  {copy['custody']}  {copy['outcome']}  {copy['reason'] or ''}"
        )
        lines.extend(f"    {name:<9} {at:%Y-%m-%d %H:%M:%S} UTC" for name, at in copy["times"].items() if at)
    lines.extend(
        f"  receipt {name}: {got['result']} {got['at']:%H:%M:%S} UTC" for name, got in shown["receipts"].items()
    )
    if shown["delivery"]:
        lines.append(f"  delivery: {shown['delivery']['state']}, revision {shown['delivery']['revision']}")
    return lines
