"""Which is a clinic's current patient list, and how is a row of it found by its chart number, and opened?

Each row lies sealed under keyed hashes, one namespace each (`patient_hashes`); the first character names it, so that
the store can count the patients of a list. Reconciliation writes the list and finds people by all of them.
"""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, select

from pipeline.keyring import Keyring
from pipeline.patient_row import PatientRow, rows_from_bytes
from pipeline.sealing import IdentityKey, Opener
from pipeline.storage.engine import before_locking
from pipeline.storage.schema import patient_hashes, patient_lists, patients

PATIENT_FIRST, PATIENT_AFTER = "p", "q"
"""Hashes of chart numbers lie from `p` up to `q`, which is not included."""

_AT_ONCE: Final = 400


def index_key(identity: IdentityKey, namespace: str, *parts: str) -> str:
    digest = identity.mac(f"index:{namespace}", *(part.encode() for part in parts))
    return namespace + digest[1:]


def patient_key(identity: IdentityKey, patient_id: str) -> str:
    """Name what the rows of a chart number lie under."""
    return index_key(identity, PATIENT_FIRST, patient_id)


def row_context(list_id: str, row: int) -> str:
    """Bind a sealed patient row to its place in its list."""
    return f"patient:{list_id}:{row}"


def open_row(opener: Opener, clinic: str, list_id: str, row: int, sealed: bytes) -> PatientRow:
    return rows_from_bytes(opener.open(clinic, row_context(list_id, row), sealed))[0]


def current_lists(connection: Connection, clinics: Iterable[str]) -> dict[str, str]:
    """Name the current list of each clinic that has one. It stays current, and whole, while the transaction lasts."""
    wanted = set(clinics)
    found = _locked(connection, wanted)
    # Whoever had to wait for a swap sees neither list: the former is current no more, the new one was not when the
    # statement began. The next statement sees it.
    if missing := wanted - found.keys():
        found |= _locked(connection, missing)
    return found


def _locked(connection: Connection, clinics: Collection[str]) -> dict[str, str]:
    query = (
        select(patient_lists.c.clinic, patient_lists.c.list_id)
        .where(patient_lists.c.clinic.in_(sorted(clinics)), patient_lists.c.state == "current")
        .order_by(patient_lists.c.clinic)
    )
    before_locking(connection)
    # Else it could be swapped and its rows removed half way through a search: of two charts one would be found.
    return {row.clinic: row.list_id for row in connection.execute(query.with_for_update(read=True))}


@dataclass(frozen=True, slots=True, repr=False)
class CurrentList:
    """The current patient list of one clinic, for whoever knows chart numbers already."""

    connection: Connection
    keyring: Keyring
    clinic: str
    opener: Opener = field(repr=False)

    def id(self) -> str | None:
        """Name the list; none when the clinic has sent none. It stays whole while the transaction lasts."""
        return current_lists(self.connection, [self.clinic]).get(self.clinic)

    def of(self, patient_ids: Collection[str]) -> dict[str, list[PatientRow]]:
        """Open the rows of these patients, in the order of the list; who is not on it is left out."""
        list_id, identity = self.id(), self.keyring.identity(self.clinic)
        names = sorted({patient_key(identity, patient_id) for patient_id in patient_ids})
        found: dict[str, list[PatientRow]] = {}
        if list_id is None:
            return found
        hashes = patient_hashes.c
        for at in range(0, len(names), _AT_ONCE):
            query = (
                select(patients.c.row, patients.c.sealed)
                .join(patient_hashes, (hashes.list_id == patients.c.list_id) & (hashes.row == patients.c.row))
                .where(hashes.list_id == list_id, hashes.hash.in_(names[at : at + _AT_ONCE]))
                .order_by(patients.c.row)
            )
            for row in self.connection.execute(query):
                opened = open_row(self.opener, self.clinic, list_id, row.row, row.sealed)
                found.setdefault(opened.patient_id, []).append(opened)
        return {patient_id: found[patient_id] for patient_id in patient_ids if patient_id in found}

    def everybody(self) -> Iterator[PatientRow]:
        """Open every row, in the order of the list."""
        list_id = self.id()
        query = select(patients.c.row, patients.c.sealed).where(patients.c.list_id == list_id).order_by(patients.c.row)
        for row in self.connection.execution_options(yield_per=1000).execute(query):
            yield open_row(self.opener, self.clinic, str(list_id), row.row, row.sealed)
