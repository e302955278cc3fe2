"""Which files may not be erased, whoever orders it?

A hold is set on a file and covers every copy of it, also one that comes later. It stands from the moment it is
written: the centre orders no erasure of the file any more. `asked` becomes `kept` when every copy's terminal has
answered that it will not erase, and `missed` when the erasure had begun everywhere or nothing was left to hold. Source:
design sections 3 and 7.
"""

import json
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, select, update

from pipeline.custody import Custody
from pipeline.errors import PermanentError
from pipeline.events import derive_id
from pipeline.keyring import Keyring
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError
from pipeline.storage.schema import copies, files, hold_answers, holds


class HoldState(StrEnum):
    ASKED = "asked"
    KEPT = "kept"
    MISSED = "missed"
    RELEASED = "released"


ACTIVE = (HoldState.ASKED.value, HoldState.KEPT.value, HoldState.MISSED.value)
"""A missed hold still stands: it covers copies that may come later."""
GONE = (Custody.ERASED.value, Custody.VANISHED.value)


class HoldError(PermanentError):
    """The hold cannot be set or removed: `unknown_file`, `unknown_hold` or `no_hold`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A terminal's answer for one copy."""

    hold_id: str
    copy_id: str
    kept: bool
    at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a hold has come, by copies that are still there."""

    state: HoldState
    kept: tuple[str, ...] = field(default=())
    missed: tuple[str, ...] = field(default=())
    unanswered: tuple[str, ...] = field(default=())


def reason_context(hold_id: str) -> str:
    return f"hold:{hold_id}"


def add(connection: Connection, keyring: Keyring, *, file_id: str, reason: str, staff: str, now: datetime) -> str:
    """Set a hold; deletion orders it within a second. Returns its id.

    Raises:
        HoldError: there is no such file.
    """
    # The file's row is locked, as deletion locks it before it orders an erasure.
    clinic = connection.scalar(select(files.c.clinic).where(files.c.file_id == file_id).with_for_update())
    if clinic is None:
        raise HoldError("unknown_file")
    hold_id = derive_id("hold", file_id, staff, now.isoformat())
    sealed = _sealed(keyring, clinic, hold_id, reason, now)
    initial = HoldState.ASKED if _live(connection, file_id) else HoldState.MISSED
    connection.execute(
        holds.insert().values(
            hold_id=hold_id,
            file_id=file_id,
            clinic=clinic,
            state=initial.value,
            staff=staff,
            sealed_reason=sealed,
            set_at=now,
        )
    )
    return hold_id


def remove(connection: Connection, keyring: Keyring, *, file_id: str, reason: str, staff: str, now: datetime) -> int:
    """Release every hold on a file; deletion tells its terminals within a second. Returns how many there were.

    Raises:
        HoldError: there is none.
    """
    where = (holds.c.file_id == file_id) & holds.c.state.in_(ACTIVE)
    rows = connection.execute(select(holds.c.hold_id, holds.c.clinic).where(where).with_for_update()).all()
    if not rows:
        raise HoldError("no_hold")
    for row in rows:
        connection.execute(
            update(holds)
            .where(holds.c.hold_id == row.hold_id)
            .values(
                state=HoldState.RELEASED.value,
                released_at=now,
                released_by=staff,
                ordered_until=None,
                sealed_release_reason=_sealed(keyring, row.clinic, row.hold_id, reason, now),
            )
        )
    return len(rows)


def _sealed(keyring: Keyring, clinic: str, hold_id: str, reason: str, now: datetime) -> bytes:
    public = keyring.epoch_key(clinic, KeyClass.STANDING, now)
    return Sealer().seal(public, clinic, reason_context(hold_id), json.dumps({"reason": reason}).encode())


def open_reason(opener: Opener, clinic: str, hold_id: str, sealed: bytes | None) -> str | None:
    """Open why a hold was set or released; None where nothing was said or its key is gone."""
    if sealed is None:
        return None
    try:
        return str(json.loads(opener.open(clinic, reason_context(hold_id), sealed))["reason"])
    except (UnsealError, ValueError, KeyError):
        return None


def listing(connection: Connection, *, with_released: bool = False) -> list[dict[str, Any]]:
    """List holds, newest first, with their reasons sealed."""
    columns = (holds.c.hold_id, holds.c.file_id, holds.c.clinic, holds.c.state, holds.c.staff, holds.c.set_at)
    released = (holds.c.released_at, holds.c.released_by, holds.c.sealed_reason, holds.c.sealed_release_reason)
    query = select(*columns, *released).order_by(holds.c.set_at.desc())
    if not with_released:
        query = query.where(holds.c.state.in_(ACTIVE))
    return [dict(row._mapping) for row in connection.execute(query)]  # noqa: SLF001 - the public way to a row's names


def state(connection: Connection, hold_id: str) -> str:
    """Say where a hold stands now, by the answers that are in.

    Raises:
        HoldError: there is no such hold.
    """
    return progress(connection, hold_id).state.value


def progress(connection: Connection, hold_id: str) -> Progress:
    """Count the answers of every copy that is still there.

    Raises:
        HoldError: there is no such hold.
    """
    row = connection.execute(select(holds.c.file_id, holds.c.state).where(holds.c.hold_id == hold_id)).first()
    if row is None:
        raise HoldError("unknown_hold")
    query = select(hold_answers.c.copy_id, hold_answers.c.kept).where(hold_answers.c.hold_id == hold_id)
    answers = {answer.copy_id: answer.kept for answer in connection.execute(query)}
    live = _live(connection, row.file_id)
    kept = tuple(copy_id for copy_id in live if answers.get(copy_id) is True)
    missed = tuple(copy_id for copy_id in live if answers.get(copy_id) is False)
    unanswered = tuple(copy_id for copy_id in live if copy_id not in answers)
    if row.state == HoldState.RELEASED:
        return Progress(HoldState.RELEASED, kept, missed, unanswered)
    if unanswered:
        # A copy that comes after the answers is held by the centre alone and takes nothing back.
        return Progress(HoldState(row.state), kept, missed, unanswered)
    return Progress(HoldState.KEPT if kept else HoldState.MISSED, kept, missed)


def _live(connection: Connection, file_id: str) -> list[str]:
    query = select(copies.c.copy_id).where(copies.c.file_id == file_id, copies.c.custody.not_in(GONE))
    return list(connection.scalars(query.order_by(copies.c.copy_id)))
