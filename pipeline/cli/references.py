"""`onshi reference-numbers check|export|register`: are our numbers (照会番号) at the service right?"""

import csv
import os
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from consumers.consent.references import ledger, report
from consumers.consent.references.ledger import Write
from consumers.consent.references.report import Finding, Line
from consumers.consent.references.rows import Reference
from consumers.consent.references.state import ReferenceState
from pipeline.cli.desk import Desk, as_text
from pipeline.cli.main import WrongUseError
from pipeline.clinic_settings import Clinic
from pipeline.oqs.times import JST
from pipeline.settings import Settings

_CHECKED: Final = {
    "clinic": "clinic",
    "label": "照会番号",
    "patient_id": "患者番号",
    "number": "登録する番号",
    "carried": "返された番号",
    "insurer_number": "保険者番号",
    "reason": "reason",
    "since": "since (JST)",
}
_LABELS: Final = {
    Finding.WRONG: "相違",
    Finding.SHARED: "重複",
    Finding.NO_PATIENT: "該当患者なし",
    Finding.REFUSED: "登録不可",
    Finding.AMBIGUOUS: "二重カルテ",
    Finding.CHANGED: "保険変更",
    Finding.MISSING: "未登録",
    Finding.NOT_REGISTRABLE: "登録対象外",
    Finding.UNVERIFIED: "未確認",
}
_EXPORTED: Final = (
    "clinic",
    "patient_id",
    "reference_number",
    "insurer_number",
    "symbol",
    "number",
    "branch_number",
    "state",
    "reason",
    "carried",
    "institution_code",
    "registered_at",
    "verified_at",
)


def references(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        clinics = _clinics(desk, arguments.clinic)
        if arguments.action == "check":
            return _check(desk, clinics)
        if arguments.action == "export":
            return _export(desk, clinics, Path(arguments.file))
        return _register(desk, clinics, arguments)


def _clinics(desk: Desk, clinic_id: str | None) -> Sequence[Clinic]:
    if clinic_id is None:
        return desk.settings.clinics
    clinic = desk.settings.clinic(clinic_id)
    if clinic is None:
        raise WrongUseError(f"--clinic: there is no clinic {clinic_id}")
    return [clinic]


def _check(desk: Desk, clinics: Sequence[Clinic]) -> int:
    rows: list[dict[str, Any]] = []
    for clinic in clinics:
        with desk.store.reading() as connection:
            found = report.lines(_book(desk, connection, clinic))
        rows.extend(_row(desk, line) for line in found)
    if desk.staff:
        desk.log_access("reference-numbers.check", f"{len(rows)} numbers")
    desk.show(rows, _CHECKED, "照会番号")
    return 1 if any(Finding(row["finding"]) in report.FAULTS for row in rows) else 0


def _book(desk: Desk, connection: Any, clinic: Clinic) -> report.Book:
    today = desk.now.astimezone(JST).date()
    return report.read(connection, desk.keyring, desk.opener, clinic.id, today)


def _row(desk: Desk, line: Line) -> dict[str, Any]:
    detail, sees = line.reference.detail, desk.staff is not None
    return {
        "clinic": line.reference.key.clinic,
        "finding": line.finding.value,
        "label": _LABELS[line.finding],
        "patient_id": detail.patient_id if sees else None,
        "number": detail.number if sees else None,
        "carried": detail.carried if sees else None,
        "insurer_number": detail.insurer_number if sees else None,
        "reason": line.reason,
        "since": line.since,
    }


def _export(desk: Desk, clinics: Sequence[Clinic], path: Path) -> int:
    desk.required_staff("reference-numbers.export", "-")
    if path.exists():
        raise WrongUseError(f"{path}: is there already")
    rows: list[dict[str, Any]] = []
    for clinic in clinics:
        with desk.store.reading() as connection:
            rows.extend(_exported(one) for one in _book(desk, connection, clinic).stored)
    # First the row of the access log, then the content.
    desk.log_access("reference-numbers.export", f"{len(rows)} numbers")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8-sig", newline="") as target:
        writer = csv.DictWriter(target, _EXPORTED)
        writer.writeheader()
        writer.writerows(rows)
    desk.say({"rows": len(rows)}, [f"{len(rows)} numbers written to {path}"])
    return 0


def _exported(one: report.Stored) -> dict[str, Any]:
    detail = one.reference.detail
    return {
        "clinic": one.reference.key.clinic,
        "patient_id": detail.patient_id,
        "reference_number": detail.number,
        "insurer_number": detail.insurer_number,
        "symbol": detail.symbol,
        "number": detail.card_number,
        "branch_number": detail.branch_number,
        "state": one.state.value,
        "reason": one.reason,
        "carried": detail.carried,
        "institution_code": one.institution_code,
        "registered_at": as_text(one.registered_at),
        "verified_at": as_text(one.verified_at),
    }


def _register(desk: Desk, clinics: Sequence[Clinic], arguments: Namespace) -> int:
    staff = desk.required_staff("reference-numbers.register", "-")
    if len(clinics) > 1 and arguments.patient:
        raise WrongUseError("--patient: say which --clinic")
    count = 0
    for clinic in clinics:
        code = clinic.code_on(desk.now.astimezone(JST).date())
        with desk.store.transaction() as connection:
            chosen = _chosen(_book(desk, connection, clinic), arguments)
            made = [Write(own, ReferenceState.WANTED, code, staff.id) for own in chosen]
            ledger.write(connection, desk.keyring, desk.sealer, made, desk.now)
            desk.log_deed(connection, "reference-numbers.register", f"{clinic.id}: {len(made)} numbers")
        count += len(made)
    if arguments.patient and not count:
        raise WrongUseError("--patient: has no insurance in force that a number could be registered for")
    desk.say({"wanted": count}, [f"{count} numbers are wanted: they are sent within seconds while consent runs"])
    return 0


def _chosen(book: report.Book, arguments: Namespace) -> list[Reference]:
    if arguments.patient:
        return report.of_patient(book, arguments.patient)
    if arguments.all:
        return report.of_everybody(book)
    return report.of_findings(book, Finding.CHANGED if arguments.changed else Finding.MISSING)
