"""Publication: which vendor hears of what?

Queue    publication, one instance at a time, so that each patient's events keep their order
Listens  record.reconciled, delivery.done, delivery.refused, consent.recorded, consent.expiring, consent.expired,
         file.rejected, file.settled
Emits    one notice (`pipeline.vendor_events`) for each vendor that is granted event, clinic and kind
Parks    unknown_file, unknown_grant, foreign_clinic: not what the store knows
Holds    all of one vendor's notices while its key or its secret cannot be used, and while earlier ones have not left
         (its stream is not there, the broker was away); the others' flow on
Repeats  safe: a notice's id follows from vendor and event, and what was sent is not sent again

The grants are read again whenever the configuration changes, so that a revoked one counts from the next event on.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from sqlalchemy import Connection

from consumers.publication import granted, held
from consumers.publication.facts import Facts, File, Grant, gather, leaving
from consumers.publication.held import Hold, Release
from consumers.publication.notices import Heard, Writer
from consumers.publication.pseudonyms import Pseudonyms
from consumers.publication.records import VendorKeys
from pipeline import outbox
from pipeline.consumer import Consumer
from pipeline.envelope import Envelope
from pipeline.errors import PermanentError
from pipeline.events import (
    ConsentEvent,
    ConsentExpired,
    ConsentExpiring,
    ConsentRecorded,
    DeliveryDone,
    DeliveryRefused,
    Event,
    FileEvent,
    FileRejected,
    FileSettled,
    RecordReconciled,
)
from pipeline.keyring import Keyring
from pipeline.outcome import Outcome
from pipeline.sealing import Opener
from pipeline.settings import Settings
from pipeline.topology import Role
from pipeline.vendor_events import Notice
from pipeline.vendor_register import Register
from pipeline.vendors import Vendor


class Publication(Consumer[Heard, Facts]):
    """Tells vendors what they are granted, in words of their own."""

    role: ClassVar[Role] = Role.PUBLICATION
    is_ordered: ClassVar[bool] = True
    says_again: ClassVar[bool] = False
    listens: ClassVar[tuple[type[Event], ...]] = (
        RecordReconciled,
        DeliveryDone,
        DeliveryRefused,
        ConsentRecorded,
        ConsentExpiring,
        ConsentExpired,
        FileRejected,
        FileSettled,
    )

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._register = Register(settings)
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._writer = Writer(lambda vendor: Pseudonyms(keyring.vendor(vendor)), VendorKeys())

    def prepare(self, envelope: Envelope) -> Heard:
        return Heard(envelope.event, envelope.at)

    def gather(self, connection: Connection, batch: Sequence[Heard]) -> Facts:
        events = [heard.event for heard in batch]
        has_readers = any(granted.reads_records(vendor) for vendor in self._register.vendors())
        reconciled = {event.file_id for event in events if isinstance(event, RecordReconciled)}
        facts = gather(connection, events, reconciled if has_readers else set(), self._opener)
        # Asked once for the batch: of one that can be told only in part, the later would overtake the earlier.
        faults = {vendor.id: self._writer.fault(vendor) for vendor in self._register.vendors()}
        return replace(facts, faults={vendor: fault for vendor, fault in faults.items() if fault})

    def decide(self, prepared: Heard, facts: Facts, now: datetime) -> Outcome:
        concerned = [vendor for vendor in self._register.vendors() if granted.may_hear(vendor, prepared.event)]
        if not concerned:
            return Outcome("not_granted")
        if is_stale(prepared.event, facts):
            return Outcome("stale")
        notices: list[Notice] = []
        holds: list[Hold] = []
        for vendor in concerned:
            try:
                notice = self._writer.write(vendor, prepared, facts)
            except PermanentError as error:
                holds.append(Hold(vendor.id, prepared, error.reason))
                continue
            if notice is None:
                continue
            if vendor.id in facts.held or vendor.id in facts.faults:
                # What came before it still waits: it takes its place behind.
                holds.append(Hold(vendor.id, prepared, facts.faults.get(vendor.id, "behind")))
            else:
                notices.append(notice)
        result = "held" if holds else "published" if notices else "not_granted"
        return Outcome(result, tuple(notices), tuple(holds))

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        held.apply(connection, [write for outcome in outcomes for write in outcome.writes], now)

    def due(self, connection: Connection, now: datetime) -> Sequence[Outcome]:
        on_its_way = leaving(connection)
        waiting = held.waiting(connection)
        if not waiting and not on_its_way:
            return ()
        vendors = {vendor.id: vendor for vendor in self._register.vendors()}
        held.forget(connection, [name for name in waiting if name not in vendors])
        over = [key for name, keys in on_its_way.items() if name not in vendors for key in keys]
        outbox.drop_unsent(connection, self.role, over)
        return [outcome for name in waiting if name in vendors for outcome in self._release(connection, vendors[name])]

    def _release(self, connection: Connection, vendor: Vendor) -> list[Outcome]:
        """Say what waited, oldest first, until it fails again."""
        batch = held.oldest(connection, vendor.id)
        # Asked after the claim: what another instance has released until then may not have left yet.
        if vendor.id in leaving(connection):
            return []
        facts = replace(self.gather(connection, batch), held=frozenset())
        released: list[Outcome] = []
        for heard in batch:
            try:
                told = granted.may_hear(vendor, heard.event) and not is_stale(heard.event, facts)
                notice = self._writer.write(vendor, heard, facts) if told else None
            except PermanentError:
                break
            events = () if notice is None else (notice,)
            released.append(Outcome("released", events, (Release(vendor.id, heard.event.id),)))
        return released


def is_stale(event: Event, facts: Facts) -> bool:
    """Say whether a newer revision is known already, which has its own event.

    Raises:
        PermanentError: the store knows nothing of what it is about, or knows it as another clinic's.
    """
    known: File | Grant | None
    if isinstance(event, ConsentEvent):
        known, unknown = facts.grants.get(event.grant_id), "unknown_grant"
    else:
        assert isinstance(event, FileEvent)
        known, unknown = facts.files.get(event.file_id), "unknown_file"
    if known is None:
        raise PermanentError(unknown)
    if known.clinic != event.clinic:
        raise PermanentError("foreign_clinic")
    return isinstance(event, RecordReconciled) and isinstance(known, File) and event.revision < known.revision
