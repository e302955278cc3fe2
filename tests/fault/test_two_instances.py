"""Two instances of the centre side by side on one broker and one store: what comes late never undoes what is newer."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import outbox
from pipeline.broker import OutMessage, Publisher
from pipeline.broker.watched import WatchedBroker
from pipeline.cli.roles import Assembly
from pipeline.events import DeliveryWanted
from pipeline.storage import open_store
from pipeline.topology import EDGE_ROLES, Role
from tests.support.eventually import eventually
from tests.support.newest import Revisions, change_list, decide_all, differing, is_at_rest, is_newest_list
from tests.support.site import ROLES_OF_A_CENTRE, Site

pytestmark = [pytest.mark.rabbitmq, pytest.mark.postgresql]
FILES = 6
TURNS = 2
TYPE_HEADER = "cloudEvents_type"


class LateBroker(WatchedBroker):
    """Whoever publishes deliveries here has committed them long ago: they leave only while `gate` is open."""

    def __init__(self, broker: WatchedBroker) -> None:
        super().__init__(broker)
        self.missed = broker.missed
        self.gate = threading.Event()
        self.gate.set()
        self.late = 0

    def publisher(self) -> Publisher:
        return LatePublisher(super().publisher(), self)


class LatePublisher:
    def __init__(self, publisher: Publisher, broker: LateBroker) -> None:
        self._publisher = publisher
        self._broker = broker

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        kinds = {message.headers.get(TYPE_HEADER) for message in batch}
        if DeliveryWanted.type_name() in kinds and not self._broker.gate.is_set():
            self._broker.late += 1
            self._broker.gate.wait(60)
        self._publisher.publish_confirmed(batch, deadline)

    def close(self) -> None:
        self._publisher.close()


@contextmanager
def running(*assemblies: Assembly) -> Iterator[None]:
    """Run their parts in threads, as one process does."""
    stop = threading.Event()
    threads = [threading.Thread(target=part.run, args=(stop,)) for each in assemblies for part in each.parts()]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
        for each in assemblies:
            each.close()


def test_a_revision_that_leaves_late_changes_nothing_at_the_chart_and_the_newest_list_stays(
    tmp_path: Path, rabbit_url: str, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LEFT_AFTER", timedelta(seconds=0.2))
    made = Site(tmp_path / "site", broker=rabbit_url, store=postgresql_url)
    whole = Assembly(made.settings, (*ROLES_OF_A_CENTRE, *EDGE_ROLES))
    second = Assembly(made.settings, (Role.RECONCILIATION, Role.FORWARDING))
    late = second._broker = LateBroker(second._broker)
    store = open_store(postgresql_url)
    with Revisions(made.inbox) as chart, running(whole, second):
        made.simulate(FILES)
        made.wait_until_final(FILES)
        matched = [row for row in made.ask("results", "list") if row["patient_id"]]
        try:
            for turn in range(1, TURNS + 1):
                late.gate.clear()
                change_list(made, 2 * turn)
                decide_all(made, matched, "reopen")
                eventually(lambda g=turn: late.late >= g, 30, "a delivery that is held back")  # type: ignore[misc]
                changed_at = change_list(made, 2 * turn + 1)
                decide_all(made, matched, "confirm")
                # Half of the newer revisions pass by what is held back; the other half waits behind it.
                eventually(lambda g=turn: chart.newest > 2 * g, 30, "a newer delivery")  # type: ignore[misc]
                late.gate.set()
        finally:
            late.gate.set()
        eventually(lambda: is_newest_list(store, changed_at), 60, "the newest list")
        eventually(lambda: is_at_rest(store, chart, FILES), 60, "the newest revision of every file")
        assert differing(made, chart) == []
    store.close()
    assert chart.is_in_order, "an older revision came after a newer one"
