"""What does a clinic's chart say of one patient under one insurance, and is it well formed?

The columns are those of `patients.csv` (design section 12); codes are those of the file interface (oqs-interface
section 3.8). The chart's edge writes rows, reconciliation reads them; both sides use this one type.
"""

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from typing import Final

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import PermanentError
from pipeline.hidden import Hidden
from pipeline.oqs.codes import Code, LimitClassification, LimitFlag, Relationship, Sex

OPEN_DATE: Final = "9999-12-31"
"""An end that never comes."""

LONGEST_VALUE: Final = 500
"""Characters of one value; ours, far above any name or address."""


class PatientRow(Hidden):
    """One row. Every value as written, blank when unknown."""

    patient_id: str
    name: str = ""
    kana: str = ""
    birthdate: str = ""
    sex: str = ""
    postal_code: str = ""
    address: str = ""
    insurer_number: str = ""
    """保険者番号"""
    symbol: str = ""
    """記号"""
    number: str = ""
    """番号"""
    branch_number: str = ""
    """枝番"""
    relationship: str = ""
    """本人・家族の別"""
    burden_ratio: str = ""
    """負担割合, three digits: 030 is 30 %"""
    limit_class: str = ""
    """限度額適用認定証区分"""
    limit_flag: str = ""
    """限度額適用区分"""
    valid_from: str = ""
    valid_to: str = ""


COLUMNS: Final = tuple(PatientRow.model_fields)
MANDATORY: Final = (
    "patient_id",
    "name",
    "kana",
    "birthdate",
    "sex",
    "insurer_number",
    "symbol",
    "number",
    "branch_number",
)
"""What matching needs. A list without one of these columns is a mistake; a blank value in them is only unknown."""

IDENTITY: Final = ("name", "kana", "birthdate", "sex")
"""What must agree between the rows of one patient; an address may differ by insurance."""

_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSURER: Final = re.compile(r"[0-9]{1,8}")
_BRANCH: Final = re.compile(r"[0-9]{1,2}")
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_RATIO: Final = re.compile(r"[0-9]{3}")


def is_date(value: str) -> bool:
    """Say whether it is a day written YYYY-MM-DD; the open date is one."""
    if not _DATE.fullmatch(value):
        return False
    try:
        date(int(value[:4]), int(value[5:7]), int(value[8:]))
    except ValueError:
        return False
    return True


def _is_birthdate(value: str) -> bool:
    return is_date(value) and value != OPEN_DATE


def _one_of(codes: type[Code]) -> Callable[[str], bool]:
    return frozenset(code.value for code in codes).__contains__


def _digits(pattern: re.Pattern[str]) -> Callable[[str], bool]:
    # Charts store these full width as well (field-and-chart-systems section 2.3).
    return lambda value: bool(pattern.fullmatch(unicodedata.normalize("NFKC", value)))


CHECKS: Final[Mapping[str, tuple[str, Callable[[str], bool]]]] = {
    "birthdate": ("not_a_date", _is_birthdate),
    "sex": ("unknown_code", _one_of(Sex)),
    "insurer_number": ("not_a_number", _digits(_INSURER)),
    "branch_number": ("not_a_number", _digits(_BRANCH)),
    "relationship": ("unknown_code", _one_of(Relationship)),
    "burden_ratio": ("not_three_digits", lambda value: bool(_RATIO.fullmatch(value))),
    "limit_class": ("unknown_code", _one_of(LimitClassification)),
    "limit_flag": ("unknown_code", _one_of(LimitFlag)),
    "valid_from": ("not_a_date", is_date),
    "valid_to": ("not_a_date", is_date),
}


def row_faults(row: PatientRow) -> Iterator[tuple[str, str]]:
    """Name every fault of one row as column and reason; never a value."""
    values = row.__dict__
    if not row.patient_id:
        yield "patient_id", "empty"
    for column, value in values.items():
        if len(value) > LONGEST_VALUE:
            yield column, "too_long"
        if _CONTROL.search(value):
            yield column, "control_character"
    for column, (reason, is_good) in CHECKS.items():
        if values[column] and not is_good(values[column]):
            yield column, reason


class PatientRowsError(PermanentError):
    """A part of a patient list is not what the edge writes. Quotes nothing of it."""

    def __init__(self) -> None:
        super().__init__("patient_rows")


_ROWS: Final = TypeAdapter(tuple[PatientRow, ...])


def rows_to_bytes(rows: Sequence[PatientRow]) -> bytes:
    """Write rows as a JSON list of objects with the column names of `patients.csv`; blank is unknown."""
    return _ROWS.dump_json(tuple(rows))


def rows_from_bytes(content: bytes) -> tuple[PatientRow, ...]:
    """Read what `rows_to_bytes` wrote.

    Raises:
        PatientRowsError: it is something else.
    """
    try:
        return _ROWS.validate_json(content)
    except ValidationError:
        raise PatientRowsError from None
