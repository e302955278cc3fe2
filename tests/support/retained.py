"""How does a test say that a file was delivered long ago and is kept sealed with its results?"""

from datetime import UTC, datetime
from typing import Any

from pipeline.contents import decision_context, file_context, name_context, record_context, result_context
from pipeline.events import derive_id
from pipeline.sealing import KeyClass, Sealer, recipient_of
from pipeline.storage.schema import copies, decisions, files, receipts, results
from tests.support.centre import Centre

MAY = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
NAME, CONTENT, RESULT, REASON = b"OQSsiquc01res_face_1.xml", b"<XmlMsg>", b'{"name":"x"}', b"the reason"


def clinic_of(centre: Centre) -> str:
    return centre.settings.clinics[0].id


def seal(centre: Centre, key_class: KeyClass, at: datetime, context: str, content: bytes) -> bytes:
    clinic = clinic_of(centre)
    return Sealer().seal(centre.keyring.epoch_key(clinic, key_class, at), clinic, context, content)


def file_id(number: int) -> str:
    return derive_id("file", str(number))


def copy_id(number: int) -> str:
    return derive_id("copy", str(number))


def add(
    centre: Centre,
    number: int = 1,
    *,
    at: datetime = MAY,
    key_class: KeyClass = KeyClass.ORIGINAL,
    settled: datetime | None = MAY,
) -> str:
    """A file that was delivered, with its copy, its result and a decision."""
    own, decision = file_id(number), derive_id("decision", str(number))
    original = seal(centre, key_class, at, file_context(own), CONTENT)
    whose = {"clinic": clinic_of(centre), "terminal": "t1", "kind": "face"}
    times = {"captured_at": at, "stored_at": at}
    centre.insert(
        files,
        **whose,
        **times,
        file_id=own,
        outcome="delivered",
        revision=1,
        suffix=".xml",
        sealed_original=original,
        original_key=recipient_of(original),
        sealed_record=seal(centre, key_class, at, record_context(own), CONTENT),
        settled_at=settled,
    )
    centre.insert(
        copies,
        **whose,
        **times,
        copy_id=copy_id(number),
        file_id=own,
        custody="vanished" if settled else "stored",
        sealed_name=seal(centre, key_class, at, name_context(copy_id(number)), NAME),
        size=8,
        seen_at=at,
        orders=0,
    )
    for role in ("parsing", "reconciliation", "consent", "forwarding"):
        centre.insert(receipts, file_id=own, consumer=role, result="done", at=at)
    centre.insert(
        results,
        file_id=own,
        result=0,
        clinic=clinic_of(centre),
        revision=1,
        state="open",
        verdicts="new_patient",
        needs_review=True,
        sealed_result=seal(centre, KeyClass.CONFIRMATION, at, result_context(own, 0), RESULT),
        person_hash="ab" * 32,
        decided_at=at,
    )
    centre.insert(
        decisions,
        decision_id=decision,
        file_id=own,
        result=0,
        clinic=clinic_of(centre),
        action="confirm",
        staff="s1",
        sealed_reason=seal(centre, KeyClass.CONFIRMATION, at, decision_context(decision), REASON),
        at=at,
    )
    return own


def row_of(centre: Centre, table: Any, number: int = 1) -> dict[str, Any]:
    return next(row for row in centre.rows(table) if row["file_id"] == file_id(number))
