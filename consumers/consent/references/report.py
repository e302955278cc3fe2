"""Which reference numbers (照会番号) are wrong, unproved or missing, and which may be registered?

The store's numbers are held against the current patient list. Made for the command line, in one transaction.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import Connection, Row, select

from consumers.consent.cards import is_asked_for
from consumers.consent.references.rows import Key, Reference, ReferenceDetail, entry_of, key_of, reference
from consumers.consent.references.state import Reason, ReferenceState
from pipeline.errors import PermanentError
from pipeline.keyring import Keyring
from pipeline.patient_index import CurrentList
from pipeline.patient_row import PatientRow
from pipeline.sealing import IdentityKey, Opener
from pipeline.storage.schema import reference_numbers

_STANDS = frozenset({ReferenceState.REGISTERED, ReferenceState.VERIFIED})
_TAKEN = _STANDS | {ReferenceState.WANTED, ReferenceState.ASKED}


class Finding(StrEnum):
    """What can be said of a number, worst first."""

    WRONG = "wrong"
    SHARED = "shared"
    """The service gives one number for two patients."""
    NO_PATIENT = "no_patient"
    """The number is of nobody on the current list."""
    REFUSED = "refused"
    AMBIGUOUS = "ambiguous"
    """Two charts have this insurance, or another's number holds it; nothing is registered by itself."""
    CHANGED = "changed"
    """The patient has a number for another insurance than the chart's."""
    MISSING = "missing"
    NOT_REGISTRABLE = "not_registrable"
    UNVERIFIED = "unverified"


FAULTS = frozenset({Finding.WRONG, Finding.SHARED, Finding.NO_PATIENT, Finding.REFUSED})


@dataclass(frozen=True, slots=True, repr=False)
class Stored:
    """One number of the store, opened."""

    reference: Reference
    state: ReferenceState
    reason: str | None
    institution_code: str | None
    registered_at: datetime | None
    verified_at: datetime | None
    since: datetime | None

    @property
    def known_as(self) -> str | None:
        """The number that the service holds, as far as we know."""
        if self.state is ReferenceState.WRONG:
            return self.reference.detail.carried
        return self.reference.detail.number if self.state in _STANDS else None


@dataclass(frozen=True, slots=True, repr=False)
class Line:
    """One line of the report."""

    finding: Finding
    reference: Reference
    reason: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Book:
    """The numbers and the chart of one clinic."""

    stored: tuple[Stored, ...]
    charted: tuple[Reference, ...]
    """What would be registered for the insurances of the list that are in force."""
    patient_ids: frozenset[str] = field(default_factory=frozenset)
    """Everybody on the list."""

    @property
    def by_key(self) -> Mapping[Key, Stored]:
        return {one.reference.key: one for one in self.stored}


def read(connection: Connection, keyring: Keyring, opener: Opener, clinic: str, today: date) -> Book:
    """Open the numbers of a clinic, and its list."""
    listed = list(CurrentList(connection, keyring, clinic, opener).everybody())
    charted = _charted(keyring.identity(clinic), clinic, listed, today)
    query = select(reference_numbers).where(reference_numbers.c.clinic == clinic)
    rows = connection.execute(query.order_by(reference_numbers.c.patient_hash, reference_numbers.c.insurance_hash))
    stored = tuple(one for row in rows if (one := _stored(opener, row)))
    return Book(stored, tuple(charted.values()), frozenset(row.patient_id for row in listed))


def _stored(opener: Opener, row: Row[Any]) -> Stored | None:
    key = key_of(row)
    try:
        detail = ReferenceDetail.model_validate_json(opener.open(key.clinic, key.context, row.sealed))
    except (PermanentError, ValueError):
        return None
    return Stored(
        Reference(key, detail),
        ReferenceState(row.state),
        row.reason,
        row.institution_code,
        row.registered_at,
        row.verified_at,
        row.registered_at or row.asked_at or row.wanted_at or row.seen_at,
    )


