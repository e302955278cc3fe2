"""How does what is in the spool, and what happened here, reach the broker?

Oldest first, in confirmed windows. While the broker is away everything stays where it is. A copy that nobody
answers with `file.stored`, and evidence that nobody answers with `evidence.stored`, is published again: after a
while, then four times as rarely.
"""

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from pipeline.broker.port import Broker, BrokerAwayError, Publisher, UnroutableError
from pipeline.edge_words import EdgeFault
from pipeline.envelope import WireEvent, enclose, pack, write
from pipeline.events import EdgeReported, FileCaptured
from producers.terminal import copies, evidence
from producers.terminal.copies import Copy
from producers.terminal.faults import Faults
from producers.terminal.ledger import Ledger
from producers.terminal.spool import DamagedError, Spool
from producers.terminal.trust import EdgeClock

WINDOW_FILES = 256
WINDOW_BYTES = 16 << 20
LATER = 4
"""How much longer the second and later repetitions wait (15 minutes, then hourly)."""
_PART = "publish"
_LONGEST_PAUSE = 30.0
_log = logging.getLogger("onshi.terminal")


@dataclass(frozen=True, slots=True)
class PublishRules:
    clinic: str
    edge: str
    repeat_after: timedelta


class Sending:
    """Belongs to one thread. Faults of the broker are noted and paused for, never raised."""

    def __init__(
        self, rules: PublishRules, broker: Broker, *, ledger: Ledger, spool: Spool, clock: EdgeClock, faults: Faults
    ) -> None:
        self._rules = rules
        self._broker = broker
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._faults = faults
        self._publisher: Publisher | None = None
        self._failures = 0

    @property
    def is_connected(self) -> bool:
        return self._publisher is not None

    def pause_seconds(self) -> float:
        """Return how long to leave the broker alone after failures; nothing after a success."""
        if not self._failures:
            return 0.0
        return min(_LONGEST_PAUSE, 0.25 * 2.0 ** min(self._failures, 10)) * random.uniform(0.5, 1.0)  # noqa: S311 - jitter

    def send(self, report: EdgeReported | None = None) -> int:
        """Publish one window of files, one of evidence and a report; return how many events were confirmed."""
        now = self._clock.now()
        try:
            if self._publisher is None:
                self._publisher = self._broker.publisher()
            sent = self._send_files(self._publisher, now) + self._send_evidence(self._publisher, now)
            if report is not None:
                self._confirm(self._publisher, [write(enclose(report, now))])
        except BrokerAwayError:
            self._away(EdgeFault.BROKER_AWAY)
            return 0
        self._failures = 0
        self._faults.clear(EdgeFault.BROKER_AWAY, _PART)
        return sent

    def _away(self, word: EdgeFault) -> None:
        self._failures += 1
        self.close()
        if self._faults.raise_(word, _PART):
            _log.warning("broker away")

    def _confirm(self, publisher: Publisher, events: Sequence[WireEvent]) -> set[str]:
        """Publish; return the ids of the messages that no queue took."""
        if not events:
            return set()
        try:
            publisher.publish_confirmed(pack(events))
        except UnroutableError as fault:
            if self._faults.raise_(EdgeFault.UNROUTABLE, _PART):
                _log.error("unroutable", extra={"count": len(fault.message_ids)})
            self._failures += 1
            return set(fault.message_ids)
        self._faults.clear(EdgeFault.UNROUTABLE, _PART)
        return set()

    def _send_files(self, publisher: Publisher, now: datetime) -> int:
        with self._ledger.reading() as db:
            due = copies.due(db, now, self._rules.repeat_after * LATER, WINDOW_FILES)
        window, damaged = self._read_window(due)
        if damaged:
            with self._ledger.transaction() as db:
                copies.mark_damaged(db, damaged)
            _log.error("spool record damaged", extra={"copies": damaged[:10]})
        lost = self._confirm(publisher, [event for _, event in window])
        sent = [copy for copy, event in window if event.id not in lost]
        if sent:
            with self._ledger.transaction() as db:
                copies.mark_published(db, [(copy.copy_id, self._again_at(copy, now)) for copy in sent], now)
        return len(sent)

    def _read_window(self, due: Sequence[Copy]) -> tuple[list[tuple[Copy, WireEvent]], list[str]]:
        window: list[tuple[Copy, WireEvent]] = []
        damaged: list[str] = []
        size = 0
        for copy in due:
            if copy.place is None or (window and size + copy.place.length > WINDOW_BYTES):
                break
            try:
                sealed = self._spool.read(copy.place)
            except DamagedError:
                damaged.append(copy.copy_id)
                continue
            size += len(sealed)
            window.append((copy, write(enclose(self._captured(copy, sealed), copy.captured_at))))
        return window, damaged

    def _captured(self, copy: Copy, sealed: bytes) -> FileCaptured:
        return FileCaptured(
            clinic=self._rules.clinic,
            edge=self._rules.edge,
            file_id=copy.file_id,
            copy_id=copy.copy_id,
            kind=copy.kind,
            size=copy.stamp.size,
            mac=copy.mac,
            sealed=sealed,
            seen_at=copy.seen_at,
            captured_at=copy.captured_at,
        )

    def _again_at(self, copy: Copy, now: datetime) -> datetime:
        return now + self._rules.repeat_after * (LATER if copy.published else 1)

    def _send_evidence(self, publisher: Publisher, now: datetime) -> int:
        with self._ledger.reading() as db:
            events = evidence.waiting(db, now, self._rules.repeat_after * LATER, WINDOW_FILES)
        if not events:
            return 0
        lost = self._confirm(publisher, events)
        # A batch message bears an id of its own: one that was lost keeps everything, and all is sent again.
        sent = [] if lost else [event.id for event in events]
        if sent:
            with self._ledger.transaction() as db:
                evidence.mark_said(db, sent, now, self._rules.repeat_after, LATER)
        return len(sent)

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
