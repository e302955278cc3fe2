"""Both adapters stand before the same suite."""

import gc
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.broker import Broker
from pipeline.broker.open import open_broker
from pipeline.provisioning.work import apply
from pipeline.settings import Settings
from tests.broker.builders import TOPOLOGY
from tests.support.eventually import eventually
from tests.support.group_broker import TlsNode, two_clinics


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


@pytest.fixture(scope="session")
def tls_node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsNode]:
    """One node that only certificates get into, for all suites that attack it (`xdist_group("hostile")`)."""
    node = TlsNode(tmp_path_factory.mktemp("group"))
    try:
        yield node.start()
    finally:
        node.close()


@pytest.fixture(scope="session")
def provisioned(tls_node: TlsNode) -> Settings:
    settings = two_clinics(tls_node, tls_node.root)
    assert apply(settings).held == []
    return settings


@pytest.fixture(scope="module")
def group(provisioned: Settings) -> Iterator[Settings]:
    """A group of two clinics on that node. What a refused handshake left to the collector is collected here."""
    yield provisioned
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def no_thread_outlives_its_owner() -> Iterator[None]:
    yield
    eventually(lambda: not ours(), what="the end of every thread of an adapter")


def ours() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("onshi-")]
