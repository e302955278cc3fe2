"""Which words does a vendor get for an event? Written field by field from facts; nothing is passed on."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from consumers.publication import granted
from consumers.publication.facts import Facts, File
from consumers.publication.pseudonyms import Pseudonyms
from consumers.publication.records import VendorKeys, record_content
from pipeline.edge_words import refusal_of
from pipeline.errors import PermanentError
from pipeline.event import Event, FileEvent, word_of
from pipeline.events import (
    ConsentEvent,
    ConsentExpired,
    ConsentExpiring,
    ConsentRecorded,
    DeliveryDone,
    DeliveryRefused,
    FileRejected,
    FileSettled,
    RecordReconciled,
)
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
    RecordState,
    public_kind,
)
from pipeline.vendors import Vendor


@dataclass(frozen=True, slots=True)
class Heard:
    """An event to publish, and when it was said."""

    event: Event
    at: datetime


class Writer:
    """Writes notices for vendors; `secrets` finds a vendor's own pseudonyms."""

    def __init__(self, secrets: Callable[[str], Pseudonyms], keys: VendorKeys) -> None:
        self._secrets = secrets
        self._keys = keys

    def fault(self, vendor: Vendor) -> str | None:
        """Say why a vendor cannot be told anything now, whatever it is about; none where it can."""
        try:
            self._secrets(vendor.id)
            if granted.reads_records(vendor):
                self._keys.key(vendor.id, vendor.public_key_file)
        except PermanentError as error:
            return error.reason
        return None

    def write(self, vendor: Vendor, heard: Heard, facts: Facts) -> Notice | None:
        """Write the notice of an event, or none where the vendor is not granted it.

        Raises:
            PermanentError: this vendor cannot be told: its secret or its public key cannot be used.
        """
        event = heard.event
        kind = public_kind(_kind_of(event, facts))
        if not granted.is_told(vendor, event, kind):
            return None
        names = self._secrets(vendor.id)
        common = {
            "clinic": event.clinic,
            "edge": vendor.id,
            "source_id": names.event(event.id),
            "at": heard.at,
            "kind": kind,
        }
        if isinstance(event, ConsentEvent):
            return _consent(event, facts, names, common)
        assert isinstance(event, FileEvent)
        common["handle"] = names.handle(event.clinic, event.file_id)
        if isinstance(event, RecordReconciled):
            return self._reconciled(vendor, facts.files[event.file_id], names, common)
        return _about_file(event, common)

    def _reconciled(self, vendor: Vendor, file: File, names: Pseudonyms, common: dict[str, Any]) -> Notice:
        state, record = self._record(vendor, file, common)
        results = tuple(
            PersonResult(
                number=row.number,
                patient=names.patient(file.clinic, row.patient_hash),
                insured_person=names.person(file.clinic, row.person_hash),
                verdicts=row.verdicts,
                needs_review=row.needs_review,
            )
            for row in file.results
        )
        return RecordReconciledNotice(
            **common,
            revision=file.revision,
            needs_review=any(row.needs_review for row in file.results),
            processed_at=file.processed_at,
            results=results,
            record_state=state,
            record=record,
        )

    def _record(self, vendor: Vendor, file: File, common: dict[str, Any]) -> tuple[RecordState, str | None]:
        if not granted.has_record(vendor, common["kind"]):
            return "not_granted", None
        if file.record is None:
            return "unavailable", None
        content = record_content(common["handle"], file.clinic, common["kind"], file.revision, file.record)
        return "sealed", self._keys.encrypt(vendor.id, vendor.public_key_file, content)


def _kind_of(event: Event, facts: Facts) -> str | None:
    if isinstance(event, ConsentEvent):
        found = facts.grants.get(event.grant_id)
        if found is None:
            raise PermanentError("unknown_grant")
        return found.kind
    assert isinstance(event, FileEvent)
    return facts.files[event.file_id].kind


def _consent(event: ConsentEvent, facts: Facts, names: Pseudonyms, common: dict[str, Any]) -> Notice:
    grant = facts.grants[event.grant_id]
    common |= {
        "handle": names.handle(grant.clinic, grant.file_id),
        "category": event.category,
        "until": event.until,
        "patient": names.patient(grant.clinic, grant.patient_hash),
        "insured_person": names.person(grant.clinic, grant.person_hash),
    }
    match event:
        case ConsentRecorded():
            return ConsentRecordedNotice(**common, granted=event.granted, consented_at=grant.consented_at)
        case ConsentExpiring():
            return ConsentExpiringNotice(**common)
        case ConsentExpired():
            return ConsentExpiredNotice(**common)
        case _:
            raise PermanentError("unexpected_event")


def _about_file(event: FileEvent, common: dict[str, Any]) -> Notice:
    match event:
        case DeliveryDone():
            return DeliveryDoneNotice(**common, revision=event.revision)
        case DeliveryRefused():
            return DeliveryRefusedNotice(**common, revision=event.revision, reason=refusal_of(event.reason))
        case FileRejected():
            return FileRejectedNotice(**common, reason=word_of(event.reason))
        case FileSettled():
            return FileSettledNotice(**common, outcome=event.outcome)
        case _:
            raise PermanentError("unexpected_event")
