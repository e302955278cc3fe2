"""Who receives, publishes and acknowledges? Only this module, for every centre consumer.

Batch: prepare outside any transaction; gather, decide, apply, inbox and outbox in one; publish what is new, and what
known events led to; then acknowledge. A failing batch is taken apart and run one by one. After a start the prefetch is
1 until a message comes that was not delivered before, so that one that kills the process takes no neighbour along.
Design section 5.
"""

import logging
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, insert, select
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from pipeline import outbox
from pipeline.answers import answers
from pipeline.broker.port import Broker, Delivery, Publisher, Subscription
from pipeline.budget import TooHeavyError
from pipeline.chores import Chores
from pipeline.clock import Clock
from pipeline.consumer import Consumer
from pipeline.envelope import UNREADABLE, Envelope, UnreadableMessageError, WireEvent, is_first_hand, pack, read
from pipeline.errors import AwayError, ClockInDoubtError, OnshiError, PermanentError, TransientError, UnfitStateError
from pipeline.guard import PUT_OFF, Guard
from pipeline.metrics import BATCH_EVENTS, BATCH_SECONDS, MESSAGES, PARKED, PAUSED, RETRIES
from pipeline.outcome import said
from pipeline.pulse import Pulse
from pipeline.redirection import copy_of
from pipeline.retry import TIERS, Again, Park, after_failure
from pipeline.sending import publish
from pipeline.storage.engine import Store
from pipeline.storage.schema import inbox
from pipeline.topology import Edge, Exchange, work_queue
from pipeline.unit import Unit

LOG = logging.getLogger("onshi.runner")
IDLE = timedelta(milliseconds=200)
LOCAL_RETRY_SECONDS = 5
FIRST_PAUSE_SECONDS = 0.5
PROBE_MOST_SECONDS = 10.0


