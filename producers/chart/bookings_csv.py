"""Is a list of bookings (予約) wholly well formed, and who is booked when?

Columns by name in any order, English or Japanese: `patient_id` (患者番号), `date` (予約日) and, where known, `time`
(予約時刻); others are left aside. UTF-8 with or without a byte order mark, else cp932, for this list is mostly
exported by a booking system. One fault refuses the whole list.
"""

import csv
import io
import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import date
from typing import Final

from pipeline.booking_row import BookingRow
from pipeline.patient_row import LONGEST_VALUE
from producers.chart.patients_csv import MOST_FAULTS, PatientsInvalidError, RowFault

_NAMES: Final = {
    "patient_id": "patient_id",
    "患者番号": "patient_id",
    "date": "date",
    "予約日": "date",
    "time": "time",
    "予約時刻": "time",
    "予約時間": "time",
}
_MANDATORY: Final = ("patient_id", "date")
_DATE: Final = re.compile(r"([0-9]{4})([-/]?)([0-9]{1,2})\2([0-9]{1,2})")
_TIME: Final = re.compile(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(?::[0-5][0-9])?")


def read_bookings(content: bytes) -> tuple[BookingRow, ...]:
    """Read a whole list; an empty one says that nobody is booked.

    Raises:
        PatientsInvalidError: with at most the first hundred faults.
    """
    reader = csv.reader(io.StringIO(_text(content), newline=""), strict=True)
    rows: list[BookingRow] = []
    faults: list[RowFault] = []
    try:
        header = [_NAMES.get(name.strip(), "") for name in next(reader, [])]
        _check(header)
        for values in reader:
            if values:
                found = _row(reader.line_num, header, values)
                rows.extend([found] if isinstance(found, BookingRow) else [])
                faults.extend([] if isinstance(found, BookingRow) else found)
            if len(faults) >= MOST_FAULTS:
                break
    except csv.Error:
        faults.append(RowFault(reader.line_num, "row", "not_csv"))
    if faults:
        raise PatientsInvalidError(faults[:MOST_FAULTS])
    return tuple(rows)


def _text(content: bytes) -> str:
    for encoding in ("utf-8-sig", "cp932"):
        try:
            return content.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise PatientsInvalidError([RowFault(1, "row", "not_utf8_nor_cp932")])


def _check(header: Sequence[str]) -> None:
    faults = [RowFault(1, name, "missing_column") for name in _MANDATORY if name not in header]
    faults += [RowFault(1, name, "given_twice") for name in ("patient_id", "date", "time") if header.count(name) > 1]
    if faults:
        raise PatientsInvalidError(faults)


def _row(line: int, header: Sequence[str], values: Sequence[str]) -> BookingRow | list[RowFault]:
    if len(values) != len(header):
        return [RowFault(line, "row", "wrong_number_of_values")]
    given = {name: value.strip() for name, value in zip(header, values, strict=True) if name}
    faults = list(_faults(line, given))
    day = _day(given["date"])
    if faults or day is None:
        return faults
    return BookingRow(patient_id=given["patient_id"], day=day, time=_time(given.get("time", "")) or "")


def _faults(line: int, given: dict[str, str]) -> Iterator[RowFault]:
    if not given["patient_id"]:
        yield RowFault(line, "patient_id", "empty")
    if len(given["patient_id"]) > LONGEST_VALUE:
        yield RowFault(line, "patient_id", "too_long")
    if _day(given["date"]) is None:
        yield RowFault(line, "date", "not_a_date")
    if given.get("time") and _time(given["time"]) is None:
        yield RowFault(line, "time", "not_a_time")


def _day(text: str) -> date | None:
    match = _DATE.fullmatch(unicodedata.normalize("NFKC", text))
    if match is None or (not match[2] and len(match[3] + match[4]) != len("0101")):
        return None
    try:
        return date(int(match[1]), int(match[3]), int(match[4]))
    except ValueError:
        return None


def _time(text: str) -> str | None:
    match = _TIME.fullmatch(unicodedata.normalize("NFKC", text))
    return f"{int(match[1]):02}:{match[2]}" if match else None
