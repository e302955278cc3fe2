"""`onshi incident`: who is affected? Which records were where during a time, of a clinic, or sealed to a key.

A record counts for a time when it was stored or delivered in it, or lay on a terminal at any moment of it; for a key
when something of it is sealed to that key now. What ended with a destroyed key is not readable by anybody and is not
named. Managers only; each use is in the access log, before anything is shown.
"""

from argparse import Namespace
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, and_, case, func, or_, select

from pipeline.cli.desk import Desk
from pipeline.cli.instants import instant
from pipeline.cli.keys_kept import required_manager
from pipeline.cli.main import WrongUseError
from pipeline.cli.results import detail_of
from pipeline.keyring import EpochKey
from pipeline.retention import is_sealed_to
from pipeline.sealing import KeyClass
from pipeline.settings import Settings
from pipeline.storage.schema import copies, deliveries, files, results

_COLUMNS = {
    "file_id": "record",
    "clinic": "clinic",
    "kind": "kind",
    "patient_id": "患者番号",
    "name": "氏名",
    "seen_at": "on a terminal from (JST)",
    "gone_at": "until (JST)",
    "stored_at": "stored (JST)",
    "delivered_at": "delivered (JST)",
    "is_readable": "still here",
}


def incident(settings: Settings, arguments: Namespace) -> int:
    """List what was exposed; nothing found is an answer, and no failure."""
    start, end = (None if text is None else instant(text) for text in (arguments.start, arguments.end))
    if (start is None) is not (end is None) or (start and end and start >= end):
        raise WrongUseError("--from and --to belong together, the earlier one first")
    if not (start or arguments.clinic or arguments.key):
        raise WrongUseError("say what happened: --from and --to, --clinic or --key")
    with Desk(settings, arguments).closing() as desk:
        subject = " ".join(word for word in (arguments.clinic or "every clinic", arguments.key) if word)
        span = f" {start:%Y-%m-%dT%H:%MZ}/{end:%Y-%m-%dT%H:%MZ}" if start and end else ""
        required_manager(desk, "incident", subject + span)
        key = _key(desk, arguments.key) if arguments.key else None
        query = _query(arguments.clinic, (start, end) if start and end else None, key)
        with desk.store.reading() as connection:
            found = connection.execute(query).all()
        desk.log_access("incident", f"{subject}{span} {len(found)}")
        desk.show([_row(desk, row) for row in found], _COLUMNS, "records")
    return 0


def _key(desk: Desk, identifier: str) -> EpochKey:
    for key in desk.keyring.ring.epochs:
        if key.identifier == identifier:
            return key
    raise WrongUseError(f"{identifier}: is no key of the ring; `onshi keys list --json` names each key_id")


def _query(clinic: str | None, span: tuple[datetime, datetime] | None, key: EpochKey | None) -> Select[Any]:
    places = (
        select(
            copies.c.file_id,
            func.min(copies.c.seen_at).label("seen_at"),
            func.max(copies.c.gone_at).label("gone_at"),
            func.sum(case((copies.c.gone_at.is_(None), 1), else_=0)).label("left"),
        )
        .group_by(copies.c.file_id)
        .subquery()
    )
    of_file = results.c.file_id == files.c.file_id
    query = (
        select(
            files.c.file_id,
            files.c.clinic,
            files.c.kind,
            files.c.stored_at,
            (files.c.sealed_original.is_not(None) | files.c.sealed_record.is_not(None)).label("is_readable"),
            results.c.result,
            results.c.sealed_result,
            deliveries.c.done_at,
            *(places.c[name] for name in ("seen_at", "gone_at", "left")),
        )
        .outerjoin(results, of_file)
        .outerjoin(deliveries, deliveries.c.file_id == files.c.file_id)
        .outerjoin(places, places.c.file_id == files.c.file_id)
        .order_by(files.c.stored_at, files.c.file_id, results.c.result)
    )
    if clinic:
        query = query.where(files.c.clinic == clinic)
    if span:
        query = query.where(_touched(*span))
    if key and key.key_class is KeyClass.STANDING:
        # It opens the patient list and the names of files: nobody of the clinic is left out.
        query = query.where(files.c.clinic == key.clinic)
    elif key:
        query = query.where(is_sealed_to(key))
    return query


def _touched(start: datetime, end: datetime) -> ColumnElement[bool]:
    lay_there = select(copies.c.file_id).where(
        copies.c.seen_at < end, or_(copies.c.gone_at.is_(None), copies.c.gone_at >= start)
    )
    within = (and_(column >= start, column < end) for column in (files.c.stored_at, deliveries.c.done_at))
    return or_(*within, files.c.file_id.in_(lay_there))


def _row(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    detail = detail_of(desk, row) if row.sealed_result is not None else None
    return {
        "file_id": row.file_id,
        "result": row.result,
        "clinic": row.clinic,
        "kind": row.kind,
        "patient_id": detail.patient_id if detail else None,
        "name": detail.name if detail else None,
        "candidates": list(detail.candidates) if detail else [],
        "seen_at": row.seen_at,
        "gone_at": None if row.left else row.gone_at,
        "stored_at": row.stored_at,
        "delivered_at": row.done_at,
        "is_readable": row.is_readable,
    }
