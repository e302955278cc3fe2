"""Can a clinic's key open another clinic's rows? I7: every seal names a key of its own clinic."""

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Column, Connection, Table, func, select

from pipeline.invariants.finding import Finding
from pipeline.keyring import Keyring
from pipeline.sealing import key_id
from pipeline.storage.schema import (
    bookings,
    copies,
    decisions,
    files,
    grants,
    holds,
    patient_lists,
    patient_parts,
    patients,
    reference_numbers,
    requests,
    results,
)

_SEALED: Final[tuple[tuple[Column[Any], Column[Any]], ...]] = (
    (files.c.file_id, files.c.sealed_original),
    (files.c.file_id, files.c.sealed_record),
    (copies.c.copy_id, copies.c.sealed_name),
    (results.c.file_id, results.c.sealed_result),
    (decisions.c.decision_id, decisions.c.sealed_reason),
    (patients.c.list_id, patients.c.sealed),
    (grants.c.grant_id, grants.c.sealed_person),
    (requests.c.request_id, requests.c.sealed_request),
    (requests.c.request_id, requests.c.sealed_message),
    (holds.c.hold_id, holds.c.sealed_reason),
    (reference_numbers.c.patient_hash, reference_numbers.c.sealed),
    (bookings.c.patient_hash, bookings.c.sealed),
)
_MAGIC: Final = b"O1"
_HEAD: Final = 10


def finding(connection: Connection, keyring: Keyring) -> Finding:
    """Look at the first bytes of every seal; nothing is opened."""
    # Destroyed keys count: what was sealed to them still belongs to their clinic.
    known = {(epoch.clinic, key_id(bytes.fromhex(epoch.public))) for epoch in keyring.ring.epochs}
    broken = dict.fromkeys(
        str(row.id)
        for row in _rows(connection)
        if bytes(row.head)[: len(_MAGIC)] != _MAGIC or (row.clinic, bytes(row.head)[len(_MAGIC) :]) not in known
    )
    return Finding("I7", "everything sealed of a clinic is sealed to a key of that clinic", tuple(broken))


def _rows(connection: Connection) -> Iterator[Any]:
    reading = connection.execution_options(yield_per=1000)
    for identifier, sealed in _SEALED:
        table = identifier.table
        assert isinstance(table, Table)
        head = func.substr(sealed, 1, _HEAD).label("head")
        columns = (identifier.label("id"), table.c.clinic, head)
        # What ended with its key is emptied.
        yield from reading.execute(select(*columns).where(func.length(sealed) > 0))
    head = func.substr(patient_parts.c.sealed, 1, _HEAD).label("head")
    parts = select(patient_parts.c.list_id.label("id"), patient_lists.c.clinic, head)
    parts = parts.join(patient_lists, patient_lists.c.list_id == patient_parts.c.list_id)
    # The parts of a list that is current are emptied.
    yield from reading.execute(parts.where(func.length(patient_parts.c.sealed) > 0))
