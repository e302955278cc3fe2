"""How do many threads share one flush to disk?

One thread owns the database. What the others want is queued to it; all that waits is done in one transaction, and
each caller is answered after the commit. While one flush runs the next group gathers, so nobody waits to fill one.
The same thread wakes for what is due.
"""

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from pipeline.broker.embedded_tables import Tables, now_ms
from pipeline.broker.port import BrokerAwayError
from pipeline.errors import OnshiError

CHECKPOINT_SECONDS = 5.0
"""How long a settled body may stay readable in the write-ahead file."""

LONGEST_SLEEP_SECONDS = 60.0
PAUSE_AFTER_FAULT_SECONDS = 1.0

Operation = Callable[[Tables], Any]
_T = TypeVar("_T")


class _Wish:
    """One operation and the caller that waits for it."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.answer: Any = None
        self.fault: BaseException | None = None
        self.is_abandoned = False
        self.done = threading.Event()


class Writer:
    """The owner of the database. `ring` is called with the queues that got messages, after their commit."""

    def __init__(self, connection: sqlite3.Connection, ring: Callable[[str], None]) -> None:
        self._db = connection
        self._ring = ring
        self._wishes: deque[_Wish] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._dirty_since: float | None = None
        self._next_try_at = 0.0
        self._tables = Tables(connection)
        self._thread = threading.Thread(target=self._run, daemon=True, name="onshi-embedded")
        self._thread.start()

    def do(self, operation: Callable[[Tables], _T], seconds: float = 30.0) -> _T:
        """Run this in the next transaction and return after its commit.

        Raises:
            BrokerAwayError: the disk refused, or it took too long and may still happen.
        """
        wish = _Wish(operation)
        with self._changed:
            if self._closing:
                raise BrokerAwayError("the broker is closed")
            self._wishes.append(wish)
            self._changed.notify()
        if not wish.done.wait(max(0.0, seconds)):
            wish.is_abandoned = True
            raise BrokerAwayError("the broker did not confirm in time")
        if wish.fault is not None:
            raise wish.fault
        answer: _T = wish.answer
        return answer

    def close(self) -> None:
        """Do what was asked, then end. May be called twice."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with self._changed:
                    if not self._wishes and not self._closing:
                        self._changed.wait(self._seconds_to_sleep())
                    group = list(self._wishes)
                    self._wishes.clear()
                    if self._closing and not group:
                        break
                self._serve(group)
                self._tidy()
        finally:
            self._truncate()
            self._db.close()

    def _seconds_to_sleep(self) -> float:
        seconds = LONGEST_SLEEP_SECONDS
        now = time.monotonic()
        if self._tables.next_due_ms is not None:
            seconds = min(seconds, max((self._tables.next_due_ms - now_ms()) / 1000, self._next_try_at - now))
        if self._dirty_since is not None:
            seconds = min(seconds, max(self._dirty_since + CHECKPOINT_SECONDS, self._next_try_at) - now)
        return max(0.0, seconds)

    def _serve(self, group: list[_Wish]) -> None:
        try:
            for wish in group:
                self._attempt(wish)
            self._expire()
            self._commit()
        except Exception as fault:  # noqa: BLE001 - every caller is answered, whatever it was
            self._give_up(group, fault)
        for wish in group:
            wish.done.set()
        rung, self._tables.rung = self._tables.rung, set()
        for queue in rung:
            self._ring(queue)

    def _attempt(self, wish: _Wish) -> None:
        if wish.is_abandoned:
            return
        try:
            wish.answer = wish.operation(self._tables)
        except OnshiError as fault:
            # Raised before anything was written: the rest of the group goes on.
            wish.fault = fault

    def _expire(self) -> None:
        due = self._tables.next_due_ms
        if due is not None and due <= now_ms():
            self._tables.expire(now_ms())

    def _commit(self) -> None:
        if self._db.in_transaction:
            self._db.execute("COMMIT")
            if self._dirty_since is None:
                self._dirty_since = time.monotonic()

    def _give_up(self, group: list[_Wish], fault: Exception) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            self._tables.reload()
            self._tables.find_next_due()
        self._tables.rung.clear()
        self._next_try_at = time.monotonic() + PAUSE_AFTER_FAULT_SECONDS
        away = BrokerAwayError(f"the broker's file could not be written ({type(fault).__name__})")
        away.__cause__ = fault
        for wish in group:
            wish.fault = wish.fault or away

    def _tidy(self) -> None:
        if self._dirty_since is not None and time.monotonic() - self._dirty_since >= CHECKPOINT_SECONDS:
            self._truncate()

    def _truncate(self) -> None:
        self._dirty_since = None
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        except sqlite3.OperationalError:
            # A full disk: the file still holds everything; try again in a while.
            self._dirty_since = time.monotonic()
