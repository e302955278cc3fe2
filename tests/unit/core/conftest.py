"""A store, a broker and a clinic in a temporary directory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.storage import Store, open_store
from pipeline.topology import Edge, build
from tests.support.answering import Answering


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    is_sqlite = request.param == "sqlite"
    opened = open_store(f"sqlite:///{tmp_path}/onshi.db" if is_sqlite else request.getfixturevalue("postgresql_url"))
    opened.make_schema()
    yield opened
    opened.close()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    opened = EmbeddedBroker(tmp_path / "broker.db")
    opened.declare(build([Edge("c001", "t1"), Edge("c001", "chart")]))
    yield opened
    opened.close()


@pytest.fixture
def consumer() -> Answering:
    return Answering()
