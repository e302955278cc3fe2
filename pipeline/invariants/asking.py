"""Was anything asked of the service that patients did not allow? I5, I6 and I12."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Select, and_, func, or_, select

from pipeline.invariants.finding import Finding
from pipeline.storage.schema import grants, requests, standings

CLOCK_LIMIT: Final = timedelta(seconds=60)
"""How far a clock may be off before it counts as unreliable."""


def findings(connection: Connection) -> Iterator[Finding]:
    asked = tuple(dict.fromkeys(str(row[0]) for row in connection.execute(_outside_window())))
    yield Finding("I5", "no request was placed outside the window that a patient's consent opened", asked)
    wrong = [row.request_id for row in connection.execute(_placed()) if _is_clock_off(row)]
    yield Finding("I6", "no request was placed under a clock that was off", tuple(wrong))
    stale = tuple(str(row[0]) for row in connection.execute(_standing_not_newest()))
    yield Finding("I12", "the consent that stands is the newest one given", stale)


def _outside_window() -> Select[Any]:
    needs_consent = requests.c.grant_id.is_not(None)
    with_treatments, second = requests.c.treatment_grant_id.is_not(None), grants.alias()
    return (
        select(requests.c.request_id)
        .outerjoin(grants, grants.c.grant_id == requests.c.grant_id)
        .outerjoin(second, second.c.grant_id == requests.c.treatment_grant_id)
        .where(
            requests.c.placed_at.is_not(None),
            or_(
                requests.c.placed_at >= requests.c.window_until,
                # A stored consent (visit, online) may have no end; every other opens a window.
                and_(needs_consent, requests.c.window_until.is_(None), grants.c.until.is_not(None)),
                and_(needs_consent, grants.c.grant_id.is_(None)),
                and_(needs_consent, or_(~grants.c.granted, ~grants.c.may_request)),
                and_(needs_consent, grants.c.until.is_not(None), requests.c.placed_at >= grants.c.until),
                and_(with_treatments, or_(second.c.grant_id.is_(None), ~second.c.granted, ~second.c.may_request)),
                and_(with_treatments, second.c.until.is_not(None), requests.c.placed_at >= second.c.until),
            ),
        )
    )


def _placed() -> Select[Any]:
    return select(requests.c.request_id, requests.c.wanted_at, requests.c.placed_at, requests.c.withdraw_at).where(
        requests.c.placed_at.is_not(None)
    )


def _is_clock_off(row: Any) -> bool:
    """Compare the terminal's clock with the centre's: it cannot have placed what was not wanted yet, or no more."""
    return bool(row.placed_at < row.wanted_at - CLOCK_LIMIT or row.placed_at > row.withdraw_at + CLOCK_LIMIT)


def _standing_not_newest() -> Select[Any]:
    newest = (
        select(func.max(grants.c.consented_at))
        .where(
            grants.c.clinic == standings.c.clinic,
            grants.c.person_hash == standings.c.person_hash,
            grants.c.category == standings.c.category,
            grants.c.source == standings.c.source,
            # A grant in a vendor's spelling stands in the ledger but permits nothing.
            or_(grants.c.may_request, ~grants.c.granted),
        )
        .scalar_subquery()
    )
    return select(standings.c.grant_id).where(standings.c.consented_at != newest)
