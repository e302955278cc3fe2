"""Which requests of ours are to be placed now, and what became of the others?

A request is a row first and an order afterwards: the order is a lease that is issued again from the row while the
request is wanted, its consent stands and its time is not over. Nothing is ordered under a consent that has been
refused since, at or after its limit less a minute, or while the terminal's clock or ours is in doubt.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from sqlalchemy import Connection, Row, and_, exists, func, or_, select, update

from consumers.consent.grants import Grant, may_ask
from consumers.consent.request_state import TABLE, Happening, RequestState
from pipeline import edge_reports
from pipeline.clock import DRIFT_LIMIT
from pipeline.contents import request_context
from pipeline.custody import FileOutcome
from pipeline.keyring import Keyring
from pipeline.outcome import Outcome
from pipeline.request_row import RequestMessage
from pipeline.sealing import KeyClass, Sealer
from pipeline.settings import Settings
from pipeline.storage.schema import files, grants, requests, standings
from pipeline.topology import Edge

MOST = 100
FOREIGN_FOR: Final = timedelta(days=7)
"""How long after its answer a request may still turn out to have been answered for another person."""
FOREIGN: Final = "foreign_answer"
CLOCK: Final = "clock"
"""The terminal doubts its clock."""
SHARE_AWAY: Final = "share_away"
"""The terminal does not see its folders, perhaps because the computer they lie on is switched off."""
PASSING: Final = (CLOCK, SHARE_AWAY)
"""Why a terminal could not place a request now, and may later."""
BY_STAFF: Final = "by_staff"
PAUSE: Final = timedelta(minutes=15)
"""How long the rest of a run waits when one of it was not answered."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something befell a request. Applied only where the state table lets it, whatever came in between."""

    request_id: str
    happening: Happening
    reason: str | None = None
    answer_file_id: str | None = None
    placed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """The service said something to a request in words."""

    clinic: str
    request_id: str
    message: RequestMessage = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ordered:
    """An order that leaves with this transaction."""

    request_id: str
    terminal: str
    until: datetime
    withdraw_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ToPlace:
    """A request whose order may go out, to this terminal, before `until`."""

    request_id: str
    clinic: str
    terminal: str
    until: datetime
    window_until: datetime | None
    withdraw_at: datetime
    sealed_request: bytes = field(repr=False)


def apply_changes(connection: Connection, changes: Sequence[Change], now: datetime) -> None:
    for change in sorted(changes, key=_request_id):
        meets, leads_to = TABLE[change.happening]
        is_end = leads_to not in (RequestState.PLACED, RequestState.WANTED)
        values: dict[str, Any] = {"state": leads_to.value, "ended_at": now if is_end else None}
        if change.happening is Happening.PLACED:
            values |= {"placed_at": change.placed_at, "reason": None}
        else:
            values["reason"] = change.reason
        if change.answer_file_id:
            values["answer_file_id"] = change.answer_file_id
        allowed = requests.c.state.in_(sorted(state.value for state in meets))
        own = requests.c.request_id == change.request_id
        connection.execute(update(requests).where(own, allowed).values(**values))
        if change.placed_at is not None:
            # Reports overtake one another: that it was asked, and when, is kept however it has ended meanwhile.
            unknown = requests.c.placed_at.is_(None)
            connection.execute(update(requests).where(own, unknown).values(placed_at=change.placed_at))


def keep_words(connection: Connection, keyring: Keyring, told: Sequence[Told], now: datetime) -> None:
    """Keep what the service said, sealed; a bare code never replaces words, whichever came first."""
    sealer = Sealer()
    for one in told:
        public = keyring.epoch_key(one.clinic, KeyClass.STANDING, now)
        content = one.message.model_dump_json().encode()
        sealed = sealer.seal(public, one.clinic, request_context(one.request_id), content)
        own = requests.c.request_id == one.request_id
        where = own if one.message.text else and_(own, requests.c.sealed_message.is_(None))
        connection.execute(update(requests).where(where).values(sealed_message=sealed))


def _request_id(change: Change) -> str:
    return change.request_id


def mark_ordered(connection: Connection, ordered: Sequence[Ordered]) -> None:
    for order in ordered:
        where = requests.c.request_id == order.request_id
        values: dict[str, Any] = {"ordered_until": order.until, "terminal": order.terminal}
        if order.withdraw_at:
            values["withdraw_at"] = order.withdraw_at
        connection.execute(update(requests).where(where).values(**values))


