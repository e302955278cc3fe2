"""`onshi clinical list|show`: medication (薬剤情報) and checkups (特定健診情報) of one patient, for who may see them.

The two rights are separate, and each use of either leaves its own row in the access log, also a refused one. The
log names the patient by a keyed hash.
"""

import re
from argparse import Namespace
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

from pipeline.cli.desk import Desk, as_text, print_table
from pipeline.cli.main import WrongUseError
from pipeline.clinical.rows import CheckupRow, DrugRow, Source, TreatmentRow
from pipeline.clinical_rows import Clinical, ClinicalHistory, HeldAnswer, answers_of, history_of
from pipeline.errors import PermanentError
from pipeline.hidden import Hidden
from pipeline.persons import patient_hash
from pipeline.settings import Settings, Staff

_PSEUDONYM: Final = 12
"""Hex digits of the patient's keyed hash that the access log names."""

_SOURCES: Final = {Source.RECEIPT: "レセプト", Source.DISPENSED: "調剤", Source.PRESCRIBED: "処方"}
_ANSWERS: Final = {
    "file_id": "file",
    "kind": "種別",
    "form": "form",
    "month": "対象年月",
    "processed_at": "取得日時 (JST)",
    "request_id": "request",
}
_DRUGS: Final = {
    "day": "調剤日・処方日",
    "source": "出典",
    "place": "医療機関・薬局",
    "name": "薬剤名",
    "amount": "用量",
    "times": "日数・回数",
    "usage": "用法",
    "duplicate": "重複",
}
_TREATMENTS: Final = {
    "day": "診療日",
    "place": "医療機関",
    "name": "診療行為",
    "amount": "数量",
    "times": "回数",
}
_CHECKUPS: Final = {"day": "実施日", "code": "JLAC10", "name": "項目", "value": "結果", "unit": "単位"}
_MARKS: Final = {"below": "未満", "at_most": "以下", "at_least": "以上", "above": "超"}


class NotAllowedError(PermanentError):
    """This member of staff may not see this kind of clinical information."""

    def __init__(self, kinds: Sequence[Clinical]) -> None:
        rights = " or ".join(f"view_{kind}" for kind in kinds)
        super().__init__("not_allowed", f"needs {rights} under [[staff]]")


def clinical(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        clinic, since = _clinic(settings, arguments.clinic), _day(arguments.since)
        whose = patient_hash(desk.keyring.identity(clinic), arguments.patient_id)
        kinds = _allowed_kinds(desk, arguments, clinic, whose)
        if arguments.action == "list":
            with desk.store.reading() as connection:
                answers = answers_of(connection, clinic, whose, kinds)
            _list(desk, answers)
            return 0
        with desk.store.reading() as connection:
            history = history_of(connection, clinic, whose, kinds, desk.opener, since)
        _show(desk, history, kinds)
    return 0


def may_view(staff: Staff, kind: Clinical) -> bool:
    """Say whether a member of staff has the right to see this kind."""
    return staff.view_medication if kind is Clinical.MEDICATION else staff.view_checkup


def _allowed_kinds(desk: Desk, arguments: Namespace, clinic: str, whose: str) -> tuple[Clinical, ...]:
    """Choose the kinds to show and log the use of each right before anything is shown.

    Raises:
        NotAllowedError: the kind that was named, or every kind, is not for who asks.
    """
    deed = f"clinical.{arguments.action}"
    wanted = (Clinical(arguments.kind),) if arguments.kind else tuple(Clinical)
    staff = desk.required_staff(deed, _subject(clinic, whose, wanted))
    allowed = tuple(kind for kind in wanted if may_view(staff, kind))
    if not allowed:
        desk.log_access(deed, _subject(clinic, whose, wanted), "refused")
        raise NotAllowedError(wanted)
    for kind in allowed:
        desk.log_access(deed, _subject(clinic, whose, (kind,)))
    return allowed


def _subject(clinic: str, whose: str, kinds: Sequence[Clinical]) -> str:
    return f"{clinic} {whose[:_PSEUDONYM]} {' '.join(kinds)}"


def _clinic(settings: Settings, named: str | None) -> str:
    if named is None and len(settings.clinics) != 1:
        raise WrongUseError("there is not one clinic: name it with --clinic")
    clinic = settings.clinics[0] if named is None else settings.clinic(named)
    if clinic is None:
        raise WrongUseError(f"{named}: there is no such clinic")
    return clinic.id


def _day(text: str | None) -> date | None:
    """Read `YYYY-MM-DD`, or `YYYY-MM` as its first day."""
    if text is None:
        return None
    if re.fullmatch(r"[0-9]{4}-[0-9]{2}(-[0-9]{2})?", text):
        try:
            return date.fromisoformat(text if len(text) > len("YYYY-MM") else f"{text}-01")
        except ValueError:
            pass
    raise WrongUseError("--since: write YYYY-MM or YYYY-MM-DD")


def _list(desk: Desk, answers: Sequence[HeldAnswer]) -> None:
    rows = [
        {
            "file_id": one.file_id,
            "kind": one.kind.value,
            "form": one.form.value,
            "month": one.month,
            "request_id": one.request_id,
            "processed_at": one.processed_at,
            "captured_at": one.captured_at,
        }
        for one in answers
    ]
    desk.show(rows, _ANSWERS, "薬剤情報・特定健診情報")


def _show(desk: Desk, history: ClinicalHistory, kinds: Sequence[Clinical]) -> None:
    shown: dict[str, Any] = {"unreadable": list(history.unreadable)}
    if Clinical.MEDICATION in kinds:
        shown["drugs"] = _dumped(history.medication.drugs)
        shown["treatments"] = _dumped(history.medication.treatments)
    if Clinical.CHECKUP in kinds:
        shown["checkup_items"] = _dumped(history.checkups)
    if desk.json:
        desk.say(shown, ())
        return
    if Clinical.MEDICATION in kinds:
        print_table([_drug(row) for row in history.medication.drugs], _DRUGS, "薬剤情報")
        print_table([_treatment(row) for row in history.medication.treatments], _TREATMENTS, "診療情報")
    if Clinical.CHECKUP in kinds:
        print_table([_checkup(row) for row in history.checkups], _CHECKUPS, "特定健診情報")
    if history.unreadable:
        print(f"{len(history.unreadable)} answers can no longer be read: their key has ended")


def _dumped(rows: Sequence[Hidden]) -> list[dict[str, Any]]:
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def _drug(row: DrugRow) -> dict[str, Any]:
    return {
        "day": row.day or row.month,
        "source": _SOURCES[row.source],
        "place": row.place.name or row.place.code,
        "name": row.name or row.code,
        "amount": _with_unit(row.amount_text, row.unit),
        "times": row.times,
        "usage": "/".join(part for part in (row.usage, row.special_instruction) if part),
        "duplicate": row.duplicate_of is not None,
    }


def _treatment(row: TreatmentRow) -> dict[str, Any]:
    return {
        "day": row.day or row.month,
        "place": row.place.name or row.place.code,
        "name": row.name or row.code,
        "amount": _with_unit(row.amount_text, row.unit),
        "times": row.times,
    }


def _checkup(row: CheckupRow) -> dict[str, Any]:
    mark = _MARKS.get(row.bound.value, "") if row.bound else ""
    value = (
        f"{row.number}{mark}" if row.bound else " ".join(as_text(part) for part in (row.value, row.value_name) if part)
    )
    return {"day": row.day, "code": row.code, "name": row.name, "value": value, "unit": row.unit}


def _with_unit(text: str | None, unit: str | None) -> str:
    return f"{text or ''}{unit or ''}"
