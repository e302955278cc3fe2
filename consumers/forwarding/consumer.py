"""What goes to which chart, and has it arrived?

Queue    forwarding
Listens  record.reconciled, delivery.done, delivery.refused
Emits    delivery.wanted
Parks    no_chart: a clinic without a chart, so that nothing is erased undelivered;
         unknown_file, unknown_revision, foreign_clinic: not what the store knows;
         no_original, record_unreadable, and the reasons of a broken seal: it cannot be opened;
         the chart's own reason of a refusal, which the deliveries row shows too
Repeats  safe: rows move only to newer revisions, and a file is ended only once

A delivery carries the original until the chart has confirmed one revision, not only with revision 1: that one is
skipped where a newer decision overtook it. Replaying a parked refusal finds it outdone once the chart has taken the
file, which it tries again with every repetition of the order. What a chart's new machine refuses because it was sealed
to the former one's key is sealed anew (`consumers.forwarding.former_key`).
"""

from collections.abc import Hashable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import ClassVar

from sqlalchemy import Connection

from consumers.forwarding import former_key
from consumers.forwarding.facts import Facts, File, gather_files
from consumers.forwarding.former_key import Again
from consumers.forwarding.ledger import Done, NotWanted, Refused, Wanted, write_all
from consumers.forwarding.record import Contents, chart_record
from pipeline.clinic_settings import Chart
from pipeline.consumer import Consumer
from pipeline.contents import SealedDelivery, delivery_context
from pipeline.custody import FileOutcome
from pipeline.edge_words import refusal_of
from pipeline.envelope import Envelope
from pipeline.errors import PermanentError
from pipeline.events import DeliveryDone, DeliveryRefused, DeliveryWanted, Event, RecordReconciled
from pipeline.keyring import Keyring
from pipeline.oqs.answers import Layer, layer_of
from pipeline.oqs.names import Extension, MessageKind
from pipeline.oqs.records import Record
from pipeline.outcome import Outcome
from pipeline.sealing import Opener, Sealer, key_id
from pipeline.settings import Settings
from pipeline.topology import CHART_EDGE, Role

Heard = RecordReconciled | DeliveryDone | DeliveryRefused