def _charted(identity: IdentityKey, clinic: str, listed: Iterable[PatientRow], today: date) -> dict[Key, Reference]:
    found: dict[Key, Reference] = {}
    for row in listed:
        if is_asked_for(row, today):
            own = reference(identity, clinic, detail_of(row))
            found[own.key] = own
    return found


def detail_of(row: PatientRow) -> ReferenceDetail:
    return ReferenceDetail(
        patient_id=row.patient_id,
        number=row.patient_id,
        insurer_number=row.insurer_number,
        symbol=row.symbol,
        card_number=row.number,
        branch_number=row.branch_number,
    )


def lines(book: Book) -> list[Line]:
    """Say everything there is to say, worst first."""
    found = [*_of_stored(book), *_shared(book.stored), *_of_chart(book)]
    order = {finding: at for at, finding in enumerate(Finding)}
    return sorted(found, key=lambda line: (order[line.finding], line.reference.detail.patient_id))


def _of_stored(book: Book) -> Iterator[Line]:
    for one in book.stored:
        own = one.reference
        if own.detail.patient_id not in book.patient_ids and one.state in _STANDS:
            yield Line(Finding.NO_PATIENT, own, one.reason, one.since)
        elif one.state is ReferenceState.WRONG:
            yield Line(Finding.WRONG, own, one.reason, one.since)
        elif one.state is ReferenceState.REFUSED:
            yield Line(Finding.REFUSED, own, one.reason, one.since)
        elif one.state is ReferenceState.REGISTERED:
            yield Line(Finding.UNVERIFIED, own, one.reason, one.since)


def _shared(stored: Sequence[Stored]) -> Iterator[Line]:
    owners: dict[str, set[str]] = {}
    for one in stored:
        if one.known_as:
            owners.setdefault(one.known_as, set()).add(one.reference.detail.patient_id)
    for one in stored:
        if one.known_as and len(owners[one.known_as]) > 1:
            yield Line(Finding.SHARED, one.reference, one.reason, one.since)


def _of_chart(book: Book) -> Iterator[Line]:
    known = book.by_key
    having = {one.reference.detail.patient_id for one in book.stored if one.state in _STANDS}
    doubled = _doubled(book)
    for own in book.charted:
        if own.key in known:
            continue
        entry = entry_of(own.detail)
        if own.key.insurance_hash in doubled:
            yield Line(Finding.AMBIGUOUS, own)
        elif isinstance(entry, Reason):
            yield Line(Finding.NOT_REGISTRABLE, own, entry.value)
        elif own.detail.patient_id in having:
            yield Line(Finding.CHANGED, own)
        else:
            yield Line(Finding.MISSING, own)


def _doubled(book: Book) -> frozenset[str]:
    """Name the insurances of two patients: of two charts, or of one whose number it holds and of another chart."""
    owners: dict[str, set[str]] = {}
    held = [one.reference for one in book.stored if one.state in _TAKEN]
    for own in (*book.charted, *held):
        owners.setdefault(own.key.insurance_hash, set()).add(own.key.patient_hash)
    return frozenset(insured for insured, patients in owners.items() if len(patients) > 1)


def of_patient(book: Book, patient_id: str) -> list[Reference]:
    """Choose what a person registers for one patient: the chart's insurances, over whatever stands there."""
    return [own for own in book.charted if own.detail.patient_id == patient_id and _is_registrable(own)]


def of_findings(book: Book, *wanted: Finding) -> list[Reference]:
    return [line.reference for line in lines(book) if line.finding in wanted]


def of_everybody(book: Book) -> list[Reference]:
    """Choose every number again, under a new institution code; never over one that is wrong, nor for two charts."""
    wrong = {one.reference.key for one in book.stored if one.state is ReferenceState.WRONG}
    doubled = _doubled(book)
    return [
        own
        for own in book.charted
        if own.key not in wrong and own.key.insurance_hash not in doubled and _is_registrable(own)
    ]


def _is_registrable(own: Reference) -> bool:
    return not isinstance(entry_of(own.detail), Reason)
