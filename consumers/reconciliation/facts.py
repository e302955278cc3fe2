"""What does the store know that decides these files?

A few queries for any number of files: the files (locked, in the order of their ids), their results, the requests they
answer, the current lists, then the patients who have anything in common with them. A file that cannot be opened is
that file's fault alone.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, tuple_

from consumers.reconciliation.answers import Asked
from consumers.reconciliation.chart import Patient, patients_of
from consumers.reconciliation.decision import Case
from consumers.reconciliation.index import close_hashes, patient_key, wide_hashes
from consumers.reconciliation.matching import identify
from consumers.reconciliation.patient_list import current_lists, open_row
from consumers.reconciliation.subject import entries
from pipeline.contents import record_context, request_context
from pipeline.custody import FileOutcome
from pipeline.errors import PermanentError
from pipeline.keyring import Keyring
from pipeline.oqs.answers import arbitrary_file_identifier, processed_at, reception_number
from pipeline.oqs.records import parse_record_json
from pipeline.patient_row import PatientRow
from pipeline.request_row import RequestDetail
from pipeline.sealing import IdentityKey, Opener
from pipeline.storage.schema import decisions, files, patient_hashes, patients, receipts, requests, results
from pipeline.topology import Role

_HASHES_AT_ONCE = 400
_NEVER_DELIVERED = frozenset({FileOutcome.REJECTED.value, FileOutcome.NOT_DUE.value})


@dataclass(frozen=True, slots=True, repr=False)
class FileFacts:
    """One file. `case` is there for files that are to be decided; `fault` when its seals cannot be opened."""

    file_id: str
    clinic: str
    outcome: str
    revision: int
    list_id: str | None
    """The clinic's current list; without one nothing is decided."""
    held: tuple[Row[Any], ...] = ()
    """Its result rows, in order."""
    has_receipt: bool = False
    reviewed: frozenset[int] = frozenset()
    """Which of its rows a person has ever decided about."""
    processed_at: datetime | None = None
    case: Case | None = None
    fault: PermanentError | None = None

    @property
    def was_decided(self) -> bool:
        return self.has_receipt


@dataclass(frozen=True, slots=True, repr=False)
class Gatherer:
    """Reads facts with the keys of the centre."""

    keyring: Keyring
    opener: Opener = field(repr=False)

    def files(self, connection: Connection, file_ids: Collection[str]) -> dict[str, FileFacts]:
        """Read everything that decides these files. A file that is not in the store is left out."""
        wanted = sorted(set(file_ids))
        if not wanted:
            return {}
        query = select(files).where(files.c.file_id.in_(wanted)).order_by(files.c.file_id).with_for_update()
        rows = connection.execute(query).all()
        lists = current_lists(connection, [row.clinic for row in rows])
        asked = self._requests(connection, rows)
        held = _held(connection, wanted)
        done = _receipts(connection, wanted)
        reviewed = _reviewed(connection, sorted(done))
        facts = [
            FileFacts(
                file_id=row.file_id,
                clinic=row.clinic,
                outcome=row.outcome,
                revision=row.revision,
                list_id=lists.get(row.clinic),
                held=tuple(held.get(row.file_id, ())),
                has_receipt=row.file_id in done,
                reviewed=frozenset(reviewed.get(row.file_id, ())),
            )
            for row in rows
        ]
        opened = [self._open(fact, row, asked) for fact, row in zip(facts, rows, strict=True)]
        return {fact.file_id: fact for fact in self._with_patients(connection, opened)}

    def _requests(self, connection: Connection, rows: Sequence[Row[Any]]) -> dict[tuple[str, str], list[Row[Any]]]:
        keys = sorted({(row.clinic, row.correlation_hash) for row in rows if row.correlation_hash})
        found: dict[tuple[str, str], list[Row[Any]]] = {}
        if keys:
            query = select(requests).where(tuple_(requests.c.clinic, requests.c.base_hash).in_(keys))
            for row in connection.execute(query.order_by(requests.c.request_id)):
                found.setdefault((row.clinic, row.base_hash), []).append(row)
        return found

    def _open(self, fact: FileFacts, row: Row[Any], asked: Mapping[tuple[str, str], Sequence[Row[Any]]]) -> FileFacts:
        if row.outcome in _NEVER_DELIVERED or row.sealed_record is None:
            return fact
        try:
            content = self.opener.open(row.clinic, record_context(row.file_id), row.sealed_record)
            record = parse_record_json(content)
            own = [self._request(found) for found in asked.get((row.clinic, row.correlation_hash or ""), ())]
        except PermanentError as error:
            return replace(fact, fault=error)
        except ValueError:
            return replace(fact, fault=PermanentError("record_unreadable"))
        asked_for = _choose(own, arbitrary_file_identifier(record), reception_number(record))
        case = Case(entries(record), (), asked_for)
        return replace(fact, case=case, processed_at=processed_at(record) or row.processed_at)

    def _request(self, row: Row[Any]) -> RequestDetail:
        content = self.opener.open(row.clinic, request_context(row.request_id), row.sealed_request)
        return RequestDetail.model_validate_json(content)

    def _with_patients(self, connection: Connection, facts: Iterable[FileFacts]) -> Iterator[FileFacts]:
        by_clinic: dict[str, list[FileFacts]] = {}
        for fact in facts:
            if fact.case is None or fact.list_id is None:
                yield fact
            else:
                by_clinic.setdefault(fact.clinic, []).append(fact)
        for clinic, group in by_clinic.items():
            yield from self._of_clinic(connection, clinic, group)

    def _of_clinic(self, connection: Connection, clinic: str, group: Sequence[FileFacts]) -> Iterator[FileFacts]:
        identity, list_id = self.keyring.identity(clinic), group[0].list_id
        assert list_id is not None
        search = _Search(self, connection, clinic, list_id)
        close = {fact.file_id: _close(identity, fact) for fact in group}
        search.look_up(identity, {name for names in close.values() for name in names})
        wide = {fact.file_id: _wide(identity, fact, search.patients(close[fact.file_id])) for fact in group}
        search.look_up(identity, {name for names in wide.values() for name in names})
        for fact in group:
            assert fact.case is not None
            found = search.patients(close[fact.file_id] | wide[fact.file_id])
            yield replace(fact, case=replace(fact.case, patients=found))


