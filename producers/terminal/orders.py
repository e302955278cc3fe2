"""What has the centre ordered, and was it done before it is acknowledged?

Every order is answered or dropped by its lease; nothing is parked at an edge. A message that cannot be read is
counted and acknowledged, for it would come back for ever.
"""

import logging
import sqlite3
from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby
from pathlib import Path

from pipeline.broker.port import Broker, Delivery, Subscription
from pipeline.edge_words import EdgeFault
from pipeline.envelope import Envelope, UnreadableMessageError, read
from pipeline.events import (
    ErasureOrder,
    Event,
    EvidenceStored,
    FileStored,
    HoldKept,
    HoldMissed,
    HoldReleased,
    HoldSet,
    RequestPlace,
)
from pipeline.key_bundle import accept
from pipeline.key_events import KeysPublished
from producers.terminal import copies, evidence, intents
from producers.terminal.erase import Eraser
from producers.terminal.faults import Faults
from producers.terminal.ledger import Ledger
from producers.terminal.requests import Requests
from producers.terminal.trust import EdgeClock

PREFETCH = 50
AT_ONCE = 100
"""How many erasures share their flushes."""
_PART = "orders"
_log = logging.getLogger("onshi.terminal")


class Orders:
    """Belongs to one thread."""

    def __init__(
        self,
        *,
        queue: str,
        clinic: str,
        edge: str,
        broker: Broker,
        ledger: Ledger,
        eraser: Eraser,
        requests: Requests,
        clock: EdgeClock,
        faults: Faults,
        keys_dir: Path,
    ) -> None:
        self._queue = queue
        self._clinic = clinic
        self._edge = edge
        self._broker = broker
        self._ledger = ledger
        self._eraser = eraser
        self._requests = requests
        self._clock = clock
        self._faults = faults
        self._keys_dir = keys_dir
        self._subscription: Subscription | None = None
        self.unreadable = 0

    def receive(self, wait: timedelta) -> int:
        """Carry out what has arrived; return how many messages were acknowledged.

        Raises:
            BrokerAwayError: subscribe again later. sqlite3.Error: the messages come again.
        """
        if self._subscription is None:
            self._subscription = self._broker.subscribe(self._queue, PREFETCH)
        deliveries = self._subscription.receive(PREFETCH, wait)
        self._faults.clear(EdgeFault.BROKER_AWAY, _PART)
        if not deliveries:
            return 0
        try:
            self.carry_out([envelope for delivery in deliveries for envelope in self._read(delivery)])
        except sqlite3.Error:
            self._subscription.reject(deliveries, requeue=True)
            raise
        self._subscription.ack(deliveries)
        return len(deliveries)

    def _read(self, delivery: Delivery) -> list[Envelope]:
        try:
            envelopes = read(delivery)
        except UnreadableMessageError:
            self.unreadable += 1
            _log.warning("unreadable order", extra={"message_id": delivery.message_id})
            return []
        return [e for e in envelopes if (e.event.clinic, e.event.edge) == (self._clinic, self._edge)]

    def away(self) -> None:
        """Let go of a subscription that failed."""
        if self._faults.raise_(EdgeFault.BROKER_AWAY, _PART):
            _log.warning("broker away")
        self.close()

    def carry_out(self, envelopes: Sequence[Envelope]) -> None:
        """Handle orders in their order, neighbours of one kind together."""
        for kind, group in groupby(envelopes, key=lambda envelope: type(envelope.event)):
            if kind is KeysPublished:
                self._learn([e.event for e in group if isinstance(e.event, KeysPublished)])
            else:
                self._carry_out(kind, list(group))

    def _learn(self, events: Sequence[KeysPublished]) -> None:
        for event in events:
            accept(self._keys_dir, event)

    def _carry_out(self, kind: type[Event], group: Sequence[Envelope]) -> None:
        if kind is FileStored:
            self._stored([e.event for e in group if isinstance(e.event, FileStored)])
        elif kind is EvidenceStored:
            with self._ledger.transaction() as db:
                evidence.remove(db, [e.event.evidence_id for e in group if isinstance(e.event, EvidenceStored)])
        else:
            for envelope in group:
                self._clock.note_instant(envelope.at)
            self._obey(kind, group)

    def _obey(self, kind: type[Event], group: Sequence[Envelope]) -> None:
        if kind is ErasureOrder:
            orders = [(e, e.event) for e in group if isinstance(e.event, ErasureOrder)]
            for start in range(0, len(orders), AT_ONCE):
                self._eraser.obey(orders[start : start + AT_ONCE])
        elif kind in (HoldSet, HoldReleased):
            self._holds([(e, e.event) for e in group if isinstance(e.event, HoldSet)])
        elif kind is RequestPlace:
            for envelope in group:
                if isinstance(envelope.event, RequestPlace):
                    self._requests.place(envelope, envelope.event)

    def _stored(self, events: Sequence[FileStored]) -> None:
        now = self._clock.now()
        with self._ledger.transaction() as db:
            known = copies.find(db, [event.copy_id for event in events])
            copies.mark_stored(db, [(event.copy_id, event.stored_at) for event in events])
            evidence.tell_vanished(
                db,
                [copy for copy in known.values() if copy.state.value == "vanished" and copy.stored_at is None],
                self._clinic,
                self._edge,
                now,
            )

    def _holds(self, orders: Sequence[tuple[Envelope, HoldSet]]) -> None:
        now = self._clock.now()
        live = [(envelope, order) for envelope, order in orders if now < order.until]
        with self._ledger.transaction() as db:
            for envelope, order in live:
                if isinstance(order, HoldReleased):
                    db.execute("DELETE FROM holds WHERE copy_id = ? AND hold_id = ?", (order.copy_id, order.hold_id))
                else:
                    evidence.add(db, [(self._hold(db, order), envelope)], now)

    def _hold(self, db: sqlite3.Connection, order: HoldSet) -> HoldKept:
        copy = copies.find(db, [order.copy_id]).get(order.copy_id)
        is_late = (copy is not None and copy.state.is_gone) or intents.find(db, [order.copy_id])
        if not is_late:
            db.execute("INSERT OR IGNORE INTO holds (copy_id, hold_id) VALUES (?, ?)", (order.copy_id, order.hold_id))
        answer = HoldMissed if is_late else HoldKept
        return answer(
            clinic=self._clinic, edge=self._edge, file_id=order.file_id, copy_id=order.copy_id, hold_id=order.hold_id
        )

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
