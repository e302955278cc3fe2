"""How is the `Broker` port kept with nothing to install: one file, one process?

For one clinic, and for trying the product. The file is locked by the operating system for the life of the process,
so a second one is refused and a killed one leaves nothing to clean up.
"""

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from pipeline.broker.embedded_tables import FORMAT, Tables, connect
from pipeline.broker.embedded_writer import Writer
from pipeline.broker.port import BrokerAwayError, Delivery, OutMessage, UnroutableError
from pipeline.errors import PermanentError, UnfitStateError
from pipeline.private import make_private
from pipeline.topology import Topology


class EmbeddedBusyError(PermanentError):
    """Another process has the embedded broker's file open."""

    def __init__(self, path: Path) -> None:
        super().__init__("busy", f"another process uses {path.name}; stop it, or use RabbitMQ")


class _Bells:
    """Lets receivers sleep until something was put into their queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting: dict[str, threading.Condition] = {}
        self._rings: dict[str, int] = {}

    def heard(self, queue: str) -> int:
        """Return how often the queue's bell rang. Ask before looking into the queue, or a ring is missed."""
        with self._lock:
            return self._rings.get(queue, 0)

    def ring(self, queue: str) -> None:
        with self._lock:
            self._rings[queue] = self._rings.get(queue, 0) + 1
            bell = self._waiting.get(queue)
            if bell is not None:
                bell.notify_all()

    def wait(self, queue: str, heard: int, seconds: float) -> None:
        with self._lock:
            bell = self._waiting.setdefault(queue, threading.Condition(self._lock))
            bell.wait_for(lambda: self._rings.get(queue, 0) != heard, seconds)


class EmbeddedBroker:
    """`Broker` on one SQLite file.

    Raises:
        EmbeddedBusyError: another process has it.
        BrokerAwayError: the file cannot be opened.
        UnfitFileError: it is of another release, and was left as it is.
    """

    def __init__(self, path: Path) -> None:
        FORMAT.require(path)
        self._lock = _locked(path)
        self._bells = _Bells()
        self._subscriptions: set[EmbeddedSubscription] = set()
        self._owed: set[int] = set()
        self._subscriptions_lock = threading.Lock()
        try:
            self._writer = Writer(connect(path), self._bells.ring)
            self._writer.do(Tables.recover)
        except sqlite3.Error as fault:
            os.close(self._lock)
            raise BrokerAwayError(f"the broker's file cannot be opened ({type(fault).__name__})") from fault
        except UnfitStateError:
            os.close(self._lock)
            raise

    def declare(self, topology: Topology) -> None:
        self._writer.do(lambda tables: tables.declare(topology))

    def check(self, topology: Topology) -> bool:
        self._writer.do(lambda tables: tables.check(topology))
        return True

    def publisher(self) -> "EmbeddedPublisher":
        return EmbeddedPublisher(self._writer)

    def subscribe(self, queue: str, prefetch: int) -> "EmbeddedSubscription":
        self._writer.do(lambda tables: tables.require_queue(queue))
        self._give_back([])
        subscription = EmbeddedSubscription(
            self._writer, self._bells, queue, prefetch, forget=self._forget, give_back=self._give_back
        )
        with self._subscriptions_lock:
            self._subscriptions.add(subscription)
        return subscription

    def depth(self, queue: str) -> int:
        return self._writer.do(lambda tables: tables.depth(queue))

    def close(self) -> None:
        """Give back what subscriptions hold, end the writer, let the file go. May be called twice."""
        with self._subscriptions_lock:
            subscriptions = list(self._subscriptions)
        for subscription in subscriptions:
            subscription.close()
        self._writer.close()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _give_back(self, seqs: list[int]) -> None:
        # What cannot be given back while the disk is full is owed until somebody subscribes again.
        with self._subscriptions_lock:
            owed = sorted(self._owed.union(seqs))
            self._owed.update(seqs)
        if not owed:
            return
        with contextlib.suppress(BrokerAwayError):
            self._writer.do(lambda tables: tables.give_back(owed))
            with self._subscriptions_lock:
                self._owed.difference_update(owed)

    def _forget(self, subscription: "EmbeddedSubscription") -> None:
        with self._subscriptions_lock:
            self._subscriptions.discard(subscription)


class EmbeddedPublisher:
    """`Publisher`: confirmed is committed."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer
        self._closed = False

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        if self._closed:
            raise BrokerAwayError("the publisher is closed")
        if not batch:
            return
        unroutable = self._writer.do(lambda tables: tables.publish(batch), deadline.total_seconds())
        if unroutable:
            raise UnroutableError(unroutable)

    def close(self) -> None:
        self._closed = True


class EmbeddedSubscription:
    """`Subscription`: handed out is marked on disk first, so a crash is seen as a delivery."""

    def __init__(
        self,
        writer: Writer,
        bells: _Bells,
        queue: str,
        prefetch: int,
        *,
        forget: Callable[["EmbeddedSubscription"], None],
        give_back: Callable[[list[int]], None],
    ) -> None:
        self._writer = writer
        self._bells = bells
        self._queue = queue
        self._most_held = prefetch
        self._forget = forget
        self._return = give_back
        self._held: set[int] = set()
        self._closed = False

    def receive(self, most: int, wait: timedelta) -> list[Delivery]:
        until = time.monotonic() + wait.total_seconds()
        while True:
            heard = self._bells.heard(self._queue)
            taken = self._take(min(most, self._most_held - len(self._held)))
            left = until - time.monotonic()
            if taken or left <= 0:
                return taken
            self._bells.wait(self._queue, heard, left)

    def ack(self, deliveries: Sequence[Delivery]) -> None:
        seqs = self._checked(deliveries)
        self._writer.do(lambda tables: tables.settle(seqs))
        self._held.difference_update(seqs)

    def reject(self, deliveries: Sequence[Delivery], *, requeue: bool) -> None:
        seqs = self._checked(deliveries)
        if requeue:
            self._writer.do(lambda tables: tables.give_back(seqs))
        else:
            self._writer.do(lambda tables: tables.bury(seqs, "rejected"))
        self._held.difference_update(seqs)

    def prefetch(self, most: int) -> None:
        self._most_held = most

    def finish(self, deliveries: Sequence[Delivery]) -> None:
        self._most_held = 0
        self.ack(deliveries)

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._bells.ring(self._queue)
        self._forget(self)
        if self._held:
            self._return(sorted(self._held))
            self._held.clear()

    def _take(self, most: int) -> list[Delivery]:
        if self._closed:
            raise BrokerAwayError("the subscription is closed")
        if most <= 0:
            return []

        def take(tables: Tables) -> list[Delivery]:
            taken = tables.take(self._queue, most)
            # Noted before the commit: a receiver that gives up waiting for it must still give back what it marks.
            self._held.update(delivery.tag for delivery in taken)
            return taken

        return self._writer.do(take)

    def _checked(self, deliveries: Sequence[Delivery]) -> list[int]:
        if self._closed:
            raise BrokerAwayError("the subscription is closed")
        seqs = [delivery.tag for delivery in deliveries]
        if not self._held.issuperset(seqs) or len(set(seqs)) != len(seqs):
            raise ValueError("a delivery was settled twice or belongs to another subscription")
        return seqs


def _locked(path: Path) -> int:
    try:
        make_private(path)
        lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as fault:
        raise BrokerAwayError(f"the broker's folder cannot be written ({type(fault).__name__})") from fault
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as fault:
        os.close(lock)
        raise EmbeddedBusyError(path) from fault
    return lock
