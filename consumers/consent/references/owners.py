"""Whose number (照会番号) does an insurance hold already, so that another's would be registered over it?"""

from collections.abc import Sequence

from sqlalchemy import Connection, select

from consumers.consent.inquiries.person import Person
from consumers.consent.references.rows import insurance_hash
from consumers.consent.references.state import ReferenceState
from pipeline.keyring import Keyring
from pipeline.persons import patient_hash
from pipeline.storage.schema import reference_numbers

_TAKEN = (ReferenceState.WANTED, ReferenceState.ASKED, ReferenceState.REGISTERED, ReferenceState.VERIFIED)
_NUMBERS = reference_numbers.c


def places_of_others(connection: Connection, keyring: Keyring, clinic: str, people: Sequence[Person]) -> list[int]:
    """List the places in `people`, from 0, of those whose insurance is another patient's here as well."""
    identity = keyring.identity(clinic)
    insured = [
        insurance_hash(identity, one.insurer_number, one.symbol, one.number, one.branch_number) for one in people
    ]
    own = [patient_hash(identity, one.patient_id or "") for one in people]
    owners: dict[str, set[str]] = {}
    for hashed, patient in zip(insured, own, strict=True):
        owners.setdefault(hashed, set()).add(patient)
    taken = _NUMBERS.state.in_([state.value for state in _TAKEN])
    query = select(_NUMBERS.insurance_hash, _NUMBERS.patient_hash).where(_NUMBERS.clinic == clinic, taken)
    for row in connection.execute(query):
        if row.insurance_hash in owners:
            owners[row.insurance_hash].add(row.patient_hash)
    return [at for at, hashed in enumerate(insured) if len(owners[hashed]) > 1]
