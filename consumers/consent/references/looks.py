"""What do the results of certain patients say of their reference numbers (照会番号)?

Only results that nobody need look at any more are judged: the machine was sure, or a person has confirmed whose it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, exists, select

from consumers.consent.cards import is_aid
from consumers.consent.references.ledger import Judged, Write
from consumers.consent.references.rows import Key, Reference, ReferenceDetail, entry_of, held_of, key_of, reference
from consumers.consent.references.state import Held, Judgement, Reason, ReferenceState, Seen, judge, next_time
from pipeline.clinic_settings import Clinic
from pipeline.contents import result_context
from pipeline.errors import PermanentError
from pipeline.keyring import Keyring
from pipeline.oqs.names import MessageKind
from pipeline.oqs.times import JST
from pipeline.results import ResultDetail
from pipeline.sealing import Opener
from pipeline.storage.schema import files, reference_numbers, results
from pipeline.topology import Role
from pipeline.verdicts import Verdict, read_codes

MOST: Final = 100
_CLOSED: Final = "closed"
_TELLING: Final = frozenset(
    kind.value
    for kind in (
        MessageKind.FACE,
        MessageKind.ELIGIBILITY,
        MessageKind.VISIT,
        MessageKind.ONLINE,
        MessageKind.BULK_ELIGIBILITY,
        MessageKind.BULK_VISIT,
        MessageKind.BULK_ONLINE,
    )
)
"""Messages whose results carry the number when there is one."""
_NOT_IN_FORCE: Final = frozenset(
    {
        Verdict.INELIGIBLE,
        Verdict.INELIGIBLE_NEW_COVERAGE,
        Verdict.NO_COVERAGE,
        Verdict.MULTIPLE_COVERAGES,
        Verdict.SUSPICIOUS_CARD,
        Verdict.SERVICE_ERROR,
        Verdict.AMBIGUOUS_PATIENT,
        Verdict.NEW_PATIENT,
        Verdict.IDENTITY_MISMATCH,
    }
)
"""With one of these nothing is registered, even when a person confirmed whose result it is."""


def due_results(connection: Connection, clinic: str) -> Sequence[Row[Any]]:
    """Claim results that were not judged yet, the service's oldest first."""
    query = (
        select(results, files.c.kind)
        .join(files, files.c.file_id == results.c.file_id)
        .where(results.c.clinic == clinic, results.c.reference_due.is_(True), results.c.state == _CLOSED)
        .order_by(results.c.processed_at, results.c.file_id, results.c.result)
        .limit(MOST)
    )
    return connection.execute(query.with_for_update(of=results, skip_locked=True)).all()


def has_any(connection: Connection, clinic: str) -> bool:
    return bool(connection.scalar(select(exists().where(reference_numbers.c.clinic == clinic))))


@dataclass(frozen=True, slots=True, repr=False)
class _Look:
    """One result, opened. `seen` is none where it says nothing of a number."""

    row: Row[Any]
    seen: Seen | None = None
    reference: Reference | None = None


@dataclass(slots=True, repr=False)
class _Known:
    """What is known by key, growing with every judgement of the same turn."""

    by_key: dict[Key, Held]
    owners: dict[str, set[str]] = field(default_factory=dict)
    """Insurance → patients whose number it holds."""

    def take(self, key: Key, held: Held) -> None:
        self.by_key[key] = held
        if held.state not in (ReferenceState.WRONG, ReferenceState.REFUSED):
            self.owners.setdefault(key.insurance_hash, set()).add(key.patient_hash)


class Looks:
    """Judges results with the keys of the centre."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring
        self._opener = Opener(keyring)

    def writes(self, connection: Connection, clinic: Clinic, now: datetime) -> list[object]:
        """Judge what is due of one clinic."""
        looks = [self._open(clinic, row) for row in due_results(connection, clinic.id)]
        known = _known(connection, clinic.id, [look.reference.key for look in looks if look.reference])
        made: list[object] = []
        for look in looks:
            made.append(Judged(look.row.file_id, look.row.result, look.row.revision))
            if look.reference is not None and look.seen is not None:
                judged = _judge(look.reference, look.seen, known, clinic, now)
                made.extend([judged] if judged else [])
        return made

    def _open(self, clinic: Clinic, row: Row[Any]) -> _Look:
        try:
            context = result_context(row.file_id, row.result)
            detail = ResultDetail.model_validate_json(self._opener.open(clinic.id, context, row.sealed_result))
        except (PermanentError, ValueError):
            # Its key has ended, or it is of another version: there is nothing to be learnt from it.
            return _Look(row)
        is_telling = row.kind in _TELLING and row.processed_at is not None and detail.patient_id is not None
        if not is_telling or not detail.insurer_number or is_aid(detail.insurer_number) or not detail.number:
            return _Look(row)
        own = reference(self._keyring.identity(clinic.id), clinic.id, detail_of(detail))
        verdicts = frozenset(read_codes(row.verdicts))
        seen = Seen(
            at=row.processed_at,
            code=clinic.code_on(row.processed_at.astimezone(JST).date()),
            own=own.detail.number,
            carried=(detail.reference_number or "").strip() or None,
            is_conflict=Verdict.REFERENCE_NUMBER_CONFLICT in verdicts,
            may_register=verdicts.isdisjoint(_NOT_IN_FORCE),
        )
        return _Look(row, seen, own)


def detail_of(result: ResultDetail) -> ReferenceDetail:
    """Name the number we would register: the chart number, for the insurance of the result."""
    assert result.patient_id is not None
    assert result.insurer_number is not None
    return ReferenceDetail(
        patient_id=result.patient_id,
        number=result.patient_id,
        insurer_number=result.insurer_number,
        symbol=result.symbol or "",
        card_number=result.number or "",
        branch_number=result.branch_number or "",
        carried=(result.reference_number or "").strip() or None,
    )


def _known(connection: Connection, clinic: str, keys: Sequence[Key]) -> _Known:
    known = _Known({})
    wanted = sorted({key.insurance_hash for key in keys})
    if wanted:
        of_these = reference_numbers.c.insurance_hash.in_(wanted)
        query = select(reference_numbers).where(reference_numbers.c.clinic == clinic, of_these)
        for row in connection.execute(query.order_by(reference_numbers.c.patient_hash).with_for_update()):
            known.take(key_of(row), held_of(row))
    return known


def _judge(own: Reference, seen: Seen, known: _Known, clinic: Clinic, now: datetime) -> Write | None:
    policy, code = clinic.references, clinic.code_on(now.astimezone(JST).date())
    held = known.by_key.get(own.key)
    judgement = judge(seen, held, code, automatic=policy.enabled)
    if judgement is None:
        return None
    if judgement.state is ReferenceState.WANTED:
        judgement = _registrable(own, known) or judgement
    known.take(own.key, Held(judgement.state, seen.at, held.registered_at if held else None))
    return Write(
        own,
        judgement.state,
        code,
        Role.CONSENT.value,
        judgement.reason,
        seen.at,
        next_time(policy.at, now) if judgement.state is ReferenceState.WANTED else None,
    )


def _registrable(own: Reference, known: _Known) -> Judgement | None:
    """Say why a missing number is not registered by itself; none when it is."""
    if known.owners.get(own.key.insurance_hash, set()) - {own.key.patient_hash}:
        return Judgement(ReferenceState.WRONG, Reason.OTHER_PATIENT)
    entry = entry_of(own.detail)
    return Judgement(ReferenceState.REFUSED, entry) if isinstance(entry, Reason) else None