def ended(connection: Connection, settings: Settings, now: datetime) -> list[Outcome]:
    """Find requests that time alone has ended, and answers that reconciliation found to be another person's."""
    # A placed file is taken back by the terminal itself; its report gets one lease to arrive.
    over = or_(
        and_(requests.c.state == RequestState.WANTED, _patience() <= now),
        and_(requests.c.state == RequestState.PLACED, requests.c.withdraw_at <= now - settings.lease),
    )
    late = select(requests.c.request_id, requests.c.reason).where(over).order_by(requests.c.request_id).limit(MOST)
    foreign = (
        select(requests.c.request_id, requests.c.reason)
        .join(files, files.c.file_id == requests.c.answer_file_id)
        .where(
            files.c.outcome == FileOutcome.REJECTED,
            files.c.reason == FOREIGN,
            files.c.outcome_at > now - FOREIGN_FOR,
            files.c.correlation_hash == requests.c.base_hash,
            requests.c.state == RequestState.ANSWERED,
        )
        .limit(MOST)
    )
    # A terminal that doubted its clock, or saw no folders, to the end is the reason why nobody was asked.
    changes = [
        Change(row.request_id, Happening.TIME_OVER, row.reason if row.reason in PASSING else "no_answer")
        for row in _claim(connection, late)
    ]
    changes += [Change(row.request_id, Happening.FOREIGN, FOREIGN) for row in _claim(connection, foreign)]
    return [Outcome(change.happening.value, writes=(change,)) for change in changes]


def _claim(connection: Connection, query: Any) -> Sequence[Row[Any]]:
    return connection.execute(query.with_for_update(of=requests, skip_locked=True)).all()


def take_back(connection: Connection, request_id: str, now: datetime) -> bool:
    """End a request that no terminal has been ordered to place; False when it is too late for that.

    One that was ordered is taken back by its terminal at its time-out.
    """
    unordered = or_(requests.c.ordered_until.is_(None), requests.c.ordered_until <= now)
    own = and_(requests.c.request_id == request_id, requests.c.state == RequestState.WANTED.value, unordered)
    ended = {"state": RequestState.WITHDRAWN.value, "reason": BY_STAFF, "ended_at": now}
    return connection.execute(update(requests).where(own).values(**ended)).rowcount == 1


def _patience() -> Any:
    """How long a wanted request waits to be placed."""
    return func.coalesce(requests.c.wanted_until, requests.c.withdraw_at)


def _has_its_turn(now: datetime, lease: timedelta) -> Any:
    """One request at a time for each person and kind: what is under way goes first, then the oldest wish."""
    other = requests.alias()
    same = and_(
        other.c.clinic == requests.c.clinic,
        other.c.person_hash == requests.c.person_hash,
        other.c.kind == requests.c.kind,
        other.c.request_id != requests.c.request_id,
    )
    month, other_month = func.coalesce(requests.c.period, ""), func.coalesce(other.c.period, "")
    is_older = or_(
        other.c.wanted_at < requests.c.wanted_at,
        and_(other.c.wanted_at == requests.c.wanted_at, other_month > month),
        and_(
            other.c.wanted_at == requests.c.wanted_at,
            other_month == month,
            other.c.request_id < requests.c.request_id,
        ),
    )
    may_go = or_(other.c.not_before.is_(None), other.c.not_before <= now)
    # Nobody took or answered the last one: what is asked by itself waits a while before the next.
    went_unanswered = and_(
        requests.c.wanted_until.is_not(None),
        other.c.state.in_([RequestState.TIMED_OUT, RequestState.WITHDRAWN]),
        # Not farther ahead than clocks drift: a clock that was ahead must not make it wait for longer than the pause.
        other.c.ended_at > now - PAUSE,
        other.c.ended_at <= now + DRIFT_LIMIT,
    )
    is_ordered = and_(other.c.ordered_until > now, other.c.ordered_until <= now + lease + DRIFT_LIMIT)
    is_under_way = or_(
        went_unanswered,
        other.c.state == RequestState.PLACED,
        and_(other.c.state == RequestState.WANTED, or_(is_ordered, and_(may_go, is_older))),
    )
    return ~exists().where(same, is_under_way)


