"""A clinic with a folder chart and the embedded broker."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.keyring import Keyring
from pipeline.settings import Settings
from pipeline.topology import Role, work_queue
from tests.support.chart import Heard, open_embedded, settings_in


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


@pytest.fixture
def keyring(settings: Settings) -> Keyring:
    return Keyring(settings.keys.dir)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    with open_embedded(tmp_path / "broker.db") as opened:
        yield opened


@pytest.fixture
def answers(broker: EmbeddedBroker) -> Iterator[Heard]:
    heard = Heard(broker, work_queue(Role.FORWARDING))
    yield heard
    heard.close()


@pytest.fixture
def lists(broker: EmbeddedBroker) -> Iterator[Heard]:
    heard = Heard(broker, work_queue(Role.RECONCILIATION))
    yield heard
    heard.close()


@pytest.fixture
def reports(broker: EmbeddedBroker) -> Iterator[Heard]:
    heard = Heard(broker, work_queue(Role.DELETION))
    yield heard
    heard.close()
