"""What does the clinic's chart hold of the invented people? (`patients.csv`, design section 12)

A chart writes some things its own way: kana full-width, digits of an address half-width, six-digit insurers bare.
"""

import csv
import io
import os
import unicodedata
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from pipeline.patient_row import COLUMNS, OPEN_DATE, PatientRow
from producers.simulator.people import INSURED, Coverage, Person


def rows_of(person: Person) -> tuple[PatientRow, ...]:
    """Write a person into the chart, nothing differing but the spelling."""
    return tuple(_row(person, coverage) for coverage in person.coverages)


def _row(person: Person, coverage: Coverage) -> PatientRow:
    return PatientRow(
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
    return day.isoformat() if day else OPEN_DATE


def write_rows(path: Path, rows: Iterable[PatientRow]) -> None:
    """Write the list so that a reader sees the old one or the whole new one."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows([getattr(row, column) for column in COLUMNS] for row in rows)
    part = path.with_name(path.name + ".part")
    part.write_text(text.getvalue(), encoding="utf-8", newline="")
    os.replace(part, path)  # noqa: PTH105 - replaces on every system
