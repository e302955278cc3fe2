"""How is it written that a delivery is wanted, done, refused or not to be made? In few statements a batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, case, update

from pipeline.custody import FileOutcome, Receipt
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import deliveries, files, receipts
from pipeline.topology import Role


@dataclass(frozen=True, slots=True)
class Wanted:
    file_id: str
    clinic: str
    revision: int


@dataclass(frozen=True, slots=True)
class Done:
    file_id: str
    clinic: str
    revision: int
    receipt: str
    done_at: datetime


@dataclass(frozen=True, slots=True)
class Refused:
    file_id: str
    clinic: str
    revision: int
    reason: str


@dataclass(frozen=True, slots=True)
class NotWanted:
    """The chart of this clinic is not given such files; nothing is left to do."""

    file_id: str


Write = Wanted | Done | Refused | NotWanted

_WANTED = (
    update(deliveries)
    .where(deliveries.c.file_id == bindparam("of"), deliveries.c.wanted_revision < bindparam("to"))
    .values(wanted_revision=bindparam("to"), wanted_at=bindparam("now"), state="wanted", reason=None)
)
# Answers come in any order: an older one neither ends what a newer revision waits for, nor undoes a newer answer.
_IS_LAST = deliveries.c.wanted_revision <= bindparam("to")
_DONE = (
    update(deliveries)
    .where(deliveries.c.file_id == bindparam("of"), deliveries.c.done_revision < bindparam("to"))
    .values(
        done_revision=bindparam("to"),
        receipt=bindparam("proof"),
        done_at=bindparam("then"),
        state=case((_IS_LAST, "done"), else_=deliveries.c.state),
        reason=case((_IS_LAST, None), else_=deliveries.c.reason),
    )
)
_REFUSED = (
    update(deliveries)
    .where(
        deliveries.c.file_id == bindparam("of"),
        deliveries.c.wanted_revision == bindparam("to"),
        deliveries.c.done_revision < bindparam("to"),
    )
    .values(state="refused", reason=bindparam("why"))
)


def write_all(connection: Connection, writes: Sequence[object], now: datetime) -> None:
    """Write what was decided; writing the same twice, or in another order, ends in the same rows."""
    about = [one for one in writes if isinstance(one, Wanted | Done | Refused)]
    # An answer may come before its order is known here, after the store was restored from a backup.
    insert_new(connection, deliveries, [_new_row(one, now) for one in about])
    _each(
        connection, _WANTED, [{"of": o.file_id, "to": o.revision, "now": now} for o in about if isinstance(o, Wanted)]
    )
    done = [one for one in about if isinstance(one, Done)]
    _each(
        connection,
        _DONE,
        [{"of": o.file_id, "to": o.revision, "proof": o.receipt, "then": o.done_at} for o in done],
    )
    _each(
        connection,
        _REFUSED,
        [{"of": o.file_id, "to": o.revision, "why": o.reason} for o in about if isinstance(o, Refused)],
    )
    over = [one.file_id for one in writes if isinstance(one, Done | NotWanted)]
    _finish(connection, over, now)


def _new_row(one: Wanted | Done | Refused, now: datetime) -> dict[str, object]:
    return {
        "file_id": one.file_id,
        "clinic": one.clinic,
        "wanted_revision": one.revision,
        "done_revision": 0,
        "state": "wanted",
        "wanted_at": now,
    }


def _finish(connection: Connection, file_ids: Sequence[str], now: datetime) -> None:
    if not file_ids:
        return
    rows = [
        {"file_id": file_id, "consumer": Role.FORWARDING.value, "result": Receipt.DONE.value, "at": now}
        for file_id in file_ids
    ]
    insert_new(connection, receipts, rows)
    pending = files.c.file_id.in_(sorted(file_ids)) & (files.c.outcome == FileOutcome.PENDING.value)
    connection.execute(update(files).where(pending).values(outcome=FileOutcome.DELIVERED.value, outcome_at=now))


def _each(connection: Connection, statement: object, rows: Sequence[dict[str, object]]) -> None:
    if rows:
        connection.execute(statement, list(rows))  # type: ignore[call-overload]
