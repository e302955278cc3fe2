"""What does the clinic's chart hold of the invented people? (`patients.csv`, design section 12)

A chart writes some things its own way: kana full-width, digits of an address half-width, six-digit insurers bare.
"""

import csv
import io
import os
import unicodedata
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from datetime import date
from pathlib import Path
from typing import Final

from producers.simulator.people import INSURED, Coverage, Person

OPEN: Final = "9999-12-31"


@dataclass(frozen=True, slots=True, repr=False)
class ChartRow:
    """One insurance of one patient; the fields are the columns of the list."""

    patient_id: str
    name: str
    kana: str
    birthdate: str
    sex: str
    postal_code: str
    address: str
    insurer_number: str
    symbol: str
    number: str
    branch_number: str
    relationship: str
    burden_ratio: str
    limit_class: str
    limit_flag: str
    valid_from: str
    valid_to: str


COLUMNS: Final = tuple(column.name for column in fields(ChartRow))


def rows_of(person: Person) -> tuple[ChartRow, ...]:
    """Write a person into the chart, nothing differing but the spelling."""
    return tuple(_row(person, coverage) for coverage in person.coverages)


def _row(person: Person, coverage: Coverage) -> ChartRow:
    return ChartRow(
        patient_id=person.patient_id,
        name=person.name,
        kana=person.kana,
        birthdate=person.birthdate.isoformat(),
        sex=person.sex,
        postal_code=person.postal_code,
        address=unicodedata.normalize("NFKC", person.address),
        insurer_number=coverage.insurer.number.strip(" "),
        symbol=coverage.symbol,
        number=coverage.number,
        branch_number=coverage.branch_number,
        relationship="" if coverage.is_medical_aid else coverage.relationship or INSURED,
        burden_ratio="" if coverage.is_medical_aid else _ratio(coverage),
        limit_class=coverage.limit_class,
        limit_flag=coverage.limit_flag,
        valid_from=coverage.valid_from.isoformat(),
        valid_to=_last_day(coverage.valid_to),
    )


def _ratio(coverage: Coverage) -> str:
    return coverage.burden_ratio or coverage.recipient_ratio or ("020" if coverage.is_preschool else "030")


def _last_day(day: date | None) -> str:
    return day.isoformat() if day else OPEN


def write_rows(path: Path, rows: Iterable[ChartRow]) -> None:
    """Write the list so that a reader sees the old one or the whole new one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows(astuple(row) for row in rows)
    part = path.with_name(path.name + ".part")
    part.write_text(text.getvalue(), encoding="utf-8", newline="")
    os.replace(part, path)  # noqa: PTH105 - replaces on every system
