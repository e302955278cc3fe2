"""`onshi requests list|show|withdraw`: what was asked of the service, and what came of it?"""

from argparse import Namespace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Row, select

from consumers.consent.request_state import RequestState
from consumers.consent.requests import take_back
from pipeline.cli import labels
from pipeline.cli.desk import Desk, as_text
from pipeline.cli.main import WrongUseError
from pipeline.contents import request_context
from pipeline.errors import PermanentError
from pipeline.request_row import RequestDetail, RequestMessage
from pipeline.sealing import UnsealError
from pipeline.settings import Settings
from pipeline.storage.schema import grants
from pipeline.storage.schema import requests as table

_COLUMNS: Final = {
    "request_id": "request",
    "clinic": "clinic",
    "terminal": "terminal",
    "kind_label": "種別",
    "state_label": "状態",
    "reason_label": "理由",
    "asked_by": "依頼者",
    "attempt": "n",
    "wanted_at": "wanted (JST)",
    "ended_at": "ended (JST)",
}
_PLAIN: Final = (
    "request_id",
    "inquiry_id",
    "clinic",
    "terminal",
    "kind",
    "phase",
    "attempt",
    "category",
    "period",
    "state",
    "reason",
    "asked_by",
    "wanted_at",
    "not_before",
    "placed_at",
    "ended_at",
)
_OPEN: Final = (RequestState.WANTED.value, RequestState.PLACED.value)


def requests(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        if arguments.action == "show":
            return _show(desk, arguments.request_id)
        if arguments.action == "withdraw":
            return _withdraw(desk, arguments.request_id)
        query = select(table).order_by(table.c.wanted_at.desc(), table.c.request_id).limit(arguments.limit)
        if arguments.clinic:
            query = query.where(table.c.clinic == arguments.clinic)
        if arguments.inquiry:
            query = query.where(table.c.inquiry_id == arguments.inquiry)
        if arguments.open:
            query = query.where(table.c.state.in_(_OPEN))
        with desk.store.reading() as connection:
            rows = [_row(row) for row in connection.execute(query)]
        desk.show(rows, _COLUMNS, "照会一覧")
    return 0


def _row(row: Row[Any]) -> dict[str, Any]:
    told = {name: getattr(row, name) for name in _PLAIN}
    return {
        **told,
        "kind_label": labels.kind(row.kind),
        "state_label": labels.state(row.state),
        "reason_label": labels.reason(row.reason),
    }


def _show(desk: Desk, request_id: str) -> int:
    with desk.store.reading() as connection:
        row = _find(connection.execute(select(table).where(table.c.request_id == request_id)).first())
        steps = connection.execute(
            select(table).where(table.c.inquiry_id == row.inquiry_id).order_by(table.c.phase, table.c.attempt)
        ).all()
        grant = connection.execute(select(grants).where(grants.c.grant_id == row.grant_id)).first()
    desk.log_access("requests.show", request_id)
    found = {
        **_row(row),
        "history": [{"state": state, "at": at} for state, at in _history(row)],
        "inquiry": {"state": inquiry_state([step.state for step in steps], [step.reason for step in steps])}
        | {"steps": [_row(step) for step in steps]},
        "grant": None if grant is None else _grant(grant),
        "answer_file_id": row.answer_file_id,
        "person": _person(desk, row),
        "message": _message(desk, row),
    }
    desk.say(found, _lines(found))
    return 0


def inquiry_state(states: list[str], reasons: list[str | None]) -> str:
    """Say how an inquiry stands from its steps, in their order: as its last one, and while it waits, `processing`."""
    last = states[-1]
    waits = len(states) > 1 and last in _OPEN
    return "processing" if waits or reasons[-1] == "still_processing" else last


def _find(row: Row[Any] | None) -> Row[Any]:
    if row is None:
        raise WrongUseError("there is no such request")
    return row


def _history(row: Row[Any]) -> list[tuple[str, datetime]]:
    """List what happened when; a request that ended without having been placed has no such step."""
    happened = [("wanted", row.wanted_at), ("placed", row.placed_at)]
    if row.state not in _OPEN:
        happened.append((row.state, row.ended_at))
    return [(state, at) for state, at in happened if at is not None]


def _grant(row: Row[Any]) -> dict[str, Any]:
    names = ("grant_id", "category", "source", "consented_at", "until")
    return {name: getattr(row, name) for name in names}


def _person(desk: Desk, row: Row[Any]) -> dict[str, Any] | None:
    """Name whom it was about, for staff; None for others, and where many are asked for."""
    raw = _open(desk, row, row.sealed_request)
    if raw is None:
        return None
    detail = RequestDetail.model_validate_json(raw)
    told = detail.model_dump(exclude={"base_name", "arbitrary_file_identifier", "reception_number"}, exclude_none=True)
    return told or None


def _message(desk: Desk, row: Row[Any]) -> dict[str, Any] | None:
    raw = None if row.sealed_message is None else _open(desk, row, row.sealed_message)
    return None if raw is None else RequestMessage.model_validate_json(raw).model_dump()


def _open(desk: Desk, row: Row[Any], sealed: bytes) -> bytes | None:
    if desk.staff is None:
        return None
    try:
        return desk.opener.open(row.clinic, request_context(row.request_id), sealed)
    except UnsealError:
        return None


def _lines(found: dict[str, Any]) -> list[str]:
    reason = f"（{found['reason_label']}）" if found["reason_label"] else ""
    lines = [
        f"{found['kind_label']}  {found['state_label']}{reason}",
        f"依頼者 {found['asked_by']}   {found['clinic']}/{found['terminal']}",
        *(f"{labels.state(step['state'])}  {as_text(step['at'])}" for step in found["history"]),
    ]
    if found["grant"]:
        lines.append(f"同意 {found['grant']['grant_id']}  期限 {as_text(found['grant']['until'])}")
    if found["person"]:
        lines.append("対象 " + " ".join(str(value) for value in found["person"].values()))
    if found["message"]:
        lines.append(f"メッセージ {found['message']['code'] or ''} {found['message']['text'] or ''}".rstrip())
    steps = found["inquiry"]["steps"]
    if len(steps) > 1:
        lines.append(f"一連の照会 {labels.state(found['inquiry']['state'])}")
        lines += [f"  {step['request_id']} {step['phase']}-{step['attempt']} {step['state_label']}" for step in steps]
    return lines


def _withdraw(desk: Desk, request_id: str) -> int:
    deed = "requests.withdraw"
    desk.required_staff(deed, request_id)
    with desk.store.transaction() as connection:
        row = _find(connection.execute(select(table).where(table.c.request_id == request_id)).first())
        done = take_back(connection, request_id, desk.now)
        desk.log_deed(connection, deed, request_id, "done" if done else "refused")
    if not done:
        raise PermanentError("too_late", _why_not(row))
    desk.say({"request_id": request_id, "state": RequestState.WITHDRAWN.value}, [f"withdrawn: {request_id}"])
    return 0


def _why_not(row: Row[Any]) -> str:
    if row.state in _OPEN:
        return f"the terminal has it; what nobody answers it takes back at {as_text(row.withdraw_at)}"
    return f"it has ended already: {labels.state(row.state)}"
