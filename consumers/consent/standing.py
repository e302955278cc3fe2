"""Under which grants may somebody be asked about now, and how did the service itself name the person?

A patient of the chart is one or more insured persons to the service: those whose insurance the chart holds, and those
whom reconciliation has matched to it. For commands; the schedule reads grants by itself.
"""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Final

from sqlalchemy import Connection, and_, select

from consumers.consent.grants import Grant, Source, may_ask
from consumers.consent.inquiries import Permission, Person
from consumers.consent.person_detail import PersonDetail
from pipeline.contents import person_context
from pipeline.keyring import Keyring
from pipeline.oqs.codes import TreatmentFlag
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.persons import patient_hash
from pipeline.sealing import Opener
from pipeline.storage.schema import grants, results, standings

_TREATMENT: Final = {
    Source.READER: TreatmentFlag.OUTPATIENT,
    Source.VISIT: TreatmentFlag.VISIT,
    Source.ONLINE: TreatmentFlag.ONLINE,
    Source.EMERGENCY: TreatmentFlag.EMERGENCY,
    Source.DISASTER: TreatmentFlag.OUTPATIENT,
}


@dataclass(frozen=True, slots=True)
class Allowed:
    """One insured person with the grants that stand now, by source and category, the oldest first."""

    person: Person = field(repr=False)
    permissions: dict[tuple[Source, str], Permission]

    def under(self, category: ConsentCategory, *also: ConsentCategory) -> Permission | None:
        """Give the newest permission for a category beside which all of these stand; it ends with the first of them.

        What was answered elsewhere, over a visit perhaps, permits nothing here: each source is for itself.
        """
        for source, name in reversed(self.permissions):
            held = [self.permissions.get((source, one.value)) for one in (category, *also)]
            if name == category.value and None not in held:
                found = [one for one in held if one is not None]
                limits = [one.until for one in found if one.until is not None]
                treatments = found[1].grant_id if also else None
                return replace(found[0], until=min(limits, default=None), treatment_grant_id=treatments)
        return None


def hashes_of(connection: Connection, keyring: Keyring, clinic: str, patient_id: str) -> set[str]:
    """Name the insured persons whom reconciliation has matched to a chart number."""
    own = patient_hash(keyring.identity(clinic), patient_id)
    query = select(results.c.person_hash).where(
        results.c.clinic == clinic, results.c.patient_hash == own, results.c.person_hash.is_not(None)
    )
    return set(connection.scalars(query))


def allowed(
    connection: Connection, keyring: Keyring, clinic: str, person_hashes: Collection[str], now: datetime
) -> list[Allowed]:
    """List whom of these persons may be asked about now, and for what."""
    same = and_(standings.c.grant_id == grants.c.grant_id, standings.c.granted.is_(True))
    query = (
        select(grants)
        .join(standings, same)
        .where(grants.c.clinic == clinic, grants.c.person_hash.in_(sorted(person_hashes)))
        .order_by(grants.c.consented_at)
    )
    opener = Opener(keyring)
    permissions: dict[str, dict[tuple[Source, str], Permission]] = {}
    people: dict[str, Person] = {}
    for row in connection.execute(query):
        source, category = Source(row.source), ConsentCategory(row.category)
        grant = Grant(category, source, row.granted, row.consented_at, row.until, row.may_request, "")
        if row.sealed_person is None or not may_ask(grant, now):
            continue
        raw = opener.open(clinic, person_context(row.person_hash), row.sealed_person)
        detail = PersonDetail.model_validate_json(raw)
        permission = Permission(
            row.category, row.grant_id, row.until, _TREATMENT[source], institution_code=detail.institution_code
        )
        permissions.setdefault(row.person_hash, {})[source, row.category] = permission
        people[row.person_hash] = Person.model_validate(detail.model_dump())
    return [Allowed(people[hashed], held) for hashed, held in sorted(permissions.items())]
