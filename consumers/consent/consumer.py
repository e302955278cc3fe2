"""Consent and expiry: what did patients allow until when, and which requests may go out now?

Queue    consent
Listens  record.parsed, request.placed, request.refused, request.withdrawn, bookings.changed
Emits    consent.recorded, consent.expiring, consent.expired, request.place
Parks    consent_unreadable: a grant without a readable time or limit; consent_in_future: dated more than 60 s ahead,
         counts when replayed under a right clock; withdrawal_ambiguous: a stored consent was ended, and it
         may be one of several persons'. All else of such a file is recorded. record_missing, record_unreadable
Repeats  safe: the ledger is keyed by what was answered, the newest answer stands, a request moves by its state table
"""

from collections.abc import Hashable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, ClassVar, Final, TypeVar

from pydantic import ValidationError
from sqlalchemy import Connection

from consumers.consent import asking, bookings, ledger, requests
from consumers.consent.asking import Wanted
from consumers.consent.bookings import Evenings, PreparedBookings, TakeBookings
from consumers.consent.exchange import Follow, Patience, follow, untaken
from consumers.consent.facts import Facts, FileFacts, Gatherer
from consumers.consent.fetching import fetcher
from consumers.consent.fetching.fetcher import Fetched, Fetcher
from consumers.consent.grants import Unusable, read, refusal
from consumers.consent.hearing import Heard
from consumers.consent.ledger import Entry, Told, Unheld
from consumers.consent.references import References
from consumers.consent.request_state import Happening, RequestState, after
from consumers.consent.requests import Change, Ordered, ToPlace
from pipeline.consumer import Consumer
from pipeline.custody import Receipt
from pipeline.envelope import Envelope
from pipeline.errors import PermanentError
from pipeline.events import (
    BookingsChanged,
    Event,
    RecordParsed,
    RequestEvent,
    RequestPlaced,
    RequestRefused,
    RequestWithdrawn,
)
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer
from pipeline.oqs.codes import Consent as Flag
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.outcome import Outcome
from pipeline.request_row import RequestMessage
from pipeline.sealing import Opener, Sealer
from pipeline.settings import Settings
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import receipts
from pipeline.topology import Role

_ANSWERS: Final = {
    Layer.RETURNED: Happening.SERVICE_REFUSED,
    Layer.MESSAGE_ERROR: Happening.SERVICE_REFUSED,
    Layer.PERSON_ERROR: Happening.SERVICE_REFUSED,
    Layer.NEGATIVE_VALIDITY: Happening.ANSWERED,
    Layer.OK: Happening.ANSWERED,
}
"""What an answer does to its request. One that is still processing does nothing but within a bulk exchange."""

WITHDRAWAL_AMBIGUOUS: Final = "withdrawal_ambiguous"


