"""Builders: one invented person in the chart and in a file, agreeing until a test says otherwise."""

from datetime import date
from typing import Any

from consumers.reconciliation.chart import Patient, patients_of
from consumers.reconciliation.decision import Case, Decided, decide_file
from consumers.reconciliation.subject import Entry, Subject
from pipeline.patient_row import PatientRow

DAY = date(2026, 5, 12)

_ROW: dict[str, str] = {
    "patient_id": "10234",
    "name": "見本　花子",
    "kana": "ミホン　ハナコ",
    "birthdate": "1985-04-12",
    "sex": "2",
    "postal_code": "9900001",
    "address": "見本県例示市試験町1-2-3",
    "insurer_number": "06999999",
    "symbol": "７００１",
    "number": "1234",
    "branch_number": "00",
    "relationship": "1",
    "burden_ratio": "030",
    "limit_class": "01",
    "limit_flag": "A03",
    "valid_from": "2020-04-01",
    "valid_to": "9999-12-31",
}
_SUBJECT: dict[str, Any] = {
    "reference_numbers": (),
    "insurer_number": "06999999",
    "symbol": "7001",
    "number": "0001234",
    "branch_number": "00",
    "relationship": "1",
    "names": ("見本　花子",),
    "kanas": ("ﾐﾎﾝ ﾊﾅｺ",),
    "sex": "2",
    "birthdate": "19850412",
    "address": "見本県例示市試験町１丁目２番３号",
    "postal_code": "990-0001",
    "limit_class": "01",
    "limit_flag": "A03",
}


def row(**changes: str) -> PatientRow:
    return PatientRow(**(_ROW | changes))


def patient(**changes: str) -> Patient:
    return patients_of([row(**changes)])[0]


def subject(**changes: Any) -> Subject:
    return Subject(**(_SUBJECT | changes))


def entry(**changes: Any) -> Entry:
    return Entry(subject(**changes), day=DAY)


def decide_one(one: Entry, *rows: PatientRow) -> Decided:
    decided = decide_file(Case((one,), patients_of(rows)))
    assert isinstance(decided, tuple)
    return decided[0]


def codes(decided: Decided) -> str:
    return " ".join(decided.verdicts)


AID = {
    "insurer_number": "12999999",
    "symbol": "",
    "number": "7654321",
    "branch_number": "",
    "relationship": "",
    "burden_ratio": "",
    "limit_class": "",
    "limit_flag": "",
}
"""A chart row of medical aid (医療扶助)."""

AID_SUBJECT: dict[str, Any] = {
    "insurer_number": "12999999",
    "symbol": None,
    "number": "7654321",
    "branch_number": None,
    "relationship": None,
    "limit_class": None,
    "limit_flag": None,
    "is_aid": True,
}
"""A result of medical aid."""
