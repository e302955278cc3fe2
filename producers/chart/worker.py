"""Who carries the deliveries out? A small pool that shares one breaker and one list of files in hand.

Order for each delivery: looked up in the chart, then given to it if it had no effect, then receipt and answer in one
transaction. A worker that dies in between leaves the delivery wanted, and the look-up finds what it had done.
"""

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace

from pipeline.clock import Clock
from pipeline.contents import SealedDelivery, delivery_context
from pipeline.edge_words import EdgeFault
from pipeline.errors import PermanentError
from pipeline.sealing import Opener
from pipeline.topology import CHART_EDGE
from producers.chart.breaker import Breaker, Leave
from producers.chart.deliveries import Delivered, Deliveries, Done, Refused, Wanted
from producers.chart.faults import Faults
from producers.chart.ledger import LedgerAwayError
from producers.chart.part import Pause
from producers.chart.port import ChartAwayError, ChartDelivery, ChartPort, ChartRefusedError, Receipt

LOG = logging.getLogger("onshi.chart")
BATCH = 100
IDLE_SECONDS = 0.5
AWAY_SECONDS = 0.2


class Claims:
    """Which files are in a worker's hands. Thread-safe: choosing and marking is one step."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._lock = threading.Lock()
        self._busy: set[str] = set()

    def take(self, most: int) -> list[Wanted]:
        with self._lock:
            taken = self._deliveries.oldest(most, self._busy)
            self._busy.update(wanted.file_id for wanted in taken)
            return taken

    def release(self, taken: Sequence[Wanted]) -> None:
        with self._lock:
            self._busy.difference_update(wanted.file_id for wanted in taken)


class Worker:
    """`Part`. Several of them make the pool of one chart."""

    def __init__(
        self,
        *,
        name: str,
        clinic: str,
        chart: ChartPort,
        deliveries: Deliveries,
        claims: Claims,
        breaker: Breaker,
        opener: Opener,
        clock: Clock,
        faults: Faults,
        answered: threading.Event,
    ) -> None:
        self.name = name
        self._clinic = clinic
        self._chart = chart
        self._deliveries = deliveries
        self._claims = claims
        self._breaker = breaker
        self._opener = opener
        self._clock = clock
        self._faults = faults
        self._answered = answered
        self._pause = Pause()

    def step(self) -> float:
        leave = self._breaker.leave()
        if leave is Leave.WAIT:
            return AWAY_SECONDS
        try:
            worked = self._work(1 if leave is Leave.PROBE else BATCH)
        except ChartAwayError as error:
            self._away(error)
            return AWAY_SECONDS
        except LedgerAwayError:
            self._faults.set(EdgeFault.DISK_FULL, stands=True)
            return self._pause.after_failure()
        finally:
            self._breaker.unused() if leave is Leave.PROBE else None
        self._pause.reset()
        return 0 if worked else IDLE_SECONDS

    def _work(self, most: int) -> int:
        taken = self._claims.take(most)
        if not taken:
            # Nothing to give; the chart is asked all the same, so that its absence is known before the next patient.
            self._chart.find([])
            self._here()
            return 0
        try:
            self._deliveries.end(self._carry_out(taken), self._clock.now())
        finally:
            self._claims.release(taken)
        self._here()
        self._answered.set()
        return len(taken)

    def _carry_out(self, taken: Sequence[Wanted]) -> list[Done | Refused]:
        have = self._deliveries.delivered([wanted.file_id for wanted in taken])
        found = self._chart.find([wanted.key for wanted in taken])
        ended: list[Done | Refused] = []
        to_apply: dict[str, tuple[Wanted, ChartDelivery]] = {}
        for wanted in taken:
            held = have.get(wanted.file_id)
            if held and wanted.key not in found and held.revision >= wanted.revision:
                ended.append(Done(wanted, held.receipt, held.has_original, has_effect=False))
                continue
            try:
                delivery = self._open(wanted, held)
            except PermanentError as error:
                ended.append(Refused(wanted, error.reason))
                continue
            if wanted.key in found:
                ended.append(_done(wanted, delivery, found[wanted.key]))
            else:
                to_apply[wanted.key] = (wanted, delivery)
        if to_apply:
            answers = self._chart.apply([delivery for _, delivery in to_apply.values()])
            ended.extend(_ended(to_apply, answers))
        return ended

    def _open(self, wanted: Wanted, held: Delivered | None) -> ChartDelivery:
        context = delivery_context(wanted.file_id, wanted.revision)
        content = SealedDelivery.from_bytes(self._opener.open(self._clinic, context, wanted.sealed))
        if held and held.has_original:
            # The centre sends the original until it has a receipt; the chart is given it once.
            content = replace(content, original=None)
        return ChartDelivery(wanted.file_id, wanted.revision, content)

    def _away(self, error: ChartAwayError) -> None:
        self._breaker.failed()
        if self._faults.set(EdgeFault.CHART_AWAY, stands=True):
            LOG.warning("chart away", extra={"clinic": self._clinic, "edge": CHART_EDGE, "reason": str(error)})

    def _here(self) -> None:
        self._breaker.succeeded()
        if self._faults.set(EdgeFault.CHART_AWAY, stands=False):
            LOG.info("chart back", extra={"clinic": self._clinic, "edge": CHART_EDGE})

    def close(self) -> None:
        return


def _ended(
    applied: Mapping[str, tuple[Wanted, ChartDelivery]], answers: Mapping[str, Receipt | ChartRefusedError]
) -> list[Done | Refused]:
    ended: list[Done | Refused] = []
    for key, (wanted, delivery) in applied.items():
        answer = answers[key]
        ended.append(
            Refused(wanted, answer.reason) if isinstance(answer, ChartRefusedError) else _done(wanted, delivery, answer)
        )
    return ended


def _done(wanted: Wanted, delivery: ChartDelivery, receipt: Receipt) -> Done:
    return Done(wanted, receipt, delivery.content.original is not None)
