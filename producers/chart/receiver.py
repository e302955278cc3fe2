"""How does `delivery.wanted` come from the broker into the local file? Written first, acknowledged afterwards."""

import logging
import threading
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path

from pipeline.broker.port import Broker, Delivery, Subscription
from pipeline.clock import Clock
from pipeline.edge_words import EdgeFault
from pipeline.envelope import Envelope, UnreadableMessageError, read
from pipeline.errors import AwayError
from pipeline.events import DeliveryWanted
from pipeline.key_bundle import accept
from pipeline.key_events import KeysPublished
from pipeline.topology import CHART_EDGE, Edge, orders_queue
from producers.chart.deliveries import Deliveries
from producers.chart.faults import Faults
from producers.chart.ledger import LedgerAwayError
from producers.chart.part import Pause

LOG = logging.getLogger("onshi.chart")
BATCH = 100
IDLE = timedelta(milliseconds=500)


class Receiver:
    """`Part`. Works while the broker is there; `bell` is set when something new is wanted."""

    def __init__(
        self,
        *,
        clinic: str,
        broker: Broker,
        deliveries: Deliveries,
        clock: Clock,
        faults: Faults,
        bell: threading.Event,
        keys_dir: Path,
    ) -> None:
        self.name = "receiver"
        self._clinic = clinic
        self._broker = broker
        self._deliveries = deliveries
        self._clock = clock
        self._faults = faults
        self._bell = bell
        self._keys_dir = keys_dir
        self._subscription: Subscription | None = None
        self._pause = Pause()

    @property
    def is_connected(self) -> bool:
        return self._subscription is not None

    def step(self) -> float:
        try:
            if self._subscription is None:
                self._subscription = self._broker.subscribe(orders_queue(Edge(self._clinic, CHART_EDGE)), BATCH * 2)
            received = self._subscription.receive(BATCH, IDLE)
            if received:
                self._take(self._subscription, received)
        except (AwayError, LedgerAwayError) as error:
            self._faults.set(EdgeFault.DISK_FULL, stands=isinstance(error, LedgerAwayError))
            # What was not acknowledged comes again with the next subscription.
            self.close()
            return self._pause.after_failure()
        self._pause.reset()
        return 0

    def _take(self, subscription: Subscription, received: Sequence[Delivery]) -> None:
        arrived = [envelope for delivery in received for envelope in self._read(delivery)]
        for told in arrived:
            if isinstance(told.event, KeysPublished):
                accept(self._keys_dir, told.event)
        wanted = [envelope for envelope in arrived if isinstance(envelope.event, DeliveryWanted)]
        self._deliveries.keep(wanted, self._clock.now())
        self._faults.set(EdgeFault.DISK_FULL, stands=False)
        subscription.ack(received)
        self._bell.set()

    def _read(self, delivery: Delivery) -> list[Envelope]:
        """Read a message; one that is no order for this chart is dropped, and the centre wants it again."""
        try:
            envelopes = read(delivery)
        except UnreadableMessageError as error:
            self._faults.set(EdgeFault.UNREADABLE_MESSAGE, stands=True)
            LOG.warning("unreadable", extra={"clinic": self._clinic, "edge": CHART_EDGE, "reason": error.reason})
            return []
        return [
            one
            for one in envelopes
            if isinstance(one.event, DeliveryWanted | KeysPublished) and one.event.clinic == self._clinic
        ]

    def close(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
