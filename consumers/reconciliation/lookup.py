"""Who on the current patient list has this chart number (患者番号)? For commands that ask about patients."""

from collections.abc import Collection

from sqlalchemy import Connection, select

from consumers.reconciliation.index import patient_key
from consumers.reconciliation.patient_list import current_lists, open_row
from pipeline.keyring import Keyring
from pipeline.patient_row import PatientRow
from pipeline.sealing import Opener
from pipeline.storage.schema import patient_hashes, patients

_AT_ONCE = 400


def rows_of(
    connection: Connection, keyring: Keyring, clinic: str, patient_ids: Collection[str]
) -> dict[str, list[PatientRow]]:
    """Give the rows of these patients, one for each insurance; who is not on the list is left out."""
    list_id = current_lists(connection, [clinic]).get(clinic)
    if list_id is None:
        return {}
    identity, opener = keyring.identity(clinic), Opener(keyring)
    keys = sorted({patient_key(identity, patient_id) for patient_id in patient_ids})
    found: dict[str, list[PatientRow]] = {}
    here = patient_hashes.c.list_id == patients.c.list_id
    for start in range(0, len(keys), _AT_ONCE):
        query = (
            select(patients.c.row, patients.c.sealed)
            .join(patient_hashes, here & (patient_hashes.c.row == patients.c.row))
            .where(patient_hashes.c.list_id == list_id, patient_hashes.c.hash.in_(keys[start : start + _AT_ONCE]))
            .order_by(patients.c.row)
        )
        for row in connection.execute(query):
            opened = open_row(opener, clinic, list_id, row.row, row.sealed)
            if opened.patient_id in patient_ids:
                found.setdefault(opened.patient_id, []).append(opened)
    return found
