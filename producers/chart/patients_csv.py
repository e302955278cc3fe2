"""Is a clinic's patient list wholly well formed, and what rows does it hold?

The form is that of design section 12: UTF-8 with or without a byte order mark, columns by name in any order, columns
we do not know left aside. One fault refuses the whole list, for half a list would turn patients into strangers.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from pipeline.errors import PermanentError
from pipeline.patient_row import COLUMNS, IDENTITY, MANDATORY, PatientRow, row_faults

MOST_FAULTS = 100
"""After so many the rest is not looked at: the file is something else."""


@dataclass(frozen=True, slots=True)
class RowFault:
    """What is wrong where; `line` from 1, the header's, and the last one where a value spans several. No value."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, {self.column}: {self.reason}"


class PatientsInvalidError(PermanentError):
    """A patient list that must not be used."""

    def __init__(self, faults: Sequence[RowFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("patients_invalid", f"{len(self.faults)} faults, first: {self.faults[0]}")


def read_patients(content: bytes) -> tuple[PatientRow, ...]:
    """Read a whole list; no row is as good as many.

    Raises:
        PatientsInvalidError: with at most the first hundred faults.
    """
    reader = csv.reader(io.StringIO(_text(content), newline=""), strict=True)
    list_ = _List()
    try:
        list_.take_header(next(reader, []))
        for values in reader:
            if values:
                list_.take(reader.line_num, values)
            if len(list_.faults) >= MOST_FAULTS:
                break
    except csv.Error:
        # An open quote at the end, mostly: the file is still being written.
        list_.faults.append(RowFault(reader.line_num, "row", "not_csv"))
    if list_.faults:
        raise PatientsInvalidError(list_.faults[:MOST_FAULTS])
    return tuple(list_.rows)


def _text(content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise PatientsInvalidError([RowFault(line, "row", "not_utf8")]) from None


class _List:
    """A list while it is read."""

    def __init__(self) -> None:
        self.rows: list[PatientRow] = []
        self.faults: list[RowFault] = []
        self._width = 0
        self._places: list[tuple[str, int]] = []
        self._identities: dict[str, PatientRow] = {}

    def take_header(self, header: Sequence[str]) -> None:
        names = [name.strip() for name in header]
        self._width = len(names)
        self._places = [(name, at) for at, name in enumerate(names) if name in COLUMNS]
        self.faults.extend(RowFault(1, name, "missing_column") for name in MANDATORY if name not in names)
        self.faults.extend(RowFault(1, name, "given_twice") for name in COLUMNS if names.count(name) > 1)
        if self.faults:
            # Without the right columns every row would only repeat the same.
            raise PatientsInvalidError(self.faults)

    def take(self, line: int, values: Sequence[str]) -> None:
        if len(values) != self._width:
            self.faults.append(RowFault(line, "row", "wrong_number_of_values"))
            return
        row = PatientRow.model_construct(None, **{name: values[at].strip() for name, at in self._places})
        self.faults.extend(RowFault(line, column, reason) for column, reason in row_faults(row))
        first = self._identities.setdefault(row.patient_id, row)
        self.faults.extend(RowFault(line, column, "conflicts") for column in _conflicts(first, row))
        self.rows.append(row)


def _conflicts(first: PatientRow, row: PatientRow) -> Iterator[str]:
    """Name where two rows of one chart number speak of different people; a blank says nothing."""
    if first is row:
        return
    for column in IDENTITY:
        one, other = getattr(first, column), getattr(row, column)
        if one and other and one != other:
            yield column
