"""`onshi parked list|groups|show|replay|discard`: messages set aside for a person."""

import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Row, func, select

from pipeline import parking
from pipeline.cli.desk import Desk
from pipeline.cli.instants import instant
from pipeline.cli.main import WrongUseError
from pipeline.sealing import KeyClass, UnsealError
from pipeline.settings import Settings
from pipeline.storage.schema import parked as table

AT_ONCE = 500
_REPLAYED = """: the running consumers take them within seconds
  except those of an edge that is not believed: one is tried every ten minutes, and the first that can be used ends it
  and those of a consumer whose fuse has blown: it takes them after its restart"""
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


_GROUPED = {
    "consumer": "consumer",
    "reason": "reason",
    "type": "event",
    "count": "count",
    "oldest": "oldest (JST)",
    "newest": "newest (JST)",
    "example": "example id",
}


def parked(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        match arguments.action:
            case "list":
                return _list(desk, arguments)
            case "groups":
                return _groups(desk, arguments)
            case "show":
                return _show(desk, arguments.parked_id)
            case "replay":
                return _replay(desk, arguments)
            case _:
                return _discard(desk, arguments)


def _list(desk: Desk, arguments: Namespace) -> int:
    query = select(table).where(table.c.state.in_(("parked", "replaying")), *_filters(arguments))
    if arguments.clinic:
        query = query.where(table.c.clinic == arguments.clinic)
    with desk.store.reading() as connection:
        rows = [_row(row) for row in connection.execute(query.order_by(table.c.parked_at).limit(arguments.limit))]
    desk.show(rows, _COLUMNS, "parked")
    return 0


def _groups(desk: Desk, arguments: Namespace) -> int:
    """Show what is parked by cause, the largest group first: mostly one cause explains them all."""
    cause = (table.c.consumer, table.c.reason, table.c.type)
    query = select(
        *cause,
        func.count().label("count"),
        func.min(table.c.parked_at).label("oldest"),
        func.max(table.c.parked_at).label("newest"),
        func.min(table.c.parked_id).label("example"),
    ).where(table.c.state == "parked", *_filters(arguments))
    if arguments.clinic:
        query = query.where(table.c.clinic == arguments.clinic)
    query = query.group_by(*cause).order_by(func.count().desc(), *cause).limit(arguments.limit)
    with desk.store.reading() as connection:
        rows = [dict(row) for row in connection.execute(query).mappings()]
    desk.show(rows, _GROUPED, "parked, by cause")
    return 0


def _filters(arguments: Namespace) -> list[ColumnElement[bool]]:
    wanted = (
        (table.c.consumer, arguments.consumer),
        (table.c.reason, arguments.cause),
        (table.c.type, arguments.event),
    )
    found = [column == value for column, value in wanted if value]
    if arguments.since:
        found.append(table.c.parked_at >= instant(arguments.since))
    if arguments.until:
        found.append(table.c.parked_at < instant(arguments.until))
    return found


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
    if desk.staff is None or row.sealed_reason is None or not desk.settings.clinics:
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
    """Find what was meant: named ids, a consumer's, a cause of one consumer, or all; never everything by accident."""
    if not (arguments.ids or arguments.consumer or arguments.all):
        raise WrongUseError("name ids, or --consumer (with --cause for one group), or --all")
    query = select(table.c.parked_id).where(table.c.state == "parked", *_filters(arguments))
    if arguments.ids:
        query = query.where(table.c.parked_id.in_(arguments.ids) | table.c.event_id.in_(arguments.ids))
    with desk.store.reading() as connection:
        found = list(connection.scalars(query.order_by(table.c.parked_at, table.c.parked_id)))
    if arguments.ids and len(found) < len(set(arguments.ids)):
        raise WrongUseError("not every id is parked; nothing was done")
    return found


def _parts(ids: Sequence[str], rate: float | None) -> Iterator[Sequence[str]]:
    """Hand out ids at this rate; without one in parts that a statement can hold. Nothing is one empty part."""
    size = AT_ONCE if rate is None else max(1, min(AT_ONCE, int(rate)))
    for start in range(0, max(1, len(ids)), size):
        if start and rate:
            time.sleep(size / rate)
        yield ids[start : start + size]


def _replay(desk: Desk, arguments: Namespace) -> int:
    desk.required_staff("parked.replay", _asked(arguments))
    ids = _chosen(desk, arguments)
    subjects = _subjects(desk, arguments, ids)
    done = 0
    for number, part in enumerate(_parts(ids, arguments.rate)):
        with desk.store.transaction() as connection:
            done += parking.ask_replay(connection, part)
            if number == 0:
                # With the first of them: who breaks a slow replay off has replayed something.
                for subject in subjects:
                    desk.log_deed(connection, "parked.replay", subject)
    desk.say({"replaying": done}, [f"replaying {done}{_REPLAYED if done else ''}"])
    return 0


def _discard(desk: Desk, arguments: Namespace) -> int:
    staff = desk.required_staff("parked.discard", _asked(arguments))
    if not desk.settings.clinics:
        raise WrongUseError("the group has no clinic, and it is a clinic's key that keeps the reason")
    ids = _chosen(desk, arguments)
    subjects = _subjects(desk, arguments, ids)

    def seal(row: Row[Any]) -> bytes:
        clinic = _clinic(desk, row)
        public = desk.keyring.epoch_key(clinic, KeyClass.STANDING, desk.now)
        return desk.sealer.seal(public, clinic, parking.reason_context(row.parked_id), arguments.reason.encode())

    done = 0
    for number, part in enumerate(_parts(ids, arguments.rate)):
        with desk.store.transaction() as connection:
            done += parking.discard(connection, part, staff.id, seal, desk.now)
            if number == 0:
                for subject in subjects:
                    desk.log_deed(connection, "parked.discard", subject)
    desk.say({"discarded": done}, [f"discarded {done}"])
    return 0


def _asked(arguments: Namespace) -> str:
    """Name what was asked for, before anything was looked up."""
    if arguments.ids:
        return " ".join(arguments.ids)
    return f"{arguments.consumer or 'all'} {arguments.cause or 'every cause'}"


def _subjects(desk: Desk, arguments: Namespace, ids: Sequence[str]) -> list[str]:
    """Name what is touched for the access log: each message that was named, else each cause with its count."""
    if arguments.ids or not ids:
        return list(ids) or [_asked(arguments) + ": nothing"]
    found: Counter[tuple[str, str]] = Counter()
    with desk.store.reading() as connection:
        for part in _parts(ids, None):
            query = select(table.c.consumer, table.c.reason).where(table.c.parked_id.in_(part))
            found.update((row.consumer, row.reason) for row in connection.execute(query))
    return [f"{consumer} {reason}: {count}" for (consumer, reason), count in sorted(found.items())]
