"""What becomes of one file: which record, or which reason? Pure.

A file that cannot be read, or that belongs to another institution, is rejected: kept sealed, shown, and only then
leaves the terminal. Kinds that no chart waits for are `not_due` (design section 12).
"""

from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import PurePath

from pipeline.clinic_settings import Clinic
from pipeline.contents import SealedFile
from pipeline.custody import FileOutcome
from pipeline.oqs.answers import Layer, institution_code, layer_of, processed_at
from pipeline.oqs.names import FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import Record
from pipeline.oqs.rejection import RejectedError, RejectReason
from pipeline.oqs.times import JST, parse_day

FOREIGN_INSTITUTION = "foreign_institution"

_DELIVERED = frozenset({"eligibility", "bulk_eligibility", "medication", "checkup", "pdf"})


@dataclass(frozen=True, slots=True)
class Reading:
    """What was read. `record` is JSON; `reason` says why not; `bug` names a failure of the parser itself."""

    kind: str
    suffix: str
    outcome: FileOutcome
    reason: str | None = None
    record: bytes | None = field(default=None, repr=False)
    is_clinical: bool = False
    processed_at: datetime | None = None
    correlation: str | None = field(default=None, repr=False)
    bug: str | None = None


def read(original: SealedFile, clinic: Clinic) -> Reading:
    """Read one original for the clinic whose institution code (医療機関コード) it must carry."""
    name = parse_name(original.name)
    if name is None:
        suffix = PurePath(original.name).suffix[:8].lower()
        return Reading("other", suffix, FileOutcome.REJECTED, RejectReason.UNSUPPORTED)
    password = original.archive_password.encode() if original.archive_password else None
    try:
        record = parse(name, original.content, password)
    except RejectedError as rejected:
        return _rejected(name, rejected.reason)
    except Exception as error:  # noqa: BLE001 - a parser that fails must not lose the file: stored, then parked
        return _about(name, FileOutcome.PENDING, bug=f"bug_{type(error).__name__}"[:40])
    code = institution_code(record)
    if code is not None and not clinic.accepts_code(code, _day(record)):
        return _rejected(name, FOREIGN_INSTITUTION)
    return _about(
        name,
        _outcome(record),
        record=record.model_dump_json(exclude_defaults=True).encode(),
        processed_at=processed_at(record),
    )


def _day(record: Record) -> date | None:
    at = processed_at(record)
    return at.astimezone(JST).date() if at else parse_day(getattr(record.header, "confirmed_on", None))


def _outcome(record: Record) -> FileOutcome:
    if record.schema_kind not in _DELIVERED or layer_of(record) is Layer.STILL_PROCESSING:
        return FileOutcome.NOT_DUE
    return FileOutcome.PENDING


def _rejected(name: FileName, reason: str) -> Reading:
    return _about(name, FileOutcome.REJECTED, reason=reason)


def _about(
    name: FileName,
    outcome: FileOutcome,
    *,
    reason: str | None = None,
    record: bytes | None = None,
    processed_at: datetime | None = None,
    bug: str | None = None,
) -> Reading:
    return Reading(
        kind=name.kind.value,
        suffix=name.extension.value,
        outcome=outcome,
        reason=reason,
        record=record,
        is_clinical=name.kind.is_history,
        processed_at=processed_at,
        correlation=name.correlation,
        bug=bug,
    )
