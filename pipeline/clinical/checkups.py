"""Which findings does a checkup answer (特定健診情報) tell of, and of which type is each?"""

from typing import Final

from pipeline.clinical.amounts import amount, measured
from pipeline.clinical.codes import checkup_system
from pipeline.clinical.rows import CheckupRow, ValueType
from pipeline.oqs.history import CheckupItem
from pipeline.oqs.records import CheckupRecord
from pipeline.oqs.times import parse_day

_TYPES: Final = {
    **dict.fromkeys(("PQ", "INT", "REAL"), ValueType.NUMERIC),
    **dict.fromkeys(("CD", "CO", "CE", "CV"), ValueType.CODED),
    **dict.fromkeys(("ST", "ED"), ValueType.TEXT),
}
"""Types of HL7 CDA, which the national checkup files use (oqs-interface section 3.4.5)."""


def checkup_rows(record: CheckupRecord) -> tuple[CheckupRow, ...]:
    """List every item of every checkup in the order of the answer."""
    return tuple(
        CheckupRow(day=parse_day(checkup.day), **_item(item)) for checkup in record.checkups for item in checkup.items
    )


def _item(item: CheckupItem) -> dict[str, object]:
    kind = _type_of(item)
    number, bound = measured(item.value) if kind is ValueType.NUMERIC else (None, None)
    return {
        "code": item.code,
        "code_system": checkup_system(item.code),
        "name": item.name,
        "type": kind,
        "value": item.value,
        "value_name": item.value_name,
        "number": number,
        "bound": bound,
        "unit": item.unit,
        "oid": item.oid,
    }


def _type_of(item: CheckupItem) -> ValueType:
    declared = _TYPES.get((item.value_type or "").strip().upper())
    if declared is not None:
        return declared
    if item.value_name or item.oid:
        return ValueType.CODED
    # A bare number may be a code; with a unit it is a measurement.
    has_number = item.unit is not None and amount(item.value) is not None
    return ValueType.NUMERIC if has_number else ValueType.TEXT