def to_place(connection: Connection, settings: Settings, now: datetime) -> tuple[list[ToPlace], list[Outcome]]:
    """Claim wanted requests without a running order: those that may go out now, and those whose consent is over."""
    query = (
        select(requests)
        .where(
            requests.c.state == RequestState.WANTED,
            or_(requests.c.not_before.is_(None), requests.c.not_before <= now),
            or_(
                requests.c.ordered_until.is_(None),
                requests.c.ordered_until <= now,
                # Farther ahead than a lease is long: written by a clock that was ahead.
                requests.c.ordered_until > now + settings.lease + DRIFT_LIMIT,
            ),
            _patience() > now,
            _has_its_turn(now, settings.lease),
        )
        .order_by(requests.c.wanted_at, requests.c.request_id)
        .limit(MOST)
        .with_for_update(skip_locked=True)
    )
    rows = connection.execute(query).all()
    if not rows:
        return [], []
    held = _grants_of(connection, rows)
    reports = edge_reports.read(connection)
    ready: list[ToPlace] = []
    over: list[Outcome] = []
    for row in rows:
        reason = closed(row, held, now)
        terminal = _terminal(row, settings, reports, now)
        if reason:
            over.append(Outcome("window_closed", writes=(Change(row.request_id, Happening.WINDOW_CLOSED, reason),)))
        elif terminal:
            ready.append(_place(row, held, terminal, settings, now))
    return ready, over


@dataclass(frozen=True, slots=True)
class Held:
    """The grant a request was made under, and whether it still stands."""

    grant: Grant
    stands: bool


def closed(row: Row[tuple[object, ...]], held: Mapping[str, Held], now: datetime) -> str | None:
    """Say why a request may not go out any more; none when it may. What needs no consent has no category."""
    if row.category is None:
        return None
    needed = [held.get(grant_id) for grant_id in _needed(row)]
    if not needed or any(one is None for one in needed):
        return "no_consent"
    if not all(one.stands for one in needed if one):
        return "consent_replaced"
    return None if all(may_ask(one.grant, now) for one in needed if one) else "window"


def _needed(row: Row[tuple[object, ...]]) -> list[str]:
    """Name the grants a request needs: with treatments it needs two."""
    return [grant_id for grant_id in (row.grant_id, row.treatment_grant_id) if grant_id]


def _grants_of(connection: Connection, rows: Sequence[Row[tuple[object, ...]]]) -> dict[str, Held]:
    ids = sorted({grant_id for row in rows for grant_id in _needed(row)})
    if not ids:
        return {}
    same = and_(
        standings.c.clinic == grants.c.clinic,
        standings.c.person_hash == grants.c.person_hash,
        standings.c.category == grants.c.category,
        standings.c.source == grants.c.source,
    )
    query = select(grants, standings.c.grant_id.label("standing"), standings.c.granted.label("still"))
    query = query.outerjoin(standings, same).where(grants.c.grant_id.in_(ids))
    # A newer grant of the same person keeps a request alive; only a refusal ends it. Its own window still counts.
    return {row.grant_id: Held(Grant.of_row(row), bool(row.still)) for row in connection.execute(query)}


def _terminal(
    row: Row[tuple[object, ...]], settings: Settings, reports: dict[Edge, edge_reports.EdgeState], now: datetime
) -> str | None:
    """Choose where the order goes: where it was meant to, or to a neighbour when that one is silent."""
    meant = Edge(row.clinic, row.terminal)
    state = reports.get(meant)
    if state is None or state.is_alive(now):
        return meant.edge if edge_reports.takes_orders(meant, reports, now) else None
    clinic = settings.clinic(row.clinic)
    others = [Edge(row.clinic, terminal.id) for terminal in (clinic.terminals if clinic else ())]
    # Only one that has reported: sending to two unknown ones could place it twice.
    alive = [edge for edge in others if edge in reports and edge_reports.takes_orders(edge, reports, now)]
    return alive[0].edge if alive else None


def _place(
    row: Row[tuple[object, ...]], held: Mapping[str, Held], terminal: str, settings: Settings, now: datetime
) -> ToPlace:
    grants_of = [held[grant_id].grant for grant_id in _needed(row) if grant_id in held]
    limits = [limit for limit in (row.window_until, *(grant.until for grant in grants_of)) if limit]
    # Who waits for a turn has his whole time-out from when the turn comes.
    timeout = timedelta(seconds=settings.centre.request_timeout_seconds)
    withdraw_at = row.withdraw_at if row.wanted_until is None else now + timeout
    return ToPlace(
        request_id=row.request_id,
        clinic=row.clinic,
        terminal=terminal,
        until=min(now + settings.lease, withdraw_at),
        window_until=min(limits, default=None),
        withdraw_at=withdraw_at,
        sealed_request=row.sealed_request,
    )
