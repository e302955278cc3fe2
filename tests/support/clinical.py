"""How does a test make medication and checkup answers?"""

from datetime import date
from pathlib import Path
from typing import Any

from pipeline.clinical.rows import DrugRow, Place, Source
from pipeline.oqs.history import (
    Checkup,
    CheckupItem,
    DispensedDay,
    DispensedDrug,
    DispensedMonth,
    Drug,
    HistoryHeader,
    HistoryInquiry,
    PrescribedDay,
    PrescribedDrug,
    PrescribedMonth,
    ReceiptDay,
    ReceiptMonth,
    Treatment,
)
from pipeline.oqs.names import parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import CheckupRecord, MedicationRecord, Record

RES = Path(__file__).parents[1] / "samples" / "res"
MEDICATION = RES / "YZKsiquc01res_202605120031.xml"
CHECKUP = RES / "TKKsiquc01res_202605120032.xml"
CLINIC_CODE, PHARMACY_CODE = "9919000033", "9949000022"


def sample(path: Path) -> Record:
    name = parse_name(path.name)
    assert name is not None
    return parse(name, path.read_bytes())


def medication_sample() -> MedicationRecord:
    record = sample(MEDICATION)
    assert isinstance(record, MedicationRecord)
    return record


def checkup_sample() -> CheckupRecord:
    record = sample(CHECKUP)
    assert isinstance(record, CheckupRecord)
    return record


def drug_row(source: Source, **changes: Any) -> DrugRow:
    """One drug that a clinic prescribed on 8 May and a pharmacy gave on 9 May, as this source tells it."""
    clinic, pharmacy = Place(code=CLINIC_CODE, name="例示内科医院"), Place(code=PHARMACY_CODE, name="例示調剤薬局")
    values: dict[str, Any] = {
        "source": source,
        "month": "202605",
        "day": date(2026, 5, 9),
        "prescribed_on": date(2026, 5, 8),
        "place": pharmacy,
        "prescriber": clinic,
        "code": "999000101",
        "code_system": "receipt_code",
        "name": "見本降圧錠５ｍｇ",
    }
    if source is Source.PRESCRIBED:
        values |= {"day": date(2026, 5, 8), "place": clinic, "prescriber": Place()}
    return DrugRow(**(values | changes))


def medication_of(
    month: str,
    name: str | None = "見本錠",
    *,
    asked: str | None = "",
    category: str = "2",
    view: str | None = None,
    treatment: str | None = None,
    prescribed: str | None = None,
    dispensed: str | None = None,
) -> MedicationRecord:
    """One month's answer; `asked` is the month that was asked for, by default that of the answer."""
    asked = month if asked == "" else asked
    inquiry = HistoryInquiry(start=asked, end=asked, file_category=category, prescription_view=view)
    day = ReceiptDay(
        day=f"{month}05",
        drugs=(Drug(code="999000101", name=name),) if name else (),
        treatments=(Treatment(name=treatment),) if treatment else (),
    )
    has_claim = name is not None or treatment is not None
    return MedicationRecord(
        schema_kind="medication",
        header=HistoryHeader(inquiry=inquiry, result_code="1"),
        months=(ReceiptMonth(month=month, institution_code=CLINIC_CODE, days=(day,)),) if has_claim else (),
        prescribed=(
            PrescribedMonth(
                month=month,
                prescriber_code=CLINIC_CODE,
                days=(PrescribedDay(day=f"{month}05", drugs=(PrescribedDrug(name=prescribed),)),),
            ),
        )
        if prescribed
        else (),
        dispensed=(
            DispensedMonth(
                month=month,
                institution_code=PHARMACY_CODE,
                days=(DispensedDay(day=f"{month}06", drugs=(DispensedDrug(name=dispensed),)),),
            ),
        )
        if dispensed
        else (),
    )


def checkup_of(day: str, value: str) -> CheckupRecord:
    item = CheckupItem(code="9A751000000000001", name="収縮期血圧", value_type="PQ", value=value, unit="mmHg")
    return CheckupRecord(
        schema_kind="checkup", header=HistoryHeader(result_code="1"), checkups=(Checkup(day=day, items=(item,)),)
    )
