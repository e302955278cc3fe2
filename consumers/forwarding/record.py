"""What does a chart read of one revision of a file? The JSON of the folder contract (design section 12)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from pipeline.clinical.checkups import checkup_rows
from pipeline.clinical.drugs import drug_rows, treatment_rows
from pipeline.hidden import Hidden
from pipeline.oqs.answers import results as results_of
from pipeline.oqs.records import BulkEligibilityRecord, CheckupRecord, EligibilityRecord, MedicationRecord, Record
from pipeline.results import ResultDetail

SCHEMA: Final = 1

_RESULTS: Final = frozenset({"ResultList", "ResultOfQualificationConfirmation"})


@dataclass(frozen=True, slots=True)
class Result:
    """One row of the result list, opened."""

    number: int
    """From 0, in the order of the file."""
    verdicts: tuple[str, ...]
    needs_review: bool
    detail: ResultDetail


@dataclass(frozen=True, slots=True)
class Contents:
    """What was sealed of one file."""

    name: str = field(repr=False)
    original: bytes = field(repr=False)
    record: Record | None = field(repr=False)
    results: tuple[Result, ...] = field(repr=False)


def chart_record(file_id: str, kind: str, captured_at: datetime, revision: int, contents: Contents) -> dict[str, Any]:
    """Write the record of one revision. `captured_at` in UTC."""
    return {
        "schema": SCHEMA,
        "file_id": file_id,
        "kind": kind,
        "name": contents.name,
        "captured_at": captured_at.isoformat(),
        "revision": revision,
        "results": [_result(result, contents.record) for result in contents.results],
    }


def _result(result: Result, record: Record | None) -> dict[str, Any]:
    detail = result.detail
    return {
        "patient_id": detail.patient_id,
        "verdicts": list(result.verdicts),
        "needs_review": result.needs_review,
        "candidates": list(detail.candidates),
        "compared": {name: {"file": pair.file, "chart": pair.chart} for name, pair in detail.compared.items()},
        "record": {} if record is None else part_of(record, result.number),
    }


def part_of(record: Record, number: int) -> dict[str, Any]:
    """Dump what a record says of one result, absent fields left out.

    Of an eligibility answer: its header, the fields of the person, and `result`, the one insurance meant; never
    another person's. Of anything else, and where the answer holds no such result: the whole record; of a medication
    or checkup answer also its rows (`drugs` and `treatments`, or `checkup_items`).
    """
    if isinstance(record, MedicationRecord):
        rows = {"drugs": _rows(drug_rows(record)), "treatments": _rows(treatment_rows(record))}
        return {**_dump(record), **rows}
    if isinstance(record, CheckupRecord):
        return {**_dump(record), "checkup_items": _rows(checkup_rows(record))}
    if isinstance(record, EligibilityRecord):
        return _eligibility(record, number)
    if isinstance(record, BulkEligibilityRecord):
        return _unit(record, number)
    return _dump(record)


def _eligibility(record: EligibilityRecord, number: int) -> dict[str, Any]:
    found = results_of(record)
    own = _dump(record, leave_out={"results"})
    if len(found) > 1:
        # Several results may be several people's (複数該当); what stands aside tells not whose it is.
        own |= {name: rest for name in ("unknown", "duplicates") if (rest := _outside_results(own.pop(name, [])))}
    chosen = found[number].result if number < len(found) else None
    return own if chosen is None else {**own, "result": _dump(chosen)}


def _outside_results(aside: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    return [pair for pair in aside if _RESULTS.isdisjoint(pair[0].split("/"))]


def _unit(record: BulkEligibilityRecord, number: int) -> dict[str, Any]:
    found = results_of(record)
    # What stands aside of a bulk answer belongs to nobody in particular, so it goes to nobody.
    own = _dump(record, leave_out={"units", "unknown", "duplicates"})
    if number >= len(found):
        return own
    person, chosen = found[number].person, found[number].result
    if person.unit is not None:
        own |= _dump(record.units[person.unit], leave_out={"results"})
    return own if chosen is None else {**own, "result": _dump(chosen)}


def _rows(rows: Sequence[Hidden]) -> list[dict[str, Any]]:
    return [row.model_dump(mode="json", exclude_none=True) for row in rows]


def _dump(model: Any, leave_out: Sequence[str] | set[str] = ()) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(mode="json", exclude_defaults=True, exclude=set(leave_out))
    return dumped
