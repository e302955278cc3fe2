"""`onshi parked list|show|replay|discard`: messages set aside for a person."""

import time
from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Row, select

from pipeline import parking
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.sealing import KeyClass, UnsealError
from pipeline.settings import Settings
from pipeline.storage.schema import parked as table

_COLUMNS = {
    "parked_id": "id",
    "consumer": "consumer",
    "type": "event",
    "reason": "reason",
    "state": "state",
    "attempts": "attempts",
    "file_id": "file",
    "parked_at": "parked (JST)",
}


def parked(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        match arguments.action:
            case "list":
                return _list(desk, arguments)
            case "show":
                return _show(desk, arguments.parked_id)
            case "replay":
                return _replay(desk, arguments)
            case _:
                return _discard(desk, arguments)


def _list(desk: Desk, arguments: Namespace) -> int:
    query = select(table).where(table.c.state.in_(("parked", "replaying"))).order_by(table.c.parked_at)
    if arguments.consumer:
        query = query.where(table.c.consumer == arguments.consumer)
    if arguments.clinic:
        query = query.where(table.c.clinic == arguments.clinic)
    with desk.store.reading() as connection:
        rows = [_row(row) for row in connection.execute(query.limit(arguments.limit))]
    desk.show(rows, _COLUMNS, "parked")
    return 0


def _row(row: Row[Any]) -> dict[str, Any]:
    return {
        "parked_id": row.parked_id,
        "consumer": row.consumer,
        "event_id": row.event_id,
        "file_id": row.correlation,
        "clinic": row.clinic,
        "type": row.type,
        "reason": row.reason,
        "state": row.state,
        "attempts": row.attempts,
        "parked_at": row.parked_at,
        "ended_at": row.ended_at,
        "staff": row.staff,
    }


def _show(desk: Desk, parked_id: str) -> int:
    with desk.store.reading() as connection:
        row = connection.execute(select(table).where(table.c.parked_id == parked_id)).first()
    if row is None:
        raise WrongUseError(f"{parked_id}: there is no such parked message")
    desk.log_access("parked.show", parked_id)
    why = _discard_reason(desk, row)
    shown = {**_row(row), "discard_reason": why, "routing_key": row.routing_key, "bytes": len(row.body)}
    desk.say(shown, [f"{name:<15} {value}" for name, value in shown.items() if value is not None])
    return 0


def _discard_reason(desk: Desk, row: Row[Any]) -> str | None:
    """Open why it was discarded, for staff only."""
    if desk.staff is None or row.sealed_reason is None:
        return None
    try:
        context = parking.reason_context(row.parked_id)
        return desk.opener.open(_clinic(desk, row), context, row.sealed_reason).decode()
    except UnsealError:
        return None


def _clinic(desk: Desk, row: Row[Any]) -> str:
    """Say whose key keeps the reason: a message nobody could read names no clinic, so the first one's."""
    return row.clinic if desk.settings.clinic(row.clinic or "") else desk.settings.clinics[0].id


def _chosen(desk: Desk, arguments: Namespace) -> list[str]:
    """Find what was meant: named ids, one consumer's, or all; never everything by accident."""
    if not (arguments.ids or arguments.consumer or arguments.all):
        raise WrongUseError("name ids, or --consumer, or --all")
    query = select(table.c.parked_id).where(table.c.state == "parked").order_by(table.c.parked_at)
    if arguments.ids:
        query = query.where(table.c.parked_id.in_(arguments.ids) | table.c.event_id.in_(arguments.ids))
    if arguments.consumer:
        query = query.where(table.c.consumer == arguments.consumer)
    if arguments.since:
        query = query.where(table.c.parked_at >= _instant(arguments.since))
    with desk.store.reading() as connection:
        found = list(connection.scalars(query))
    if arguments.ids and len(found) < len(set(arguments.ids)):
        raise WrongUseError("not every id is parked; nothing was done")
    return found


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongUseError(f"{text}: is not a time like 2026-05-12T09:00:00+09:00") from None


def _replay(desk: Desk, arguments: Namespace) -> int:
    desk.required_staff("parked.replay", _subject(arguments.ids))
    ids = _chosen(desk, arguments)
    size = max(1, int(arguments.rate)) if arguments.rate else max(1, len(ids))
    done = 0
    for start in range(0, max(1, len(ids)), size):
        if start:
            time.sleep(size / arguments.rate)
        with desk.store.transaction() as connection:
            done += parking.ask_replay(connection, ids[start : start + size])
            if not start:
                # With the first of them: who breaks a slow replay off has replayed something.
                desk.log_deed(connection, "parked.replay", _subject(ids))
    desk.say({"replaying": done}, [f"replaying {done}: the running consumers take them within a second"])
    return 0


def _discard(desk: Desk, arguments: Namespace) -> int:
    staff = desk.required_staff("parked.discard", _subject(arguments.ids))
    ids = _chosen(desk, arguments)

    def seal(row: Row[Any]) -> bytes:
        clinic = _clinic(desk, row)
        public = desk.keyring.epoch_key(clinic, KeyClass.STANDING, desk.now)
        return desk.sealer.seal(public, clinic, parking.reason_context(row.parked_id), arguments.reason.encode())

    with desk.store.transaction() as connection:
        done = parking.discard(connection, ids, staff.id, seal, desk.now)
        desk.log_deed(connection, "parked.discard", _subject(ids))
    desk.say({"discarded": done}, [f"discarded {done}"])
    return 0


def _subject(ids: list[str]) -> str:
    """Name one message, or say how many."""
    return ids[0] if len(ids) == 1 else f"{len(ids)} messages"
