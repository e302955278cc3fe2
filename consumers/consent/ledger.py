"""How are answers kept, which one stands, and which are about to run out?

`grants` is append-only; `standings` holds the newest answer of each person, category and source, written only over an
older one, so that any order of arrival ends alike. At one instant a refusal beats a grant, and the earlier limit the
later. A standing is announced as expiring once and as expired once: the marks stand in its row, so neither restarts
nor a clock that jumps repeat them, and a newer answer starts afresh.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, FromClause, Row, and_, bindparam, exists, or_, select, update

from consumers.consent.facts import Thin
from consumers.consent.fetching.plan import FETCHED
from consumers.consent.grants import Grant
from pipeline.events import ConsentExpired, ConsentExpiring, ConsentRecorded, Event, RecordParsed
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.outcome import Outcome
from pipeline.storage.engine import insert_into, insert_new
from pipeline.storage.schema import grants, standings, unheld_answers

MOST = 200
SETTLE: Final = timedelta(seconds=2)
"""How long a new grant waits before requests are planned: by then reconciliation mostly knows the patient."""
_WITH_MEDICATION = (ConsentCategory.DIAGNOSIS, ConsentCategory.PRESCRIPTION)
"""What is asked along with the medication, so that an answer about it changes what is to be asked."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A grant of a person, with where it was seen."""

    clinic: str
    terminal: str
    file_id: str
    person_hash: str
    patient_hash: str | None
    sealed_person: bytes | None = field(repr=False)
    grant: Grant

    @property
    def grant_id(self) -> str:
        return self.grant.id(self.clinic, self.person_hash)

    def announcement(self) -> ConsentRecorded:
        grant = self.grant
        return ConsentRecorded(
            clinic=self.clinic,
            edge=self.terminal,
            grant_id=self.grant_id,
            category=grant.category.value,
            until=grant.until,
            granted=grant.granted,
        )


@dataclass(frozen=True, slots=True)
class Unheld:
    """Consents of a file that can be tied to nobody."""

    event: RecordParsed
    thin: Thin


@dataclass(frozen=True, slots=True)
class Told:
    """An announcement that is made with this transaction, by the key of its standing."""

    clinic: str
    person_hash: str
    category: str
    source: str
    expired: bool


def write(connection: Connection, entries: Sequence[Entry], expiring_before: timedelta, now: datetime) -> None:
    """Append to the ledger, and let the newest stand."""
    # Sorted, so that two consumers lock rows in the same order.
    ordered = sorted(entries, key=_place)
    insert_new(connection, grants, [_grant_row(entry, now) for entry in ordered])
    rows = [_standing_row(entry, expiring_before, now) for entry in ordered if entry.grant.counts]
    if rows:
        connection.execute(_stand(connection), rows)
    _look_again(connection, [entry for entry in ordered if entry.grant.category in _WITH_MEDICATION], now)


def write_unheld(connection: Connection, unheld: Sequence[Unheld], now: datetime) -> None:
    """Keep what could not be kept as a grant, so that nobody looks for it in vain."""
    rows = [
        {
            "file_id": one.event.file_id,
            "result": one.thin.place,
            "clinic": one.event.clinic,
            "terminal": one.event.terminal,
            "reason": "thin",
            "granted": one.thin.granted,
            "recorded_at": now,
        }
        for one in unheld
    ]
    insert_new(connection, unheld_answers, rows)


def _of_person(table: FromClause) -> ColumnElement[bool]:
    return and_(
        table.c.clinic == bindparam("whose"),
        table.c.person_hash == bindparam("person"),
        table.c.source == bindparam("by"),
    )


_PART: Final = standings.alias()
_LOOK_AGAIN: Final = (
    update(standings)
    .where(
        _of_person(standings),
        standings.c.category == ConsentCategory.MEDICATION.value,
        standings.c.granted.is_(True),
        standings.c.fetch_at.is_(None),
        exists().where(_of_person(_PART), _PART.c.grant_id == bindparam("which")),
    )
    .values(fetch_at=bindparam("then"))
)


def _look_again(connection: Connection, entries: Sequence[Entry], now: datetime) -> None:
    """Let it be seen again what medication may be asked, where an answer about its parts now stands."""
    rows = [
        {
            "whose": entry.clinic,
            "person": entry.person_hash,
            "by": entry.grant.source.value,
            "which": entry.grant_id,
            "then": now + SETTLE,
        }
        for entry in entries
    ]
    if rows:
        connection.execute(_LOOK_AGAIN, rows)


