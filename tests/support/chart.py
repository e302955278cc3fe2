"""How does a test get a clinic with a folder chart, and deliveries for it?"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import Broker
from pipeline.clock import SystemClock
from pipeline.contents import SealedDelivery, delivery_context
from pipeline.envelope import Envelope, enclose, pack, read, write
from pipeline.events import DeliveryWanted, Event, derive_id
from pipeline.keyring import Keyring, issue
from pipeline.sealing import Sealer
from pipeline.settings import Settings
from pipeline.topology import CHART_EDGE, Edge, build
from producers.chart.role import ChartRole

CLINIC = "c001"
EDGES = (Edge(CLINIC, "t1"), Edge(CLINIC, CHART_EDGE))
NAME_CANARY = "山田　花子canary"
NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


def settings_in(root: Path, **chart: Any) -> Settings:
    """Make a clinic with quick scans; keys are issued and folders made where they are missing."""
    inbox, keys = root / "inbox", root / "keys"
    inbox.mkdir(exist_ok=True)
    if not keys.exists():
        issue(keys, [CLINIC], EDGES, datetime.now(UTC))
    table = {"inbox": inbox, "patients": root / "patients.csv", "scan_seconds": 0.05, "settle_seconds": 0.05}
    return Settings.model_validate(
        {
            "root": root,
            "keys": {"dir": keys},
            "edge": {"state": root / "edge", "report_seconds": 0.3},
            "clinics": [{"id": CLINIC, "institution_codes": ["9919000011"], "chart": {**table, **chart}}],
        }
    )


def file_id_of(number: int) -> str:
    return derive_id("file", str(number))


def record_of(file_id: str, revision: int = 1) -> dict[str, Any]:
    return {"schema": 1, "file_id": file_id, "revision": revision, "results": [{"record": {"name": NAME_CANARY}}]}


def delivery_of(number: int, revision: int = 1, original: bytes | None = b"<a/>") -> SealedDelivery:
    return SealedDelivery(".xml", record_of(file_id_of(number), revision), original)


def wanted_event(
    keyring: Keyring, number: int, revision: int = 1, original: bytes | None = b"<a/>", **changes: Any
) -> DeliveryWanted:
    file_id = file_id_of(number)
    content = delivery_of(number, revision, original).to_bytes()
    context = delivery_context(file_id, revision)
    sealed = Sealer().seal(keyring.edge_key(CLINIC, CHART_EDGE), CLINIC, context, content)
    fields = {"clinic": CLINIC, "file_id": file_id, "revision": revision, "sealed": sealed, **changes}
    return DeliveryWanted(**fields)


def envelope_of(event: Event) -> Envelope:
    return enclose(event, NOW)


def publish(broker: Broker, *events: Event) -> None:
    publisher = broker.publisher()
    publisher.publish_confirmed(pack([write(envelope_of(event)) for event in events]))
    publisher.close()


class Heard:
    """Everything that has come into one queue so far, acknowledged."""

    def __init__(self, broker: Broker, queue: str) -> None:
        self._subscription = broker.subscribe(queue, 1000)
        self.envelopes: list[Envelope] = []

    def of(self, *kinds: type[Event]) -> list[Any]:
        received = self._subscription.receive(1000, timedelta(0))
        self.envelopes += [one for delivery in received for one in read(delivery)]
        self._subscription.ack(received)
        return [one.event for one in self.envelopes if isinstance(one.event, kinds)]

    def close(self) -> None:
        self._subscription.close()


@contextmanager
def open_embedded(path: Path) -> Iterator[EmbeddedBroker]:
    broker = EmbeddedBroker(path)
    broker.declare(build(EDGES))
    try:
        yield broker
    finally:
        broker.close()


@contextmanager
def running(settings: Settings, broker: Broker) -> Iterator[ChartRole]:
    """Run the clinic's chart edge in a thread; a failure of the role fails the test."""
    clinic = settings.clinic(CLINIC)
    assert clinic is not None
    role = ChartRole(settings, clinic, Keyring(settings.keys.dir), broker, SystemClock())
    stop, failures = threading.Event(), []

    def run() -> None:
        try:
            role.run(stop)
        except BaseException as error:  # noqa: BLE001 - raised below, in the test's own thread
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield role
    finally:
        stop.set()
        thread.join(30)
    assert not thread.is_alive()
    if failures:
        raise failures[0]
