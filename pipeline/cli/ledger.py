"""`onshi consents list`: what patients allowed."""

from argparse import Namespace
from typing import Any

from sqlalchemy import select

from pipeline.cli.desk import Desk
from pipeline.settings import Settings
from pipeline.storage.schema import grants, standings

_CONSENTS = {
    "clinic": "clinic",
    "person": "person",
    "category": "category",
    "source": "source",
    "granted": "granted",
    "consented_at": "consented (JST)",
    "until": "until (JST)",
    "may_ask_now": "now",
}
_PSEUDONYM = 12
"""Hex digits of a person's keyed hash that are shown: enough to tell rows apart, useless elsewhere."""


def consents(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        table = grants if arguments.all else standings
        query = select(table).order_by(table.c.consented_at.desc(), table.c.category).limit(arguments.limit)
        if arguments.clinic:
            query = query.where(table.c.clinic == arguments.clinic)
        with desk.store.reading() as connection:
            rows = [_consent(desk, row) for row in connection.execute(query)]
        desk.log_access("consents.list", f"{len(rows)} answers")
        desk.show(rows, _CONSENTS, "consents")
    return 0


def _consent(desk: Desk, row: Any) -> dict[str, Any]:
    return {
        "grant_id": row.grant_id,
        "clinic": row.clinic,
        "person": row.person_hash[:_PSEUDONYM] if desk.staff else None,
        "category": row.category,
        "source": row.source,
        "granted": row.granted,
        "consented_at": row.consented_at,
        "until": row.until,
        "may_ask_now": row.granted and (row.until is None or desk.now < row.until),
    }
