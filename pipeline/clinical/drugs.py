"""Which drugs and treatments does a medication answer (薬剤情報) tell of?"""

from collections.abc import Iterator

from pipeline.clinical.amounts import amount, count
from pipeline.clinical.codes import drug_system
from pipeline.clinical.duplicates import marked
from pipeline.clinical.rows import AdditionRow, DrugRow, Place, Source, TreatmentRow
from pipeline.oqs.history import (
    DispensedDrug,
    DispensedMonth,
    Drug,
    PrescribedDrug,
    PrescribedMonth,
    ReceiptDay,
    ReceiptMonth,
    Treatment,
)
from pipeline.oqs.records import MedicationRecord
from pipeline.oqs.times import parse_day

_INTERNAL = "21"


def drug_rows(record: MedicationRecord) -> tuple[DrugRow, ...]:
    """List every drug in the order of the answer: claims, dispensing, prescriptions; repetitions marked."""
    return marked(tuple(unmarked_rows(record)))


def unmarked_rows(record: MedicationRecord) -> Iterator[DrugRow]:
    """List every drug as it stands in the answer, for who marks repetitions over several answers."""
    for month in record.months:
        for day in month.days:
            yield from (_receipt(month, day, drug) for drug in day.drugs)
    yield from (row for month in record.dispensed for row in _dispensed(month))
    yield from (row for month in record.prescribed for row in _prescribed(month))


def _receipt(month: ReceiptMonth, day: ReceiptDay, drug: Drug) -> DrugRow:
    times = count(drug.times)
    return DrugRow(
        source=Source.RECEIPT,
        month=month.month,
        day=parse_day(day.day),
        prescribed_on=parse_day(day.prescribed_on),
        in_out=month.in_out,
        place=Place(code=month.institution_code, name=month.institution_name),
        prescriber=Place(code=month.prescriber_code, name=month.prescriber_name),
        treatment_class=drug.treatment_class,
        code=drug.code,
        code_system=drug_system(drug.code),
        name=drug.name,
        ingredient=drug.ingredient,
        amount=amount(drug.quantity),
        amount_text=drug.quantity,
        unit=drug.unit,
        dose=amount(drug.dose),
        times=times,
        days=_days(drug.treatment_class, times),
        usage=drug.usage,
        usage_code=drug.usage_code,
        special_instruction=drug.special_instruction,
        serial=month.group_number1,
    )


def _dispensed(month: DispensedMonth) -> Iterator[DrugRow]:
    place = Place(code=month.institution_code, name=month.institution_name)
    prescriber = Place(code=month.prescriber_code, name=month.prescriber_name)
    for day in month.days:
        for drug in day.drugs:
            row = _electronic(drug, Source.DISPENSED, month.month, place)
            own = {"day": parse_day(day.day), "prescribed_on": parse_day(day.prescribed_on), "prescriber": prescriber}
            yield row.model_copy(update=own)


def _prescribed(month: PrescribedMonth) -> Iterator[DrugRow]:
    prescriber = Place(code=month.prescriber_code, name=month.prescriber_name)
    treating = Place(code=month.institution_code, name=month.institution_name)
    for day in month.days:
        for drug in day.drugs:
            # Not every name of the interface's table need exist in a file: one of the two names who wrote it.
            row = _electronic(drug, Source.PRESCRIBED, month.month, prescriber if prescriber.is_known else treating)
            own = {"day": parse_day(day.day), "prescribed_on": parse_day(day.day)}
            yield row.model_copy(update=own)


def _electronic(drug: DispensedDrug | PrescribedDrug, source: Source, month: str | None, place: Place) -> DrugRow:
    times = count(drug.times)
    return DrugRow(
        source=source,
        month=month,
        place=place,
        treatment_class=drug.usage_class,
        code=drug.code,
        code_system=drug_system(drug.code),
        name=drug.name,
        ingredient=drug.ingredient,
        amount=amount(drug.quantity),
        amount_text=drug.quantity,
        unit=drug.unit,
        times=times,
        days=_days(drug.usage_class, times),
        usage=drug.usage,
        special_instruction=drug.special_instruction,
    )


def _days(treatment_class: str | None, times: int | None) -> int | None:
    return times if (treatment_class or "").strip() == _INTERNAL else None


def treatment_rows(record: MedicationRecord) -> tuple[TreatmentRow, ...]:
    """List every treatment (診療情報) in the order of the answer."""
    return tuple(
        _treatment(month, day, treatment)
        for month in record.months
        for day in month.days
        for treatment in day.treatments
    )


def _treatment(month: ReceiptMonth, day: ReceiptDay, treatment: Treatment) -> TreatmentRow:
    return TreatmentRow(
        month=month.month,
        day=parse_day(day.day),
        in_out=month.in_out,
        place=Place(code=month.institution_code, name=month.institution_name),
        treatment_class=treatment.treatment_class,
        code=treatment.code,
        name=treatment.name,
        amount=amount(treatment.quantity),
        amount_text=treatment.quantity,
        amount2_text=treatment.quantity2,
        unit=treatment.unit,
        times=count(treatment.times),
        additions=tuple(
            AdditionRow(
                code=one.code, name=one.name, amount=amount(one.quantity), amount_text=one.quantity, unit=one.unit
            )
            for one in treatment.dental_additions
        ),
    )
