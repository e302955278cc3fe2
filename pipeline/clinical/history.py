"""What do all answers about one patient say together?

A month asked again replaces the older answer of that month, part by part: an answer that was not asked for treatments
or electronic prescriptions says nothing against those of an older one, and one that was asked only for what is new
since a day replaces nothing. A checkup is replaced by the newest answer
that holds its day. Whatever the order the answers came in, the history is the same.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

from pipeline.clinical.checkups import checkup_rows
from pipeline.clinical.drugs import treatment_rows, unmarked_rows
from pipeline.clinical.duplicates import marked
from pipeline.clinical.rows import CheckupRow, DrugRow, Source, TreatmentRow
from pipeline.oqs.records import CheckupRecord, MedicationRecord
from pipeline.oqs.times import JST, format_month, parse_month

_THIS_MONTH: Final = "999999"
_MOST_MONTHS: Final = 36
"""The longest span the service answers (oqs-interface section 3.4.1)."""
_WITH_TREATMENTS: Final = frozenset({"3", "4"})
_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)


class Part(StrEnum):
    """What is replaced as a whole."""

    CLAIMS = "claims"
    TREATMENTS = "treatments"
    PRESCRIPTIONS = "prescriptions"
    """Prescribed and dispensed electronically."""


@dataclass(frozen=True, slots=True)
class MedicationAnswer:
    """One medication answer. `processed_at`: when the service made it; aware UTC."""

    file_id: str
    processed_at: datetime | None
    record: MedicationRecord = field(repr=False)


@dataclass(frozen=True, slots=True)
class CheckupAnswer:
    """One checkup answer. `processed_at`: when the service made it; aware UTC."""

    file_id: str
    processed_at: datetime | None
    record: CheckupRecord = field(repr=False)


@dataclass(frozen=True, slots=True)
class MedicationHistory:
    """Newest first; `duplicate_of` of a drug points into `drugs`."""

    drugs: tuple[DrugRow, ...] = field(repr=False)
    treatments: tuple[TreatmentRow, ...] = field(repr=False)


def medication_history(answers: Iterable[MedicationAnswer], since: date | None = None) -> MedicationHistory:
    """Join medication answers of one patient; with `since` only what is of that day or later."""
    found = sorted(answers, key=_age)
    newest = {key: at for at, one in enumerate(found) for key in coverage(one.record, one.processed_at)}
    drugs, treatments = [], []
    for at, one in enumerate(found):
        drugs += [row for row in unmarked_rows(one.record) if at >= newest.get((_part_of(row), row.month or ""), at)]
        treatments += [
            row for row in treatment_rows(one.record) if at >= newest.get((Part.TREATMENTS, row.month or ""), at)
        ]
    return MedicationHistory(
        marked(sorted((row for row in drugs if _is_since(row, since)), key=_drug_order)),
        tuple(sorted((row for row in treatments if _is_since(row, since)), key=_treatment_order)),
    )


def checkup_history(answers: Iterable[CheckupAnswer], since: date | None = None) -> tuple[CheckupRow, ...]:
    """Join checkup answers of one patient, newest checkup first, its items in the order of the answer."""
    by_day: dict[date | None, Sequence[CheckupRow]] = {}
    for answer in sorted(answers, key=_age):
        rows = checkup_rows(answer.record)
        by_day |= {day: [row for row in rows if row.day == day] for day in {row.day for row in rows}}
    chosen = [day for day in by_day if since is None or day is None or day >= since]
    return tuple(row for day in sorted(chosen, key=_newest) for row in by_day[day])


def coverage(record: MedicationRecord, processed_at: datetime | None) -> frozenset[tuple[Part, str]]:
    """Say of which parts and months (YYYYMM) an answer speaks, also where it says that there is nothing.

    One that was asked for only what is new since a day (前回取得日) speaks of no month as a whole.
    """
    inquiry = record.header.inquiry
    if inquiry is not None and (inquiry.last or "").strip():
        return frozenset()
    told = {(_part_of(row), row.month or "") for row in unmarked_rows(record)}
    told |= {(Part.TREATMENTS, row.month or "") for row in treatment_rows(record)}
    parts = {Part.CLAIMS, *(part for part, _ in told)}
    if inquiry is not None and (inquiry.file_category or "").strip() in _WITH_TREATMENTS:
        parts.add(Part.TREATMENTS)
    if inquiry is not None and (inquiry.prescription_view or "").strip() == "1":
        parts.add(Part.PRESCRIPTIONS)
    asked = () if inquiry is None else _months(inquiry.start, inquiry.end, processed_at)
    return frozenset(told | {(part, month) for month in asked for part in parts})


def _months(start: str | None, end: str | None, processed_at: datetime | None) -> Iterator[str]:
    is_open = (end or "").strip() == _THIS_MONTH
    now = processed_at.astimezone(JST).date().replace(day=1) if processed_at else None
    first, last = parse_month(start), now if is_open else parse_month(end)
    if first is None or last is None:
        return
    for count in range(min(_MOST_MONTHS, (last.year - first.year) * 12 + last.month - first.month + 1)):
        years, month = divmod(first.month - 1 + count, 12)
        yield format_month(date(first.year + years, month + 1, 1))


def _part_of(row: DrugRow) -> Part:
    return Part.CLAIMS if row.source is Source.RECEIPT else Part.PRESCRIPTIONS


def _age(answer: MedicationAnswer | CheckupAnswer) -> tuple[datetime, str]:
    return answer.processed_at or _EARLIEST, answer.file_id


def _is_since(row: DrugRow | TreatmentRow, since: date | None) -> bool:
    day = row.day or parse_month(row.month)
    return since is None or day is None or day >= since


def _newest(day: date | None) -> int:
    return -day.toordinal() if day else 0


def _drug_order(row: DrugRow) -> tuple[int, int, str]:
    content = row.model_dump_json(exclude={"number", "duplicate_of"})
    return _newest(row.day or parse_month(row.month)), row.source.rank, content


def _treatment_order(row: TreatmentRow) -> tuple[int, str]:
    return _newest(row.day or parse_month(row.month)), row.model_dump_json()