def _close(identity: IdentityKey, fact: FileFacts) -> frozenset[str]:
    assert fact.case is not None
    found = {name for entry in fact.case.entries for name in close_hashes(identity, entry.subject)}
    asked = fact.case.asked
    if asked is not None and asked.request.patient_id is not None:
        found.add(patient_key(identity, asked.request.patient_id))
    return frozenset(found)


def _wide(identity: IdentityKey, fact: FileFacts, found: tuple[Patient, ...]) -> frozenset[str]:
    """Look by birthdate alone for those whom nothing closer decided; it cannot change what was decided."""
    assert fact.case is not None
    undecided = [entry for entry in fact.case.entries if identify(entry.subject, found).patient is None]
    return frozenset(name for entry in undecided for name in wide_hashes(identity, entry.subject))


class _Search:
    """Opened rows of one list, by the hashes they were found under."""

    def __init__(self, gatherer: Gatherer, connection: Connection, clinic: str, list_id: str) -> None:
        self._gatherer = gatherer
        self._connection = connection
        self._clinic = clinic
        self._list_id = list_id
        self._numbers: dict[str, set[int]] = {}
        self._rows: dict[int, PatientRow] = {}
        self._by_patient: dict[str, list[PatientRow]] = {}

    def look_up(self, identity: IdentityKey, names: Collection[str]) -> None:
        """Find and open the rows under these hashes, then every other row of the same patients."""
        self._read(names)
        self._read({patient_key(identity, row.patient_id) for row in self._rows.values()})

    def patients(self, names: Collection[str]) -> tuple[Patient, ...]:
        """Give everybody found under these hashes, each with all of its rows."""
        ids = {self._rows[number].patient_id for name in names for number in self._numbers.get(name, ())}
        return patients_of(row for patient_id in sorted(ids) for row in self._by_patient[patient_id])

    def _read(self, names: Collection[str]) -> None:
        new = sorted(set(names) - self._numbers.keys())
        self._numbers |= {name: set() for name in new}
        for start in range(0, len(new), _HASHES_AT_ONCE):
            part = new[start : start + _HASHES_AT_ONCE]
            query = select(patient_hashes.c.hash, patient_hashes.c.row).where(
                patient_hashes.c.list_id == self._list_id, patient_hashes.c.hash.in_(part)
            )
            for row in self._connection.execute(query):
                self._numbers[row.hash].add(row.row)
            self._open({number for name in part for number in self._numbers[name]} - self._rows.keys())

    def _open(self, numbers: Collection[int]) -> None:
        ordered = sorted(numbers)
        for start in range(0, len(ordered), _HASHES_AT_ONCE):
            part = ordered[start : start + _HASHES_AT_ONCE]
            query = select(patients.c.row, patients.c.sealed).where(
                patients.c.list_id == self._list_id, patients.c.row.in_(part)
            )
            for found in self._connection.execute(query):
                opened = open_row(self._gatherer.opener, self._clinic, self._list_id, found.row, found.sealed)
                self._rows[found.row] = opened
                self._by_patient.setdefault(opened.patient_id, []).append(opened)


def _choose(own: Sequence[RequestDetail], identifier: str | None, received_as: str | None) -> Asked | None:
    """Choose the request an answer belongs to; of several of one base name, the one whose identifier it carries."""
    if not own:
        return None
    exact = [request for request in own if request.arbitrary_file_identifier == identifier]
    return Asked((exact or own)[0], identifier, received_as)


def _held(connection: Connection, file_ids: Sequence[str]) -> dict[str, list[Row[Any]]]:
    query = select(results).where(results.c.file_id.in_(file_ids)).order_by(results.c.file_id, results.c.result)
    found: dict[str, list[Row[Any]]] = {}
    for row in connection.execute(query):
        found.setdefault(row.file_id, []).append(row)
    return found


def _reviewed(connection: Connection, file_ids: Sequence[str]) -> dict[str, set[int]]:
    found: dict[str, set[int]] = {}
    if file_ids:
        query = select(decisions.c.file_id, decisions.c.result).where(decisions.c.file_id.in_(file_ids))
        for row in connection.execute(query):
            found.setdefault(row.file_id, set()).add(row.result)
    return found


def _receipts(connection: Connection, file_ids: Sequence[str]) -> set[str]:
    query = select(receipts.c.file_id).where(
        receipts.c.file_id.in_(file_ids), receipts.c.consumer == Role.RECONCILIATION.value
    )
    return set(connection.scalars(query))