class Consent(Consumer[Event | PreparedBookings, Facts]):
    role: ClassVar[Role] = Role.CONSENT
    needs_clock: ClassVar[bool] = True
    clock_reasons: ClassVar[frozenset[str]] = frozenset({Unusable.IN_FUTURE.value})
    listens: ClassVar[tuple[type[Event], ...]] = (
        RecordParsed,
        RequestPlaced,
        RequestRefused,
        RequestWithdrawn,
        BookingsChanged,
    )

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._settings = settings
        self._keyring = keyring
        self._gatherer = Gatherer(keyring)
        self._opener = Opener(keyring)
        self._sealer = Sealer()
        self._fetcher = Fetcher(settings, keyring)
        self._references = References(settings, keyring)
        self._evenings = Evenings(settings, keyring)

    def prepare(self, envelope: Envelope) -> Event | PreparedBookings:
        if isinstance(envelope.event, BookingsChanged):
            return bookings.prepare(envelope.event, self._keyring, self._opener, self._sealer)
        return envelope.event

    def key(self, prepared: Event | PreparedBookings) -> Hashable:
        if isinstance(prepared, PreparedBookings):
            return "bookings", prepared.event.clinic
        return prepared.request_id if isinstance(prepared, RequestEvent) else prepared.id

    def gather(self, connection: Connection, batch: Sequence[Event | PreparedBookings]) -> Facts:
        return self._gatherer.gather(connection, [one for one in batch if not isinstance(one, PreparedBookings)])

    def decide(self, prepared: Event | PreparedBookings, facts: Facts, now: datetime) -> Outcome:
        match prepared:
            case RecordParsed():
                found = facts.files[prepared.file_id]
                if isinstance(found, PermanentError):
                    raise found
                return _decide_file(prepared, found, facts, Patience.of(self._settings.centre), now)
            case RequestEvent():
                return _decide_report(prepared, facts, Patience.of(self._settings.centre), now)
            case PreparedBookings():
                taken = TakeBookings(prepared, self._settings.retention.confirmation_months)
                return Outcome("bookings", writes=(taken,))
            case _:
                raise PermanentError("unexpected_event")

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        writes = [write for outcome in outcomes for write in outcome.writes]
        before = timedelta(minutes=self._settings.centre.expiring_minutes)
        ledger.write(connection, _of(writes, Entry), before, now)
        ledger.mark_told(connection, _of(writes, Told))
        ledger.write_unheld(connection, _of(writes, Unheld), now)
        requests.apply_changes(connection, _of(writes, Change), now)
        requests.keep_words(connection, self._keyring, _of(writes, requests.Told), now)
        timeout = timedelta(seconds=self._settings.centre.request_timeout_seconds)
        for wanted in _of(writes, Wanted):
            asking.add(connection, self._keyring, wanted, timeout, now)
        fetcher.write(connection, self._keyring, _of(writes, Fetched), timeout, now)
        requests.mark_ordered(connection, _of(writes, Ordered))
        insert_new(connection, receipts, [_receipt(parsed, now) for parsed in _of(writes, RecordParsed)])
        self._references.apply(connection, writes, now)
        bookings.take(connection, _of(writes, TakeBookings), now)
        self._evenings.apply(connection, writes, now)

    def due(self, connection: Connection, now: datetime) -> Sequence[Outcome]:
        fetched = self._fetcher.due(connection, now)
        # What is asked anew under a newer grant must not leave at the same moment under the older one.
        renewed = {replaced for outcome in fetched for one in _of(outcome.writes, Fetched) for replaced in one.replaced}
        ready, over = requests.to_place(connection, self._settings, now)
        orders = [self._order(place) for place in ready if place.request_id not in renewed]
        ended = requests.ended(connection, self._settings, now)
        orders += self._scheduled(connection, now)
        return [*ledger.announcements(connection, now), *fetched, *ended, *over, *orders]

    def _scheduled(self, connection: Connection, now: datetime) -> list[Outcome]:
        return [*self._references.due(connection, now), *self._evenings.due(connection, now)]

    def _order(self, place: ToPlace) -> Outcome:
        try:
            event = asking.order(self._keyring, self._opener, self._sealer, place)
        except (PermanentError, ValidationError):
            # One request that cannot be opened must not keep the others from their terminals.
            return Outcome("unreadable_request", writes=(Change(place.request_id, Happening.NOT_PLACED, "unreadable"),))
        ordered = Ordered(place.request_id, place.terminal, place.until, place.withdraw_at)
        return Outcome("ordered", (event,), (ordered,))


W = TypeVar("W")


def _of(writes: Iterable[object], kind: type[W]) -> list[W]:
    return [write for write in writes if isinstance(write, kind)]


def _receipt(parsed: RecordParsed, now: datetime) -> dict[str, Any]:
    return {
        "file_id": parsed.file_id,
        "consumer": Role.CONSENT.value,
        "result": Receipt.DONE.value,
        "at": now,
    }


def _decide_file(event: RecordParsed, found: FileFacts, facts: Facts, patience: Patience, now: datetime) -> Outcome:
    entries, unusable = _entries(event, found, now)
    answered = _answered(event, found, facts, patience, now)
    writes = (*entries, *answered, *(Unheld(event, thin) for thin in found.thin))
    events = tuple(entry.announcement() for entry in entries if entry.grant.counts)
    if unusable:
        # Unreadable first: the clock may come right, an unreadable time never will.
        reason = Unusable.UNREADABLE if Unusable.UNREADABLE in unusable else Unusable.IN_FUTURE
        return Outcome(reason.value, events, writes, park=reason.value)
    if found.withdrawn is not None and found.withdrawn.person_hash is None:
        if found.withdrawn.is_ambiguous:
            return Outcome(WITHDRAWAL_AMBIGUOUS, events, writes, park=WITHDRAWAL_AMBIGUOUS)
        return Outcome("nothing_to_withdraw", events, (*writes, event))
    if found.thin:
        return Outcome("thin", events, (*writes, event))
    return Outcome("recorded" if entries else "done", events, (*writes, event))


