"""How does a test say that a file with these consents was parsed?"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from consumers.consent import Consent
from pipeline.contents import record_context
from pipeline.events import RecordParsed, derive_id
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, EligibilityResult, Header
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import EligibilityRecord, Record, record_json
from pipeline.oqs.times import format_instant
from pipeline.outcome import Outcome
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.schema import files
from tests.support.centre import Centre

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
"""10:00 in Japan."""


ENABLED: Final = {"enabled": True, "months": 3}


def granted(at: datetime, until: datetime, category: ConsentCategory = ConsentCategory.MEDICATION) -> ConsentGroup:
    return ConsentGroup(
        category=category, flag="1", consented_at=format_instant(at), available_until=format_instant(until)
    )


def refused(category: ConsentCategory = ConsentCategory.MEDICATION) -> ConsentGroup:
    return ConsentGroup(category=category, flag="0")


def face(*groups: ConsentGroup, person: str = "1234", header: Header | None = None) -> EligibilityRecord:
    result = EligibilityResult(
        insurer_number="39999990",
        number=person,
        birthdate="19410203",
        name_kana="ﾚｲｼﾞ ﾊﾙ",
        consents=tuple(groups),
    )
    return EligibilityRecord(
        schema_kind="eligibility", header=header or Header(segment="1"), validity="1", results=(result,)
    )


def store_file(
    centre: Centre,
    name: str,
    record: Record,
    processed_at: datetime | None = NOW,
    *,
    kind: MessageKind = MessageKind.FACE,
    correlation: str | None = None,
    outcome: str = "pending",
    reason: str | None = None,
) -> RecordParsed:
    """Write the row that parsing would have written, and return the event."""
    file_id = derive_id("file", "c1", name)
    public = centre.keyring.epoch_key("c1", KeyClass.ORIGINAL, NOW)
    sealed = Sealer().seal(public, "c1", record_context(file_id), record_json(record).encode())
    identity = centre.keyring.identity("c1")
    centre.insert(
        files,
        file_id=file_id,
        clinic="c1",
        terminal="t1",
        kind=kind.value,
        outcome=outcome,
        reason=reason,
        revision=1,
        suffix=".xml",
        correlation_hash=identity.mac("correlation", correlation.encode()) if correlation else None,
        sealed_record=sealed,
        processed_at=processed_at,
        captured_at=NOW,
        stored_at=NOW,
    )
    return RecordParsed(clinic="c1", file_id=file_id, revision=1, kind=kind.value, terminal="t1")


def arrive(
    centre: Centre,
    groups: Sequence[ConsentGroup],
    processed_at: datetime | None = NOW,
    *,
    now: datetime = NOW,
    kind: MessageKind = MessageKind.FACE,
    header: Header | None = None,
) -> Outcome:
    """Let a file with these consents be parsed and handled."""
    name = f"{groups}{[group.model_dump() for group in groups]}{processed_at}{kind}{now}"
    event = store_file(centre, name, face(*groups, header=header), processed_at, kind=kind)
    return centre.handle(Consent(centre.settings, centre.keyring), event, now)
