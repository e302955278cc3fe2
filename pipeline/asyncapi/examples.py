"""What does each event look like? Invented, and the same every time."""

import json
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any

from pipeline.vendor_events import (
    ConsentExpiredNotice,
    ConsentExpiringNotice,
    ConsentRecordedNotice,
    DeliveryDoneNotice,
    DeliveryRefusedNotice,
    FileRejectedNotice,
    FileSettledNotice,
    Notice,
    PersonResult,
    RecordReconciledNotice,
)

_AT = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
_CLINIC, _VENDOR = "c001", "acme"


def _name(what: str) -> str:
    return sha256(f"example {what}".encode()).hexdigest()[:32]


def _notices() -> list[Notice]:
    file: dict[str, Any] = {
        "clinic": _CLINIC,
        "edge": _VENDOR,
        "source_id": "example",
        "at": _AT,
        "kind": "face",
        "handle": _name("file"),
    }
    person = {"patient": _name("patient"), "insured_person": _name("person")}
    consent = {**file, **person, "category": "medication", "until": _AT + timedelta(days=1)}
    result = PersonResult(number=0, **person, verdicts=("address_mismatch",), needs_review=True)
    return [
        RecordReconciledNotice(
            **file,
            revision=1,
            needs_review=True,
            processed_at=_AT - timedelta(seconds=4),
            results=(result,),
            record_state="not_granted",
        ),
        DeliveryDoneNotice(**file, revision=1),
        DeliveryRefusedNotice(**file, revision=1, reason="refused"),
        FileRejectedNotice(**file, reason="foreign_institution"),
        FileSettledNotice(**file, outcome="delivered"),
        ConsentRecordedNotice(**consent, granted=True, consented_at=_AT),
        ConsentExpiringNotice(**consent),
        ConsentExpiredNotice(**consent),
    ]


def examples() -> dict[type[Notice], dict[str, Any]]:
    """Return one body for each event."""
    return {type(notice): json.loads(notice.model_dump_json()) for notice in _notices()}


def routing_keys() -> dict[type[Notice], str]:
    return {type(notice): notice.routing_key for notice in _notices()}


def headers_of(body: dict[str, Any]) -> dict[str, Any]:
    """Return the headers that such a body comes with."""
    return {
        "cloudEvents_specversion": "1.0",
        "cloudEvents_id": body["event_id"],
        "cloudEvents_source": f"/onshi/{body['clinic']}",
        "cloudEvents_type": body["type"],
        "cloudEvents_time": body["at"],
        "x-stream-offset": 41,
    }
