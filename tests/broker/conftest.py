"""Both adapters stand before the same suite."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.broker import Broker
from pipeline.broker.open import open_broker
from tests.broker.builders import TOPOLOGY
from tests.support.eventually import eventually


@pytest.fixture(
    params=[pytest.param("rabbitmq", marks=pytest.mark.rabbitmq), "embedded"],
)
def empty_broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Broker]:
    url = request.getfixturevalue("rabbit_url") if request.param == "rabbitmq" else "embedded:"
    broker = open_broker(url, tmp_path)
    yield broker
    broker.close()


@pytest.fixture
def broker(empty_broker: Broker) -> Broker:
    empty_broker.declare(TOPOLOGY)
    return empty_broker


@pytest.fixture(autouse=True)
def no_thread_outlives_its_owner() -> Iterator[None]:
    yield
    eventually(lambda: not ours(), what="the end of every thread of an adapter")


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("onshi-")]
