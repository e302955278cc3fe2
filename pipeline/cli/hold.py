"""`onshi hold add|remove|list`: keep the copies of a file from being erased."""

import time
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Connection

from pipeline import holds
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.settings import Settings, Staff

_COLUMNS = {
    "hold_id": "hold",
    "file_id": "file",
    "clinic": "clinic",
    "state": "state",
    "staff": "by",
    "set_at": "set (JST)",
    "reason": "why",
    "released_by": "released by",
    "released_at": "released (JST)",
    "release_reason": "why released",
}
_POLL_SECONDS = 0.2


def hold(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        match arguments.action:
            case "add":
                return _add(desk, arguments)
            case "remove":
                return _remove(desk, arguments)
            case _:
                return _list(desk, arguments)


def _list(desk: Desk, arguments: Namespace) -> int:
    """List holds; why they were set and released is told to staff only, and then leaves a row of the access log."""
    with desk.store.reading() as connection:
        rows = holds.listing(connection, with_released=arguments.released)
    if desk.staff is not None and rows:
        desk.log_access("hold.list", f"{len(rows)} holds")
    desk.show([_shown(desk, row) for row in rows], _COLUMNS, "holds")
    return 0


def _shown(desk: Desk, row: dict[str, Any]) -> dict[str, Any]:
    why, why_released = row.pop("sealed_reason"), row.pop("sealed_release_reason")
    if desk.staff is None:
        why = why_released = None
    told = (holds.open_reason(desk.opener, row["clinic"], row["hold_id"], sealed) for sealed in (why, why_released))
    return {**row, **dict(zip(("reason", "release_reason"), told, strict=True))}


def _add(desk: Desk, arguments: Namespace) -> int:
    """Set a hold and wait until the edge has answered, or the lease has run out."""
    with _deed(desk, "hold.add", arguments.file_id) as (connection, staff):
        why = {"file_id": arguments.file_id, "reason": arguments.reason}
        hold_id = holds.add(connection, desk.keyring, **why, staff=staff.id, now=desk.now)
    state = _wait(desk, hold_id)
    answer: dict[str, Any] = {"hold_id": hold_id, "file_id": arguments.file_id, "state": state}
    said = {
        "kept": "kept: the terminal will not erase it",
        "missed": "missed: its erasure had already begun",
        "asked": "set here; the terminal has not answered yet, and no new erasure is ordered",
    }
    desk.say(answer, [f"hold {hold_id} {said.get(state, state)}"])
    return 0 if state != "missed" else 1


def _wait(desk: Desk, hold_id: str) -> str:
    deadline = time.monotonic() + desk.settings.centre.lease_seconds
    while True:
        with desk.store.reading() as connection:
            state = holds.state(connection, hold_id)
        if state != "asked" or time.monotonic() >= deadline:
            return state
        time.sleep(_POLL_SECONDS)


def _remove(desk: Desk, arguments: Namespace) -> int:
    with _deed(desk, "hold.remove", arguments.file_id) as (connection, staff):
        why = {"file_id": arguments.file_id, "reason": arguments.reason}
        count = holds.remove(connection, desk.keyring, **why, staff=staff.id, now=desk.now)
    desk.say({"released": count}, [f"released {count}"])
    return 0


@contextmanager
def _deed(desk: Desk, name: str, file_id: str) -> Iterator[tuple[Connection, Staff]]:
    """Let a named person do one thing in one transaction; what was done is noted with it, and what was refused too."""
    staff = desk.required_staff(name, file_id)
    try:
        with desk.store.transaction() as connection:
            yield connection, staff
            desk.log_deed(connection, name, file_id)
    except holds.HoldError as error:
        desk.log_access(name, file_id, "refused")
        raise WrongUseError(str(error)) from None
