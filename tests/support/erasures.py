"""How does a test follow a copy to its end: what is ordered, what its terminal answers, and what holds it?"""

from datetime import datetime, timedelta

from consumers.deletion import Deletion
from pipeline import holds
from pipeline.events import (
    EdgeReported,
    ErasureFailed,
    ErasureOrder,
    Event,
    FileVanished,
    HoldKept,
    HoldMissed,
)
from tests.support.centre import Centre
from tests.support.copies import FILE, NOW, copy_id

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=120)


def orders(centre: Centre, deletion: Deletion, now: datetime = NOW) -> list[ErasureOrder]:
    return [event for event in due(centre, deletion, now) if isinstance(event, ErasureOrder)]


def due(centre: Centre, deletion: Deletion, now: datetime = NOW) -> list[Event]:
    return centre.due(deletion, now)


def vanished(name: str = "a") -> FileVanished:
    return FileVanished(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), noticed_at=NOW)


def failed(reason: str = "permission", name: str = "a") -> ErasureFailed:
    return ErasureFailed(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), reason=reason, failed_at=NOW)


def report(centre: Centre, deletion: Deletion, *, reliable: bool = True, ahead: int = 0) -> None:
    report = EdgeReported(
        clinic="c1",
        edge="t1",
        reported_at=NOW + ahead * SECOND,
        software="1",
        custody={},
        backlog=0,
        oldest_seconds=0,
        free_bytes=1,
        clock_reliable=reliable,
    )
    centre.handle(deletion, report, NOW)


def hold(centre: Centre) -> str:
    with centre.store.transaction() as connection:
        return holds.add(connection, centre.keyring, file_id=FILE, reason="dispute", staff="s1", now=NOW)


def kept(hold_id: str, name: str = "a") -> HoldKept:
    return HoldKept(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), hold_id=hold_id)


def missed(hold_id: str, name: str = "a") -> HoldMissed:
    return HoldMissed(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), hold_id=hold_id)


def hold_state(centre: Centre, hold_id: str) -> str:
    with centre.store.reading() as connection:
        return holds.state(connection, hold_id)
