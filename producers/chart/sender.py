"""How do answers, patient lists and reports reach the broker? Confirmed, then forgotten; kept while it is away."""

import logging
import shutil
from collections.abc import Callable
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pipeline.broker.port import Broker, Publisher, UnroutableError
from pipeline.clock import Clock, ClockWatch
from pipeline.edge_words import EdgeFault
from pipeline.envelope import enclose, pack, write
from pipeline.errors import AwayError
from pipeline.events import EdgeReported
from pipeline.keyring import Keyring
from pipeline.topology import CHART_EDGE
from producers.chart.deliveries import Deliveries
from producers.chart.faults import Faults
from producers.chart.ledger import LedgerAwayError
from producers.chart.outgoing import Outgoing
from producers.chart.part import Pause

LOG = logging.getLogger("onshi.chart")
SOFTWARE = version("onshi")
BATCH = 200
IDLE_SECONDS = 0.5


class Reports:
    """Makes `edge.reported`. Counts only."""

    def __init__(
        self, clinic: str, state: Path, deliveries: Deliveries, clock: Clock, faults: Faults, *, keyring: Keyring
    ) -> None:
        self._clinic = clinic
        self._state = state
        self._deliveries = deliveries
        self._keyring = keyring
        self._clock = clock
        self._watch = ClockWatch(clock)
        self._faults = faults

    def make(self) -> EdgeReported:
        backlog = self._deliveries.backlog()
        is_reliable = self._watch.is_reliable()
        self._faults.set(EdgeFault.CLOCK, stands=not is_reliable)
        now = self._clock.now()
        return EdgeReported(
            clinic=self._clinic,
            edge=CHART_EDGE,
            reported_at=now,
            software=SOFTWARE,
            custody={"wanted": backlog.wanted, "done": backlog.done},
            backlog=backlog.wanted,
            oldest_seconds=_age(backlog.oldest_at, now),
            free_bytes=shutil.disk_usage(self._state).free,
            clock_reliable=is_reliable,
            standing_key=self._keyring.standing_id(self._clinic),
            faults=self._faults.words(),
        )


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0


class Sender:
    """`Part`. Sends what waits, in order for each routing key, and a report when it is time."""

    def __init__(
        self,
        *,
        broker: Broker,
        outgoing: Outgoing,
        make_report: Callable[[], EdgeReported],
        report_seconds: float,
        clock: Clock,
    ) -> None:
        self.name = "sender"
        self._broker = broker
        self._outgoing = outgoing
        self._make_report = make_report
        self._report_seconds = report_seconds
        self._clock = clock
        self._publisher: Publisher | None = None
        self._report_at = clock.monotonic()
        self._pause = Pause()

    def step(self) -> float:
        try:
            sent = self.send_waiting()
            self._report()
        except (AwayError, UnroutableError, LedgerAwayError) as error:
            if not isinstance(error, AwayError):
                LOG.warning("not sent", extra={"edge": CHART_EDGE, "error": type(error).__name__})
            self.close()
            return self._pause.after_failure()
        self._pause.reset()
        return 0 if sent else IDLE_SECONDS

    def send_waiting(self) -> int:
        """Send a batch of every routing key; return how many events were confirmed.

        Raises:
            AwayError: some may have arrived; all of that key are sent again.
            UnroutableError: the topology is not there; other keys were sent.
            LedgerAwayError: they are sent again.
        """
        sent = 0
        unroutable: UnroutableError | None = None
        for key in self._outgoing.routing_keys():
            events = self._outgoing.waiting(key, BATCH)
            try:
                self._connected().publish_confirmed(pack(events))
            except UnroutableError as error:
                unroutable = error
                continue
            self._outgoing.confirmed(events)
            sent += len(events)
        if unroutable:
            raise unroutable
        return sent

    def _report(self) -> None:
        now = self._clock.monotonic()
        if now < self._report_at:
            return
        report = self._make_report()
        # Not kept: a report of yesterday tells nothing.
        self._connected().publish_confirmed(pack([write(enclose(report, report.reported_at))]))
        self._report_at = now + self._report_seconds

    def _connected(self) -> Publisher:
        if self._publisher is None:
            self._publisher = self._broker.publisher()
        return self._publisher

    def close(self) -> None:
        if self._publisher is not None:
            self._publisher.close()
            self._publisher = None
