"""`onshi results list|confirm|reopen`: the result list (資格確認結果一覧), and what people decide on it."""

from argparse import Namespace
from datetime import timedelta
from typing import Any

from sqlalchemy import Row, select

from consumers.reconciliation import review
from pipeline import outbox
from pipeline.cli.desk import Desk, print_table
from pipeline.cli.main import WrongUseError
from pipeline.contents import result_context
from pipeline.results import ResultDetail
from pipeline.sealing import UnsealError
from pipeline.settings import Settings
from pipeline.storage.schema import results as table
from pipeline.topology import Role
from pipeline.verdicts import read_codes

COLUMNS = {
    "reference_number": "照会番号",
    "insurer_number": "保険者番号",
    "symbol_number": "記号・番号・枝番",
    "name": "氏名",
    "kana": "カナ",
    "labels": "確認結果",
    "needs_review": "要確認",
}

_DECIDED_BY = {"candidates": "候補（患者番号）", "subject": "結果ID"}

_WHY = {
    "unknown_file": "there is no such file",
    "unknown_result": "the file has no such result",
    "which_result": "the file has several results: name one as FILE_ID#RESULT, from 0",
    "not_reconciled": "there is no patient list yet, so nothing can be decided",
    "patient_needed": "nobody was matched: say who it is with --patient",
    "not_on_list": "--patient: is not on the current patient list",
    "rejected": "the file was rejected",
    "foreign_answer": "the answer names another person than was asked for",
    "unreadable": "the file has no record that could be decided on",
}


def results(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        if arguments.action == "list":
            rows = listing(desk, arguments.clinic, arguments.limit, review_only=arguments.review)
            if desk.staff:
                desk.log_access("results.list", f"{len(rows)} results")
            desk.show(rows, {}, "") if desk.json else _show_with_step(rows, review_only=arguments.review)
            return 0
        return _decide(desk, arguments)


def show_list(rows: list[dict[str, Any]], *, for_review: bool = False) -> None:
    """Print the result list as reception staff know it; for review with what a decision is said by."""
    columns = {**COLUMNS, **_DECIDED_BY} if for_review else COLUMNS
    print_table([_for_people(row) for row in rows], columns, "資格確認結果一覧")


def _show_with_step(rows: list[dict[str, Any]], *, review_only: bool) -> None:
    show_list(rows, for_review=review_only)
    left = sum(row["needs_review"] and not row["confirmed_at"] for row in rows)
    if left and review_only:
        print('確定するには: onshi results confirm 結果ID --patient 患者番号 --reason "理由"')
    elif left:
        print(f"要確認 {left} 件。候補と結果IDを見るには: onshi results list --review")


def listing(
    desk: Desk, clinic: str | None = None, limit: int | None = None, *, review_only: bool = False
) -> list[dict[str, Any]]:
    query = select(table).order_by(table.c.processed_at, table.c.file_id, table.c.result).limit(limit)
    if clinic:
        query = query.where(table.c.clinic == clinic)
    if review_only:
        query = query.where(table.c.needs_review, table.c.confirmed_at.is_(None))
    with desk.store.reading() as connection:
        return [_row(desk, row) for row in connection.execute(query)]


def _row(desk: Desk, row: Row[Any]) -> dict[str, Any]:
    detail = detail_of(desk, row)
    return {
        "file_id": row.file_id,
        "result": row.result,
        "clinic": row.clinic,
        "reference_number": detail.reference_number,
        "insurer_number": detail.insurer_number,
        "symbol": detail.symbol,
        "number": detail.number,
        "branch_number": detail.branch_number,
        "name": detail.name,
        "kana": detail.kana,
        "patient_id": detail.patient_id,
        "candidates": list(detail.candidates),
        "verdicts": row.verdicts.split(),
        "needs_review": row.needs_review,
        "state": row.state,
        "confirmed_by": row.confirmed_by,
        "confirmed_at": row.confirmed_at,
    }


def detail_of(desk: Desk, row: Row[Any]) -> ResultDetail:
    """Open what belongs to the patient, for staff only; a destroyed key leaves the row without names."""
    if desk.staff is None:
        return ResultDetail()
    try:
        raw = desk.opener.open(row.clinic, result_context(row.file_id, row.result), row.sealed_result)
    except UnsealError:
        return ResultDetail()
    return ResultDetail.model_validate_json(raw)


def _for_people(row: dict[str, Any]) -> dict[str, Any]:
    parts = [part for part in (row["symbol"], row["number"], row["branch_number"]) if part]
    labels = "・".join(verdict.label for verdict in read_codes(" ".join(row["verdicts"]))) or "（患者一覧待ち）"
    return {
        **row,
        "subject": f"{row['file_id']}#{row['result']}",
        "insurer_number": (row["insurer_number"] or "").strip(),
        "symbol_number": "・".join(parts),
        "labels": labels,
        "needs_review": row["needs_review"] and not row["confirmed_at"],
    }


def _decide(desk: Desk, arguments: Namespace) -> int:
    deed = f"results.{arguments.action}"
    staff = desk.required_staff(deed, arguments.result)
    decision = review.Decision(staff.id, arguments.reason, desk.now)
    repeat = timedelta(seconds=desk.settings.centre.republish_seconds)
    try:
        with desk.store.transaction() as connection:
            if arguments.action == "confirm":
                event = review.confirm(connection, desk.keyring, arguments.result, decision, arguments.patient)
            else:
                event = review.reopen(connection, desk.keyring, arguments.result, decision)
            outbox.add(connection, Role.RECONCILIATION, [(event, None)], desk.now, repeat)
            desk.log_deed(connection, deed, arguments.result)
    except review.ReviewError as error:
        desk.log_access(deed, arguments.result, "refused")
        raise WrongUseError(_WHY.get(error.reason, error.reason)) from None
    done = {"file_id": event.file_id, "revision": event.revision, "needs_review": event.needs_review}
    desk.say({"action": arguments.action, **done}, [f"{arguments.action}: {arguments.result}"])
    return 0