def _place(entry: Entry) -> tuple[str, str, str, str]:
    return entry.clinic, entry.person_hash, entry.grant.category.value, entry.grant.source.value


def _grant_row(entry: Entry, now: datetime) -> dict[str, Any]:
    grant = entry.grant
    return {
        "grant_id": entry.grant_id,
        "clinic": entry.clinic,
        "terminal": entry.terminal,
        "file_id": entry.file_id,
        "person_hash": entry.person_hash,
        "patient_hash": entry.patient_hash,
        "category": grant.category.value,
        "source": grant.source.value,
        "granted": grant.granted,
        "consented_at": grant.consented_at,
        "until": grant.until,
        "may_request": grant.may_request,
        "validity": grant.validity,
        "sealed_person": entry.sealed_person if grant.may_request else None,
        "recorded_at": now,
    }


def _standing_row(entry: Entry, expiring_before: timedelta, now: datetime) -> dict[str, Any]:
    grant = entry.grant
    return {
        "clinic": entry.clinic,
        "person_hash": entry.person_hash,
        "category": grant.category.value,
        "source": grant.source.value,
        "grant_id": entry.grant_id,
        "granted": grant.granted,
        "consented_at": grant.consented_at,
        "until": grant.until,
        "expiring_at": grant.until - expiring_before if grant.until else None,
        "expiring_told": False,
        "expired_told": False,
        "fetch_at": now + SETTLE if grant.granted and grant.category in FETCHED else None,
    }


def _stand(connection: Connection) -> Any:
    """Write a standing where none is, or where an older one is; the condition is the order described above."""
    statement = insert_into(connection, standings)
    new, held = statement.excluded, standings.c
    ends_sooner = and_(new.until.is_not(None), or_(held.until.is_(None), new.until < held.until))
    ends_alike = or_(new.until == held.until, and_(new.until.is_(None), held.until.is_(None)))
    # What is equal in everything that matters still needs one order, or the first to come would stand.
    is_first = and_(ends_alike, new.grant_id < held.grant_id)
    wins_tie = or_(
        and_(held.granted.is_(True), new.granted.is_(False)),
        and_(held.granted.is_(True), new.granted.is_(True), or_(ends_sooner, is_first)),
        and_(held.granted.is_(False), new.granted.is_(False), is_first),
    )
    is_newer = or_(held.consented_at < new.consented_at, and_(held.consented_at == new.consented_at, wins_tie))
    key = [column.name for column in standings.primary_key.columns]
    changed = {column.name: new[column.name] for column in held if column.name not in key}
    return statement.on_conflict_do_update(index_elements=key, set_=changed, where=is_newer)


def announcements(connection: Connection, now: datetime) -> list[Outcome]:
    """Claim the standings that are to be announced now; one already past its limit is announced as expired only."""
    over = and_(standings.c.expired_told.is_(False), standings.c.until <= now)
    near = and_(standings.c.expiring_told.is_(False), standings.c.expiring_at <= now, standings.c.until > now)
    return [*_claim(connection, over, expired=True), *_claim(connection, near, expired=False)]


def _claim(connection: Connection, when: Any, *, expired: bool) -> list[Outcome]:
    query = select(standings).where(standings.c.granted.is_(True), when).order_by(standings.c.until).limit(MOST)
    kind: type[ConsentExpired | ConsentExpiring] = ConsentExpired if expired else ConsentExpiring
    outcomes: list[Outcome] = []
    for row in connection.execute(query.with_for_update(skip_locked=True)):
        event: Event = kind(clinic=row.clinic, grant_id=row.grant_id, category=row.category, until=row.until)
        outcomes.append(Outcome("expired" if expired else "expiring", (event,), (_told(row, expired),)))
    return outcomes


def _told(row: Row[tuple[object, ...]], expired: bool) -> Told:  # noqa: FBT001 - a field of the value
    return Told(row.clinic, row.person_hash, row.category, row.source, expired)


def mark_told(connection: Connection, told: Sequence[Told]) -> None:
    for each in told:
        # What has expired will never again be near its limit.
        values = {"expiring_told": True} | ({"expired_told": True} if each.expired else {})
        key = (each.clinic, each.person_hash, each.category, each.source)
        same = and_(*(column == part for column, part in zip(standings.primary_key.columns, key, strict=True)))
        connection.execute(update(standings).where(same).values(**values))