def _entries(event: RecordParsed, found: FileFacts, now: datetime) -> tuple[list[Entry], set[Unusable]]:
    entries: dict[str, Entry] = {}
    unusable: set[Unusable] = set()
    for person in found.answers:
        answers = read(person.asked, found.processed_at, now)
        unusable.update(answers.unusable)
        for grant in answers.grants:
            entry = Entry(
                clinic=event.clinic,
                terminal=event.terminal,
                file_id=event.file_id,
                person_hash=person.person_hash,
                patient_hash=person.patient_hash,
                sealed_person=person.sealed_person,
                grant=grant,
            )
            entries[entry.grant_id] = entry
    return [*entries.values(), *_withdrawn(event, found)], unusable


def _withdrawn(event: RecordParsed, found: FileFacts) -> Iterator[Entry]:
    """End every consent of a withdrawal's person: what was never given is refused as well, whatever comes later."""
    for ended in found.ended:
        for category in ConsentCategory:
            grant = refusal(category, ended.source, ended.at, Flag.EXPIRED)
            yield Entry(event.clinic, ended.terminal, ended.file_id, ended.person_hash, None, None, grant)
    over = found.withdrawn
    if over is None or over.person_hash is None or found.is_foreign:
        return
    for category in ConsentCategory:
        grant = refusal(category, over.source, found.processed_at, Flag.EXPIRED)
        yield Entry(event.clinic, event.terminal, event.file_id, over.person_hash, None, None, grant)


def _answered(
    event: RecordParsed, found: FileFacts, facts: Facts, patience: Patience, now: datetime
) -> tuple[object, ...]:
    """Say what the answer does to its request, what the service said in words, and what is asked next."""
    heard = found.heard
    if found.request_id is None or heard is None:
        return ()
    followed = _followed(found, heard, patience, now)
    if followed is None:
        return ()
    writes: list[object] = []
    if after(RequestState(facts.requests[event.clinic, found.request_id]), followed.happening) is not None:
        change = Change(found.request_id, followed.happening, followed.reason, answer_file_id=event.file_id)
        writes.append(change)
    if (heard.answer.code or heard.answer.message) and not found.is_foreign:
        # Of a foreign answer the words are about somebody else.
        words = RequestMessage(layer=found.layer.value, code=heard.answer.code, text=heard.answer.message)
        writes.append(requests.Told(event.clinic, found.request_id, words))
    return (*writes, followed.wanted) if followed.wanted is not None else tuple(writes)


def _followed(found: FileFacts, heard: Heard, patience: Patience, now: datetime) -> Follow | None:
    if found.is_foreign:
        return Follow(Happening.FOREIGN, requests.FOREIGN)
    within = follow(heard.step, heard.said, patience, now)
    happening = _ANSWERS.get(found.layer)
    if within is not None or happening is None:
        return within
    return Follow(happening, None if happening is Happening.ANSWERED else found.layer.value)


def _decide_report(event: RequestEvent, facts: Facts, patience: Patience, now: datetime) -> Outcome:
    change = _change(event)
    held = facts.requests.get((event.clinic, event.request_id))
    if held is None:
        return Outcome("unknown_request")
    if change is None:
        return Outcome("lease_over")
    if after(RequestState(held), change.happening) is None:
        # When it was placed is kept all the same.
        return Outcome("ignored", writes=(change,) if change.placed_at else ())
    over = facts.untaken.get((event.clinic, event.request_id))
    anew = untaken(over.step, over.said, patience, now) if over and isinstance(event, RequestWithdrawn) else None
    return Outcome(change.happening.value, writes=(change, anew) if anew else (change,))


def _change(event: RequestEvent) -> Change | None:
    match event:
        case RequestPlaced():
            return Change(event.request_id, Happening.PLACED, placed_at=event.placed_at)
        case RequestWithdrawn():
            return Change(event.request_id, Happening.WITHDRAWN, "not_taken")
        case RequestRefused(reason="expired"):
            # Only the order was too old; another is made while the request is due.
            return None
        case RequestRefused(reason=reason) if reason in requests.PASSING:
            # It stays wanted: the clock may be set right, or the share come back, while its window stands.
            return Change(event.request_id, Happening.POSTPONED, reason)
        case RequestRefused(reason="window"):
            return Change(event.request_id, Happening.WINDOW_CLOSED, event.reason)
        case RequestRefused():
            return Change(event.request_id, Happening.NOT_PLACED, event.reason)
        case _:
            raise PermanentError("unexpected_event")