class Runner:
    """Runs one consumer until told to stop. One thread; its broker connections live and die with a session."""

    def __init__(
        self,
        consumer: Consumer[Any, Any],
        store: Store,
        broker: Broker,
        clock: Clock,
        *,
        batch: int = 100,
        repeat_after: timedelta = timedelta(minutes=15),
        pulse: Pulse | None = None,
        has_vendors: bool = False,
        is_shared: bool = False,
        edges: Collection[Edge] | None = None,
    ) -> None:
        """`is_shared`: several clinics' events come here, none of which may stop it for the others. `edges`: theirs."""
        self._consumer = consumer
        self._role = consumer.role
        self._store = store
        self._broker = broker
        self._clock = clock
        self._batch = batch
        self._repeat_after = repeat_after
        self.pulse = pulse or Pulse(consumer.role)
        self._guard = Guard(consumer.role, is_shared=is_shared)
        self._has_vendors = has_vendors
        self._chores = Chores(consumer, store, broker, clock, repeat_after, has_vendors=has_vendors, edges=edges)
        self._recovering = True
        self._publisher: Publisher | None = None
        self._started = 0.0
        self._attempts: dict[str, int] = {}
        self._show_zeros()

    def _show_zeros(self) -> None:
        """Show what has not happened yet as 0, so that a query tells nothing from never."""
        PAUSED.labels(self._role).set(0)
        for tier in TIERS:
            RETRIES.labels(self._role, tier)

    def run(self, stop: threading.Event) -> None:
        """Work until `stop` is set, then finish what is in hand. Store or broker away: pause, probe, go on."""
        pause = FIRST_PAUSE_SECONDS
        while not stop.is_set():
            try:
                self._session(stop)
                pause = FIRST_PAUSE_SECONDS
            except AwayError as error:
                self._paused(error)
                self.pulse.beat()
                stop.wait(pause)
                pause = min(pause * 2, PROBE_MOST_SECONDS)
        self.pulse.not_ready("stopped")

    def _session(self, stop: threading.Event) -> None:
        self._recovering = True
        self._publisher = self._broker.publisher()
        first = self._batch * 2 if self._consumer.is_ordered else 1
        subscription = self._broker.subscribe(work_queue(self._role), first)
        try:
            self._chores.open(self._publisher)
            while not stop.is_set() and not self._guard.is_blown:
                self._turn(subscription, stop)
                PAUSED.labels(self._role).set(0)
                self.pulse.ready()
            if self._guard.is_blown:
                self._wait_blown(subscription, stop)
            elif self._consumer.is_ordered:
                self._hand_over(subscription)
        finally:
            subscription.close()
            self._chores.close()
            self._publisher.close()

    def _hand_over(self, subscription: Subscription) -> None:
        """Finish all that is in hand before the next instance gets anything, or it would be overtaken."""
        done, left = list[Delivery](), list[Delivery]()
        while not left and (deliveries := subscription.receive(self._batch, timedelta(0))):
            settled, left = self._handle(deliveries)
            done += settled
        subscription.finish(done)

    def _turn(self, subscription: Subscription, stop: threading.Event) -> None:
        self.pulse.beat()
        deliveries = subscription.receive(self._batch, IDLE)
        if deliveries:
            started = time.monotonic()
            self._handle_when_back(subscription, deliveries, stop)
            BATCH_SECONDS.labels(self._role).observe(time.monotonic() - started)
            if self._recovering and not any(delivery.redelivered for delivery in deliveries):
                self._recovering = False
                subscription.prefetch(self._batch * 2)
        elif self._recovering:
            # Nothing is waiting to come again, so there is nothing to recover from.
            self._recovering = False
            subscription.prefetch(self._batch * 2)
        self._chores.turn()

    def _wait_blown(self, subscription: Subscription, stop: threading.Event) -> None:
        """Hold everything back until an operator restarts: parking more would only empty the queue into the lot."""
        self._guard.blow()
        self.pulse.not_ready("fuse")
        subscription.close()
        while not stop.is_set():
            self.pulse.beat()
            self._chores.turn()
            stop.wait(1)

    def _paused(self, error: AwayError) -> None:
        PAUSED.labels(self._role).set(1)
        self.pulse.not_ready("away")
        LOG.warning("paused", extra={"consumer": self._role, "error": type(error).__name__, "reason": str(error)})

    # One batch

    def _handle_when_back(
        self, subscription: Subscription, deliveries: Sequence[Delivery], stop: threading.Event
    ) -> None:
        """Handle a batch, kept in hand while the store or the publishing side is away.

        Given back and taken again at every probe, it would reach the broker's delivery limit and be parked.
        """
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                settled, left = self._handle(deliveries)
                subscription.ack(settled)
                if left:
                    subscription.reject(left, requeue=True)
            except AwayError as error:
                self._paused(error)
                if stop.wait(pause):
                    raise
                # Raises when the subscription is what has gone: then the batch comes again with the next one.
                subscription.receive(0, timedelta(0))
                self.pulse.beat()
                pause = min(pause * 2, PROBE_MOST_SECONDS)
            else:
                PAUSED.labels(self._role).set(0)
                return

    def _handle(self, deliveries: Sequence[Delivery]) -> tuple[list[Delivery], list[Delivery]]:
        """Handle a batch and publish; returns what is to be acknowledged, and what is to be given back."""
        self._started = time.monotonic()
        units = [self._read(delivery) for delivery in deliveries]
        self._attempts = {envelope.id: unit.attempt for unit in units for envelope in unit.envelopes}
        for group in self._groups(units):
            self._work(group)
        assert self._publisher is not None
        settled = [unit for unit in units if not unit.is_left]
        instead = [message for unit in settled for message in unit.instead]
        if instead:
            publish(self._publisher, instead)
        self._guard.sent_round(envelope for unit in settled for envelope in unit.put_off)
        return [unit.delivery for unit in settled], [unit.delivery for unit in units if unit.is_left]

    def _read(self, delivery: Delivery) -> Unit:
        unit = Unit(delivery)
        try:
            envelopes = read(delivery)
        except UnreadableMessageError as error:
            self._refuse(unit, error.reason)
            return unit
        # A sender may have a copy routed to a key that is not its own (CC): what is not for us is nobody's.
        if all(isinstance(each.event, self._consumer.listens) for each in envelopes):
            unit.envelopes = envelopes
        else:
            self._refuse(unit, UNREADABLE)
        return unit

    def _refuse(self, unit: Unit, reason: str) -> None:
        unit.instead.append(copy_of(unit.delivery, Exchange.DEAD, self._role.value, reason))
        self._count(None, "parked", reason)

    def _groups(self, units: Sequence[Unit]) -> Iterator[list[tuple[Unit, Envelope, Any]]]:
        """Prepare every event; split where one event twice, or two of one key, would share a batch."""
        group: list[tuple[Unit, Envelope, Any]] = []
        keys: set[Any] = set()
        for unit in units:
            for envelope in unit.envelopes:
                if self._guard.is_blown:
                    unit.is_left = True
                    break
                if self._put_off(unit, envelope):
                    continue
                try:
                    prepared = self._consumer.prepare(envelope)
                except Exception as error:  # noqa: BLE001 - whatever it is, this one event has an owner now
                    self._fail(unit, envelope, error)
                    continue
                own = {("event", envelope.id), ("key", self._consumer.key(prepared))}
                if own & keys or len(group) >= self._batch:
                    yield group
                    group, keys = [], set()
                group.append((unit, envelope, prepared))
                keys |= own
        if group:
            yield group

    def _work(self, group: Sequence[tuple[Unit, Envelope, Any]]) -> None:
        if self._guard.is_blown:
            for unit, _, _ in group:
                unit.is_left = True
            return
        group = [item for item in group if not self._put_off(item[0], item[1])]
        if not group:
            return
        BATCH_EVENTS.labels(self._role).observe(len(group))
        try:
            to_park = self._transact([(envelope, prepared) for _, envelope, prepared in group])
        except AwayError:
            raise
        except TooHeavyError:
            middle = len(group) // 2
            self._work(group[:middle])
            self._work(group[middle:])
        except Exception as error:  # noqa: BLE001 - each event has its own owner now
            self._take_apart(group, error)
        else:
            self._park_decided(group, to_park)

    def _take_apart(self, group: Sequence[tuple[Unit, Envelope, Any]], error: Exception) -> None:
        if len(group) == 1:
            self._work_alone(*group[0], error)
            return
        if not isinstance(error, OnshiError):
            # One by one it may pass unseen, at many times the cost.
            LOG.warning("batch taken apart", exc_info=error, extra={"consumer": self._role, "count": len(group)})
        for item in group:
            self._work([item])

    def _work_alone(self, unit: Unit, envelope: Envelope, prepared: Any, error: Exception) -> None:
        if isinstance(error, TransientError):
            try:
                for attempt in _local_retry():
                    with attempt:
                        to_park = self._transact([(envelope, prepared)])
            except AwayError:
                raise
            except Exception as last:  # noqa: BLE001 - becomes a decision
                error = last
            else:
                self._park_decided([(unit, envelope, prepared)], to_park)
                return
        self._fail(unit, envelope, error)

    def _park_decided(self, group: Sequence[tuple[Unit, Envelope, Any]], to_park: Mapping[str, str]) -> None:
        for unit, envelope, _ in group:
            if envelope.id in to_park:
                self._fail(unit, envelope, PermanentError(to_park[envelope.id]))

    def _transact(self, batch: Sequence[tuple[Envelope, Any]]) -> dict[str, str]:
        """Handle a batch in one transaction and publish; returns what was decided to be parked, with the reason."""
        self._chores.mark_for_order()
        now = self._clock.now()
        with self._store.transaction() as connection:
            known = self._known(connection, [envelope.id for envelope, _ in batch])
            fresh = [(envelope, prepared) for envelope, prepared in batch if envelope.id not in known]
            is_alone, is_final = len(batch) == 1, not self._consumer.says_again
            to_send = outbox.of_causes(connection, self._role, sorted(known), is_alone=is_alone, only_unsent=is_final)
            results: list[tuple[Envelope, str]] = [(envelope, "known") for envelope, _ in batch if envelope.id in known]
            to_park: dict[str, str] = {}
            if fresh:
                facts = self._consumer.gather(connection, [prepared for _, prepared in fresh])
                outcomes = [(envelope, self._consumer.decide(prepared, facts, now)) for envelope, prepared in fresh]
                self._consumer.apply(connection, [outcome for _, outcome in outcomes], now)
                to_park = {envelope.id: outcome.park for envelope, outcome in outcomes if outcome.park}
                self._wait_for_clock(connection, to_park, now)
                self._enter(connection, [envelope.id for envelope, _ in fresh if envelope.id not in to_park], now)
                events = said(outcomes, to_vendors=self._has_vendors)
                to_send += outbox.add(connection, self._role, events, now, self._repeat_after)
                results += [(envelope, outcome.result) for envelope, outcome in outcomes if not outcome.park]
            self._chores.mark(connection, now)
        self._send(to_send, answers((envelope for envelope, _ in batch if envelope.id not in to_park), now))
        for envelope, result in results:
            self._count(envelope, result)
        self._guard.passed(envelope for envelope, _ in results)
        return to_park

    def _wait_for_clock(self, connection: Connection, to_park: Mapping[str, str], now: datetime) -> None:
        reasons = self._consumer.clock_reasons
        if reasons.intersection(to_park.values()) and self._chores.is_clock_in_doubt(connection, now):
            raise ClockInDoubtError("the clock is in doubt")

    def _enter(self, connection: Connection, event_ids: Sequence[str], now: datetime) -> None:
        if event_ids:
            rows = [{"consumer": self._role.value, "event_id": event_id, "at": now} for event_id in event_ids]
            connection.execute(insert(inbox), rows)

    def _known(self, connection: Connection, event_ids: Sequence[str]) -> set[str]:
        query = select(inbox.c.event_id).where(
            inbox.c.consumer == self._role.value, inbox.c.event_id.in_(sorted(event_ids))
        )
        return set(connection.scalars(query))

    def _send(self, events: Sequence[WireEvent], replies: Sequence[WireEvent]) -> None:
        if events or replies:
            assert self._publisher is not None
            lost = publish(self._publisher, pack([*events, *replies]))
            self._chores.sent([event.id for event in events if event.id not in lost])

    def _put_off(self, unit: Unit, envelope: Envelope) -> bool:
        if not self._guard.doubts(envelope):
            return False
        # What comes round goes on; only its edge's own word may be one too many.
        if not (is_first_hand(unit.delivery) and self._guard.goes_round(envelope)):
            key = f"{self._role}.{PUT_OFF}"
            unit.instead.append(copy_of(unit.only(envelope), Exchange.RETRY, key, None, unit.attempt))
            unit.put_off.append(envelope)
        self._count(envelope, "put_off", "doubted")
        return True

    # One failure

    def _fail(self, unit: Unit, envelope: Envelope, error: Exception) -> None:
        if isinstance(error, AwayError | UnfitStateError):
            raise error
        decision = after_failure(error, unit.attempt)
        message = unit.only(envelope)
        if isinstance(decision, Again):
            key = f"{self._role}.{decision.tier}"
            unit.instead.append(copy_of(message, Exchange.RETRY, key, None, decision.attempt))
            RETRIES.labels(self._role, decision.tier).inc()
            self._count(envelope, "retry", type(error).__name__)
        elif isinstance(decision, Park):
            unit.instead.append(copy_of(message, Exchange.DEAD, self._role.value, decision.reason))
            PARKED.labels(self._role, decision.reason).inc()
            self._count(envelope, "parked", decision.reason)
            if decision.reason not in self._consumer.clock_reasons:
                self._guard.parked(envelope)
            if decision.is_bug:
                LOG.error("bug", exc_info=error, extra={"consumer": self._role, "event_id": envelope.id})

    def _count(self, envelope: Envelope | None, result: str, reason: str | None = None) -> None:
        name = envelope.event.type_name() if envelope else "unreadable"
        MESSAGES.labels(self._role, name, result).inc()
        extra: dict[str, object] = {"consumer": self._role, "event": name, "outcome": result}
        if envelope:
            extra |= {"event_id": envelope.id, "correlation": envelope.correlation, "clinic": envelope.event.clinic}
            extra["attempt"] = self._attempts.get(envelope.id, 1)
        if reason:
            extra["reason"] = reason
        extra["seconds"] = round(time.monotonic() - self._started, 4)
        LOG.info("handled", extra=extra)


def _local_retry() -> Retrying:
    return Retrying(
        retry=retry_if_exception(lambda e: isinstance(e, TransientError) and not isinstance(e, AwayError)),
        stop=stop_after_delay(LOCAL_RETRY_SECONDS),
        wait=wait_random_exponential(multiplier=0.1, max=1),
        reraise=True,
    )