class Forwarding(Consumer[Heard, Facts]):
    """Decides what charts are given, and notes what they took."""

    role: ClassVar[Role] = Role.FORWARDING
    listens: ClassVar[tuple[type[Event], ...]] = (RecordReconciled, DeliveryDone, DeliveryRefused)

    def __init__(self, settings: Settings, keyring: Keyring) -> None:
        self._charts = {clinic.id: clinic.chart for clinic in settings.clinics}
        self._keyring = keyring
        self._opener = Opener(keyring)
        self._sealer = Sealer()

    def prepare(self, envelope: Envelope) -> Heard:
        event = envelope.event
        assert isinstance(event, RecordReconciled | DeliveryDone | DeliveryRefused)
        return event

    def key(self, prepared: Heard) -> Hashable:
        return prepared.file_id

    def gather(self, connection: Connection, batch: Sequence[Heard]) -> Facts:
        revisions = {one.file_id: one.revision for one in batch if self._may_deliver(one)}
        found = gather_files(
            connection,
            [one.file_id for one in batch],
            lambda file_id, revision: revisions.get(file_id) == revision,
            self._opener,
        )
        ordered_to = former_key.ordered_to(connection, [one for one in batch if former_key.is_unopened(one)])
        return {file_id: replace(file, ordered_to=ordered_to.get(file_id)) for file_id, file in found.items()}

    def _may_deliver(self, event: Heard) -> bool:
        is_due = isinstance(event, RecordReconciled) or former_key.is_unopened(event)
        return is_due and self._charts.get(event.clinic) is not None

    def decide(self, prepared: Heard, facts: Facts, now: datetime) -> Outcome:
        file = facts.get(prepared.file_id)
        if file is None:
            raise PermanentError("unknown_file")
        if file.clinic != prepared.clinic:
            raise PermanentError("foreign_clinic")
        if isinstance(prepared, DeliveryDone):
            return _done(prepared)
        if isinstance(prepared, DeliveryRefused):
            return self._ordered_anew(prepared, file) or _refused(prepared, file)
        return self._reconciled(prepared, file)

    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        writes = [write for outcome in outcomes for write in outcome.writes]
        write_all(connection, writes, now)
        former_key.write(connection, writes, now)

    def _reconciled(self, event: RecordReconciled, file: File) -> Outcome:
        if event.revision < file.revision:
            return Outcome("stale")
        if event.revision > file.revision:
            raise PermanentError("unknown_revision")
        if file.outcome not in (FileOutcome.PENDING, FileOutcome.DELIVERED):
            return Outcome("closed")
        chart = self._charts.get(file.clinic)
        if chart is None:
            raise PermanentError("no_chart")
        if not takes_kind(chart, file.kind):
            return Outcome("not_wanted", writes=(NotWanted(file.file_id),))
        if not isinstance(file.contents, Contents):
            raise file.contents or PermanentError("no_original")
        if not takes_form(chart, file.kind, file.suffix, file.contents.record):
            return Outcome("not_wanted", writes=(NotWanted(file.file_id),))
        wanted = self._order(file, file.contents)
        return Outcome("wanted", events=(wanted,), writes=(Wanted(file.file_id, file.clinic, file.revision),))

    def _ordered_anew(self, event: DeliveryRefused, file: File) -> Outcome | None:
        """Order again what was refused by a machine that has another key than the one it was ordered to."""
        is_open = file.outcome in (FileOutcome.PENDING, FileOutcome.DELIVERED) and file.done_revision < event.revision
        if not is_open or file.ordered_to is None:
            return None
        stands = key_id(self._keyring.edge_key(file.clinic, CHART_EDGE)).hex()
        if (event.sealed_to or file.ordered_to) == stands:
            return None
        if event.revision < file.revision:
            # The newest revision carries all that this one did, and has an order of its own.
            return Outcome("stale")
        if file.ordered_to == stands:
            # A copy of the former order came late: what it is to be given is on its way.
            return Outcome("outdone")
        if not isinstance(file.contents, Contents):
            return None
        wanted = self._order(file, file.contents)
        return Outcome("ordered_anew", events=(wanted,), writes=(Again(wanted, event.id if event.sealed_to else None),))

    def _order(self, file: File, contents: Contents) -> DeliveryWanted:
        return DeliveryWanted(
            clinic=file.clinic, file_id=file.file_id, revision=file.revision, sealed=self._seal(file, contents)
        )

    def _seal(self, file: File, contents: Contents) -> bytes:
        delivery = SealedDelivery(
            suffix=file.suffix,
            record=chart_record(file.file_id, file.kind, file.captured_at, file.revision, contents),
            original=contents.original if file.done_revision == 0 else None,
        )
        key = self._keyring.edge_key(file.clinic, CHART_EDGE)
        context = delivery_context(file.file_id, file.revision)
        return self._sealer.seal(key, file.clinic, context, delivery.to_bytes())


def forms_of(chart: Chart, kind: str) -> tuple[str, ...] | None:
    """Name the forms in which a chart is given files of a clinical kind; none of any other kind."""
    match kind:
        case MessageKind.MEDICATION:
            return chart.clinical.medication
        case MessageKind.CHECKUP:
            return chart.clinical.checkup
        case _:
            return None


def takes_kind(chart: Chart, kind: str) -> bool:
    """Say whether a chart is given files of a kind in any form."""
    return forms_of(chart, kind) != ()


def takes_form(chart: Chart, kind: str, suffix: str, record: Record | None) -> bool:
    """Say whether a chart is given this form of a kind that it is given.

    Why there is nothing is told in either case: a request for a PDF is refused by a message.
    """
    forms = forms_of(chart, kind)
    is_refusal = record is not None and layer_of(record) is not Layer.OK
    return forms is None or is_refusal or ("pdf" if suffix == Extension.PDF else "data") in forms


def _done(event: DeliveryDone) -> Outcome:
    done = Done(event.file_id, event.clinic, event.revision, event.receipt, event.done_at)
    return Outcome("done", writes=(done,))


def _refused(event: DeliveryRefused, file: File) -> Outcome:
    if file.done_revision >= event.revision:
        return Outcome("outdone")
    reason = refusal_of(event.reason)
    refused = Refused(event.file_id, event.clinic, event.revision, reason)
    return Outcome("refused", writes=(refused,), park=reason)
