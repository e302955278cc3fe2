"""While the store is away a role says so without a break, or an alarm that waits five minutes begins anew for ever."""

import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection

from pipeline import runner as running
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.clock import SystemClock
from pipeline.errors import AwayError
from pipeline.metrics import REGISTRY
from pipeline.runner import Runner
from pipeline.topology import build
from tests.support.eventually import eventually
from tests.unit.publication.test_told_where import Rejecting


class Unreachable:
    """A store behind a wire that was cut: whoever asks it waits, and is told that it is away."""

    def __init__(self) -> None:
        self.seen: list[tuple[float | None, str | None]] = []
        self.runner: Any = None

    def transaction(self) -> AbstractContextManager[Connection]:
        paused = REGISTRY.get_sample_value("onshi_paused_consumers", {"consumer": "parsing"})
        self.seen.append((paused, self.runner.pulse.why_not_ready))
        raise AwayError("cut")

    reading = transaction


def test_a_role_that_asks_an_absent_store_is_not_ready_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "FIRST_PAUSE_SECONDS", 1.1)
    broker, store, stop = EmbeddedBroker(tmp_path / "broker.db"), Unreachable(), threading.Event()
    broker.declare(build(()))
    absent: Any = store
    store.runner = Runner(Rejecting(), absent, broker, SystemClock())
    thread = threading.Thread(target=store.runner.run, args=(stop,))
    thread.start()
    eventually(lambda: len(store.seen) >= 2, 20, "asked again")
    stop.set()
    thread.join(20)
    broker.close()
    assert set(store.seen[1:]) == {(1.0, "away")}
