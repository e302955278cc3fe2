"""Which insurance of a chart can be asked for, and how is its insurer written into a request?"""

from datetime import date
from typing import Final

from pipeline.folding import fold_day, fold_insurer, fold_symbol
from pipeline.patient_row import PatientRow

_AID_HEAD: Final = "12"


def is_aid(insurer_number: str | None) -> bool:
    """Say whether a number is a payer of medical aid (医療扶助), which is asked for otherwise (section 2.1, ORCA 1)."""
    return fold_insurer(insurer_number).startswith(_AID_HEAD)


def is_asked_for(row: PatientRow, day: date) -> bool:
    """Say whether a row names an insurance that the chart holds for valid on that day."""
    first, last = fold_day(row.valid_from), fold_day(row.valid_to)
    is_known = (
        bool(fold_insurer(row.insurer_number)) and bool(fold_symbol(row.number)) and not is_aid(row.insurer_number)
    )
    return is_known and (first is None or first <= day) and (last is None or day <= last)


def request_insurer(insurer_number: str | None) -> str:
    """Write an insurer number as requests have it: 8 digits, or the 6 of 国保, which folding pads with zeros."""
    folded = fold_insurer(insurer_number)
    return folded.removeprefix("00")
