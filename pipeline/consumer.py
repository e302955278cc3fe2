"""What is a centre consumer? A declaration around a pure `decide`; the runner does the rest.

For a batch the runner calls, in this order: `prepare` for each event outside any transaction; then in one
transaction `gather` once, `decide` for each, `apply` once; it writes inbox and outbox, commits, publishes, and
acknowledges. Handlers never acknowledge, publish, sleep, log or count. Design section 5.
"""

from abc import ABC, abstractmethod
from collections.abc import Hashable, Sequence
from datetime import datetime
from typing import ClassVar, Generic, TypeVar

from sqlalchemy import Connection

from pipeline.envelope import Envelope
from pipeline.events import Event
from pipeline.outcome import Outcome
from pipeline.topology import Role

P = TypeVar("P")
"""A prepared event."""
F = TypeVar("F")
"""The facts of a batch."""


class Consumer(ABC, Generic[P, F]):
    """One centre role. An instance belongs to one thread."""

    role: ClassVar[Role]
    listens: ClassVar[tuple[type[Event], ...]]
    needs_clock: ClassVar[bool] = False
    """Whether `due` waits while the clock cannot be believed."""
    is_ordered: ClassVar[bool] = False
    """Whether one instance at a time takes from its queue, in order. Then recovery does not go one by one: only the
    first of two subscribers of such a queue is ever served, so its prefetch cannot be raised later."""
    says_again: ClassVar[bool] = True
    """Whether what a known event led to is published again; false where nobody downstream could have lost it."""

    clock_reasons: ClassVar[frozenset[str]] = frozenset()
    """Reasons to park that a wrong clock gives, not a bad release: they do not count towards the fuse, and while our
    own clock is in doubt the consumer waits instead of parking."""

    @abstractmethod
    def prepare(self, envelope: Envelope) -> P:
        """Open seals, parse, compute hashes: everything that needs no fact of the store.

        Raises:
            PermanentError: this event is parked; its neighbours go on.
        """

    def key(self, prepared: P) -> Hashable:
        """Name what this event changes; two events of one key never share a batch, for facts are gathered once."""
        return id(prepared)

    @abstractmethod
    def gather(self, connection: Connection, batch: Sequence[P]) -> F:
        """Ask the store, in few locking queries for the whole batch (PostgreSQL: `FOR UPDATE`, keys sorted)."""

    @abstractmethod
    def decide(self, prepared: P, facts: F, now: datetime) -> Outcome:
        """Say what follows. Touches nothing."""

    @abstractmethod
    def apply(self, connection: Connection, outcomes: Sequence[Outcome], now: datetime) -> None:
        """Write what was decided, in few statements. Newer facts win by conditional writes."""

    def due(self, connection: Connection, now: datetime) -> Sequence[Outcome]:
        """Say what time alone has brought, by query; called every second in a writing transaction.

        The outcomes are applied and their events published like those of a message. Several instances may run:
        rows are claimed with `FOR UPDATE SKIP LOCKED` on PostgreSQL. At most a few hundred at a time.
        """
        return ()
