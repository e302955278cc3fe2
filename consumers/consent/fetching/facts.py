"""Under which grants is it to be seen what may be asked, and what is known of their persons?

A few queries for any number of grants. What stands is read in the transaction that writes the requests.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select, tuple_

from consumers.consent.fetching.plan import FETCHED, XML, Past, Standing
from consumers.consent.grants import Grant
from consumers.consent.request_state import RequestState
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.storage.schema import grants, requests, results, standings
from pipeline.topology import Role

MOST: Final = 20

_Person = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Due:
    """A grant with everything that decides what is asked under it."""

    clinic: str
    person_hash: str
    terminal: str
    file_id: str
    fetch_at: datetime
    standing: Standing
    beside: dict[ConsentCategory, Standing]
    past: tuple[Past, ...]
    sealed_person: bytes | None = field(repr=False)
    result: Any = field(repr=False)
    """The row of the result list it came with, once that is matched."""


def due(connection: Connection, clinics: Collection[str], now: datetime) -> list[Due]:
    """Claim the grants that are to be looked at now, oldest first."""
    query = (
        select(*_columns(), standings.c.fetch_at)
        .join(grants, grants.c.grant_id == standings.c.grant_id)
        .where(standings.c.clinic.in_(sorted(clinics)), standings.c.fetch_at <= now)
        .order_by(standings.c.fetch_at, standings.c.grant_id)
        .limit(MOST)
        .with_for_update(of=standings, skip_locked=True)
    )
    rows = connection.execute(query).all()
    if not rows:
        return []
    people = sorted({(row.clinic, row.person_hash) for row in rows})
    beside, past = _standing(connection, people), _past(connection, people, now)
    matched = _matched(connection, rows)
    return [
        Due(
            clinic=row.clinic,
            person_hash=row.person_hash,
            terminal=row.terminal,
            file_id=row.file_id,
            fetch_at=row.fetch_at,
            standing=_read(row),
            beside=beside.get((row.clinic, row.person_hash, row.source), {}),
            past=tuple(past.get((row.clinic, row.person_hash, FETCHED[ConsentCategory(row.category)].value), ())),
            sealed_person=row.sealed_person,
            result=matched.get((row.file_id, row.person_hash)),
        )
        for row in rows
    ]


def _columns() -> tuple[Any, ...]:
    told = (grants.c.terminal, grants.c.file_id, grants.c.sealed_person, grants.c.may_request, grants.c.validity)
    held = standings.c
    return (
        *(held.clinic, held.person_hash, held.category, held.source, held.grant_id),
        *(held.granted, held.consented_at, held.until, *told),
    )


def _read(row: Any) -> Standing:
    return Standing(row.grant_id, Grant.of_row(row))


def _standing(
    connection: Connection, people: Sequence[_Person]
) -> dict[tuple[str, str, str], dict[ConsentCategory, Standing]]:
    query = select(*_columns()).join(grants, grants.c.grant_id == standings.c.grant_id)
    query = query.where(tuple_(standings.c.clinic, standings.c.person_hash).in_(people))
    found: dict[tuple[str, str, str], dict[ConsentCategory, Standing]] = {}
    for row in connection.execute(query):
        of_source = found.setdefault((row.clinic, row.person_hash, row.source), {})
        of_source[ConsentCategory(row.category)] = _read(row)
    return found


def _past(connection: Connection, people: Sequence[_Person], now: datetime) -> dict[tuple[str, str, str], list[Past]]:
    names = ("request_id", "clinic", "person_hash", "kind", "state", "grant_id", "file_category", "period")
    columns = [requests.c[name] for name in (*names, "wanted_at", "placed_at", "ordered_until", "asked_by")]
    query = select(*columns).where(
        tuple_(requests.c.clinic, requests.c.person_hash).in_(people),
        requests.c.kind.in_(sorted(kind.value for kind in FETCHED.values())),
    )
    found: dict[tuple[str, str, str], list[Past]] = {}
    for row in connection.execute(query.order_by(requests.c.wanted_at, requests.c.request_id)):
        one = Past(
            request_id=row.request_id,
            state=RequestState(row.state),
            grant_id=row.grant_id,
            file_category=row.file_category or XML,
            period=row.period,
            wanted_at=row.wanted_at,
            placed_at=row.placed_at,
            is_leased=row.ordered_until is not None and row.ordered_until > now,
            is_by_hand=row.asked_by != Role.CONSENT.value,
        )
        found.setdefault((row.clinic, row.person_hash, row.kind), []).append(one)
    return found


def _matched(connection: Connection, rows: Sequence[Any]) -> dict[tuple[str, str], Any]:
    columns = (results.c.file_id, results.c.result, results.c.person_hash, results.c.patient_hash)
    query = select(*columns, results.c.sealed_result).where(
        results.c.file_id.in_(sorted({row.file_id for row in rows})), results.c.patient_hash.is_not(None)
    )
    return {(row.file_id, row.person_hash): row for row in connection.execute(query)}
