"""`onshi consents list|show|uses|missed`: what may be asked for whom until when, what was asked, what ran out?

Persons are shown by the first digits of their keyed hash; by a chart number they are found, never shown.
"""

import re
from argparse import Namespace
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, and_, exists, func, or_, select, union

from consumers.consent.grants import MARGIN
from pipeline import persons
from pipeline.cli.desk import Desk, as_text
from pipeline.cli.main import WrongUseError
from pipeline.settings import Settings
from pipeline.storage.schema import fetch_runs, grants, requests, results, standings, unheld_answers

_LIST = {
    "clinic": "clinic",
    "person": "person",
    "category": "category",
    "source": "source",
    "granted": "granted",
    "consented_at": "consented (JST)",
    "until": "until (JST)",
    "may_ask_now": "now",
}
_USES = {
    "request_id": "request",
    "clinic": "clinic",
    "person": "person",
    "category": "category",
    "file_category": "form",
    "period": "month",
    "state": "state",
    "reason": "reason",
    "asked_by": "asked by",
    "placed_at": "asked (JST)",
    "consented_at": "consented (JST)",
    "until": "until (JST)",
}
_MISSED = {
    "clinic": "clinic",
    "person": "person",
    "category": "category",
    "reason": "reason",
    "consented_at": "consented (JST)",
    "until": "until (JST)",
    "file_id": "file",
}
_PSEUDONYM: Final = 12
"""Hex digits of a person's keyed hash that are shown: enough to tell rows apart, useless elsewhere."""
_CODE: Final = re.compile(r"[0-9a-f]{12,64}")
_FETCHED: Final = ("medication", "checkup", "diagnosis")
"""Categories under which something can be asked of the service today."""
_LABELS: Final = {
    "medication": "薬剤情報",
    "checkup": "特定健診情報",
    "diagnosis": "診療情報",
    "operation": "手術情報",
    "disease_name": "傷病名",
    "infection": "感染症",
    "allergy": "その他アレルギー",
    "drug_allergy": "薬剤アレルギー",
    "test": "検査",
    "prescription": "処方情報",
}


