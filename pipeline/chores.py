"""What does a runner do beside its queue? About once a second: what time brought, what was left unsent, what must be
said again, what was parked, what is to be replayed.
"""

import logging
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection

from pipeline import backlog, edge_reports, outbox, parking
from pipeline.answers import answers
from pipeline.backlog import Backlog
from pipeline.broker.port import Broker, Delivery, Publisher, Subscription
from pipeline.clock import Clock, ClockWatch
from pipeline.consumer import Consumer
from pipeline.envelope import Envelope, UnreadableMessageError, WireEvent, pack, read
from pipeline.errors import AwayError
from pipeline.metrics import REPEATED
from pipeline.outcome import said
from pipeline.sending import publish
from pipeline.storage.engine import Store
from pipeline.topology import Edge, parked_queue

LOG = logging.getLogger("onshi.runner")
EVERY_SECONDS = 1.0
REPEAT_EVERY_SECONDS = 30.0
PURGE_EVERY_SECONDS = 600.0


class Chores:
    """The housekeeping of one runner, in its thread."""

    def __init__(
        self,
        consumer: Consumer[Any, Any],
        store: Store,
        broker: Broker,
        clock: Clock,
        repeat_after: timedelta,
        *,
        has_vendors: bool = False,
        edges: Collection[Edge] | None = None,
    ) -> None:
        self._consumer = consumer
        self._role = consumer.role
        self._store = store
        self._broker = broker
        self._clock = clock
        self._watch = ClockWatch(clock)
        self._repeat_after = repeat_after
        self._has_vendors = has_vendors
        self._publisher: Publisher | None = None
        self._lot: Subscription | None = None
        self._sent: list[str] = []
        self._last = 0.0
        self._last_repeat = 0.0
        self._last_purge = 0.0
        self._last_shown = 0.0
        self._backlog = Backlog(clock.now(), edges)

    def open(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._lot = self._broker.subscribe(parked_queue(self._role), 50)

    def close(self) -> None:
        if self._lot:
            self._lot.close()
        self._lot = None

    def sent(self, event_ids: Sequence[str]) -> None:
        """Remember what was confirmed; it is marked in the next transaction, at the latest within a second."""
        self._sent.extend(event_ids)

    def mark(self, connection: Connection, now: datetime) -> None:
        """Mark what was confirmed, inside a transaction that is being written anyway."""
        marked, self._sent = self._sent, []
        try:
            outbox.mark_sent(connection, marked, now)
        except BaseException:
            self._sent = marked + self._sent
            raise

    def mark_for_order(self) -> None:
        """Mark at once what was confirmed, where what has not left yet must not be overtaken."""
        if self._consumer.is_ordered and self._sent:
            with self._store.transaction() as connection:
                self.mark(connection, self._clock.now())

    def is_clock_in_doubt(self, connection: Connection, now: datetime) -> bool:
        """Say whether our own clock was set lately, or most edges place us in their past."""
        return not self._watch.is_reliable() or edge_reports.doubts_centre(connection, now)

    def turn(self) -> None:
        """Do what is due; returns at once when nothing is."""
        if time.monotonic() - self._last < EVERY_SECONDS:
            return
        self._last = time.monotonic()
        self._drain_lot()
        self._replay()
        self._due()
        self._relay()
        self._show_backlog()
        if time.monotonic() - self._last_repeat >= min(REPEAT_EVERY_SECONDS, self._repeat_after.total_seconds()):
            self._last_repeat = time.monotonic()
            self._repeat()
        if time.monotonic() - self._last_purge >= PURGE_EVERY_SECONDS:
            self._last_purge = time.monotonic()
            with self._store.transaction() as connection:
                outbox.purge(connection, self._role, self._clock.now())

    def _show_backlog(self) -> None:
        if self._role is not backlog.SHOWN_BY or time.monotonic() - self._last_shown < backlog.EVERY_SECONDS:
            return
        self._last_shown = time.monotonic()
        with self._store.reading() as connection:
            self._backlog.show(connection, self._clock.now())

    def _drain_lot(self) -> None:
        assert self._lot is not None
        while deliveries := self._lot.receive(50, timedelta(0)):
            now = self._clock.now()
            with self._store.transaction() as connection:
                parking.keep(connection, self._role, deliveries, now)
            if told := answers(_readable(deliveries), now):
                assert self._publisher is not None
                publish(self._publisher, pack(told))
            self._lot.ack(deliveries)

    def _replay(self) -> None:
        with self._store.reading() as connection:
            wanted = parking.replays(connection, self._role)
        if wanted:
            assert self._publisher is not None
            publish(self._publisher, list(wanted.values()))
            with self._store.transaction() as connection:
                parking.mark_replayed(connection, list(wanted), self._clock.now())

    def _due(self) -> None:
        if not self._watch.is_reliable() and self._consumer.needs_clock:
            # A limit that seems to have passed may be a clock that was set: nothing is announced or ordered on it.
            return
        self.mark_for_order()
        now = self._clock.now()
        try:
            with self._store.transaction() as connection:
                outcomes = self._consumer.due(connection, now)
                self._consumer.apply(connection, outcomes, now)
                events = said(((None, outcome) for outcome in outcomes), to_vendors=self._has_vendors)
                written = outbox.add(connection, self._role, events, now, self._repeat_after)
                self.mark(connection, now)
        except AwayError:
            raise
        except Exception as error:
            # A schedule that fails must not stop the queue; it is tried again in a second and seen in the log.
            LOG.exception("schedule failed", extra={"consumer": self._role, "error": type(error).__name__})
            return
        self._publish(written)

    def _relay(self) -> None:
        """Send what any runner left unsent: it died, or the broker was away."""
        now = self._clock.now()
        with self._store.transaction() as connection:
            left = outbox.claim_unsent(connection, now)
        if left:
            self._publish(left)
            with self._store.transaction() as connection:
                self.mark(connection, now)

    def _repeat(self) -> None:
        with self._store.transaction() as connection:
            again = outbox.to_repeat(connection, self._role, self._clock.now(), self._repeat_after)
        if again:
            REPEATED.labels(self._role).inc(len(again))
            self._publish(again)

    def _publish(self, events: Sequence[WireEvent]) -> None:
        if events:
            assert self._publisher is not None
            lost = publish(self._publisher, pack(events))
            self.sent([event.id for event in events if event.id not in lost])


def _readable(deliveries: Sequence[Delivery]) -> Iterator[Envelope]:
    for delivery in deliveries:
        with suppress(UnreadableMessageError):
            yield from read(delivery)