def consents(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        return _ACTIONS[arguments.action](desk, arguments)


def _list(desk: Desk, arguments: Namespace) -> int:
    table = grants if arguments.all else standings
    query = select(table).order_by(table.c.consented_at.desc(), table.c.category).limit(arguments.limit)
    if arguments.clinic:
        query = query.where(table.c.clinic == arguments.clinic)
    with desk.store.reading() as connection:
        rows = [_consent(desk, row) for row in connection.execute(query)]
    desk.log_access("consents.list", f"{len(rows)} answers")
    desk.show(rows, _LIST, "consents")
    return 0


def _consent(desk: Desk, row: Any) -> dict[str, Any]:
    return {
        "grant_id": row.grant_id,
        "clinic": row.clinic,
        "person": _person(desk, row.person_hash),
        "category": row.category,
        "source": row.source,
        "granted": row.granted,
        "consented_at": row.consented_at,
        "until": row.until,
        # The ledger keeps grants that prove nothing; what stands is never one of them.
        "may_ask_now": _is_open(desk, row) and getattr(row, "may_request", True),
    }


def _is_open(desk: Desk, row: Any) -> bool:
    has_begun = row.consented_at - MARGIN <= desk.now
    return bool(row.granted and has_begun and (row.until is None or desk.now < row.until - MARGIN))


def _person(desk: Desk, hashed: str | None) -> str | None:
    return hashed[:_PSEUDONYM] if hashed and desk.staff else None


def _show(desk: Desk, arguments: Namespace) -> int:
    """Answer for one person: what may be asked now and until when, and what was asked under which grant."""
    desk.required_staff("consents.show", "-")
    with desk.store.reading() as connection:
        found = _people(connection, desk, arguments)
        answers = connection.execute(
            select(standings).where(_is_among(standings, found)).order_by(standings.c.source, standings.c.category)
        ).all()
        uses = [_use(desk, row) for row in connection.execute(_uses_query(_is_among(requests, found)))]
    if not answers:
        desk.log_access("consents.show", "-", "unknown")
        raise WrongUseError("nobody of that number has given an answer: give a chart number, or 12 digits of the list")
    desk.log_access("consents.show", " ".join(sorted({hashed[:_PSEUDONYM] for _, hashed in found})))
    now = [_consent(desk, row) for row in answers]
    shown = {"standing": now, "uses": uses}
    lines = [_line(row) for row in now]
    lines += [f"{len(uses)} requests were made under these consents (onshi consents uses)"]
    desk.say(shown, lines)
    return 0


def _line(row: dict[str, Any]) -> str:
    label = f"{_LABELS.get(row['category'], '')} {row['category']}"
    if not row["granted"]:
        return f"{label} ({row['source']}): 同意なし refused"
    until = "期限なし open-ended" if row["until"] is None else as_text(row["until"])
    word = "照会可 may be asked until" if row["may_ask_now"] else "期限切れ over since"
    return f"{label} ({row['source']}): {word} {until}"


def _people(connection: Connection, desk: Desk, arguments: Namespace) -> set[tuple[str, str]]:
    """Find persons by the digits of the list, or by a chart number in the clinics asked for."""
    who = arguments.who
    clinics = [clinic.id for clinic in desk.settings.clinics if arguments.clinic in (None, clinic.id)]
    if _CODE.fullmatch(who):
        query = select(standings.c.clinic, standings.c.person_hash).distinct()
        query = query.where(standings.c.person_hash.startswith(who), standings.c.clinic.in_(clinics))
        if found := {(row.clinic, row.person_hash) for row in connection.execute(query)}:
            return found
    hashes = {persons.patient_hash(desk.keyring.identity(clinic), who): clinic for clinic in clinics}
    parts = [
        select(table.c.clinic, table.c.person_hash, table.c.patient_hash).where(
            table.c.patient_hash.in_(sorted(hashes))
        )
        for table in (results, grants, requests)
    ]
    rows = connection.execute(union(*parts))
    return {(row.clinic, row.person_hash) for row in rows if row.person_hash and hashes[row.patient_hash] == row.clinic}


def _is_among(table: Any, found: set[tuple[str, str]]) -> ColumnElement[bool]:
    same = [and_(table.c.clinic == clinic, table.c.person_hash == hashed) for clinic, hashed in sorted(found)]
    return or_(*same) if same else table.c.clinic.is_(None)


def _uses_query(where: ColumnElement[bool]) -> Any:
    told = (grants.c.consented_at, grants.c.until)
    query = select(requests, *told).join(grants, grants.c.grant_id == requests.c.grant_id)
    return query.where(where).order_by(requests.c.wanted_at.desc(), requests.c.period.desc(), requests.c.request_id)


def _use(desk: Desk, row: Any) -> dict[str, Any]:
    names = ("request_id", "grant_id", "treatment_grant_id", "clinic", "category", "kind", "file_category", "period")
    more = ("state", "reason", "asked_by", "wanted_at", "placed_at", "ended_at", "consented_at", "until")
    return {name: getattr(row, name) for name in (*names, *more)} | {"person": _person(desk, row.person_hash)}


def _uses(desk: Desk, arguments: Namespace) -> int:
    where = requests.c.clinic == arguments.clinic if arguments.clinic else requests.c.clinic.is_not(None)
    with desk.store.reading() as connection:
        rows = [_use(desk, row) for row in connection.execute(_uses_query(where).limit(arguments.limit))]
    desk.log_access("consents.uses", f"{len(rows)} requests")
    desk.show(rows, _USES, "uses of consents")
    return 0


def _missed(desk: Desk, arguments: Namespace) -> int:
    with desk.store.reading() as connection:
        rows = [*_ran_out(connection, desk, arguments.clinic), *_thin(connection, arguments.clinic)]
    rows = sorted(rows, key=lambda row: row["until"] or row["consented_at"], reverse=True)[: arguments.limit]
    desk.log_access("consents.missed", f"{len(rows)} consents")
    desk.show(rows, _MISSED, "consents that ran out unasked")
    return 0


def _ran_out(connection: Connection, desk: Desk, clinic: str | None) -> list[dict[str, Any]]:
    """List grants that stood until their limit with nothing asked under them, and why."""
    later = grants.alias()
    same = and_(
        later.c.clinic == grants.c.clinic,
        later.c.person_hash == grants.c.person_hash,
        later.c.category == grants.c.category,
        later.c.source == grants.c.source,
    )
    counts = or_(later.c.may_request.is_(True), later.c.granted.is_(False))
    was_replaced = exists().where(
        same, counts, later.c.consented_at >= grants.c.consented_at, later.c.consented_at < grants.c.until,
        later.c.grant_id != grants.c.grant_id,
    )  # fmt: skip
    under_it = or_(requests.c.grant_id == grants.c.grant_id, requests.c.treatment_grant_id == grants.c.grant_id)
    was_used = exists().where(under_it, requests.c.placed_at.is_not(None))
    reason = select(func.max(requests.c.reason)).where(under_it).scalar_subquery()
    result = select(func.max(fetch_runs.c.result)).where(fetch_runs.c.grant_id == grants.c.grant_id).scalar_subquery()
    query = select(grants, reason.label("reason"), result.label("result")).where(
        grants.c.granted.is_(True),
        grants.c.may_request.is_(True),
        grants.c.category.in_(_FETCHED),
        grants.c.until <= desk.now,
        ~was_used,
        ~was_replaced,
    )
    if clinic:
        query = query.where(grants.c.clinic == clinic)
    return [
        {
            "grant_id": row.grant_id,
            "clinic": row.clinic,
            "person": _person(desk, row.person_hash),
            "category": row.category,
            "reason": row.reason or row.result or "never_asked",
            "consented_at": row.consented_at,
            "until": row.until,
            "file_id": row.file_id,
        }
        for row in connection.execute(query)
    ]


def _thin(connection: Connection, clinic: str | None) -> list[dict[str, Any]]:
    """List answers that granted something and could be tied to nobody."""
    query = select(unheld_answers).where(unheld_answers.c.granted > 0)
    if clinic:
        query = query.where(unheld_answers.c.clinic == clinic)
    return [
        {
            "grant_id": None,
            "clinic": row.clinic,
            "person": None,
            "category": None,
            "reason": row.reason,
            "consented_at": row.recorded_at,
            "until": None,
            "file_id": row.file_id,
        }
        for row in connection.execute(query)
    ]


_ACTIONS: Final = {"list": _list, "show": _show, "uses": _uses, "missed": _missed}
