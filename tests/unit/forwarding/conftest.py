"""A store with the forwarding consumer of one clinic."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.storage import Store, open_store
from tests.support.forwarding import ForwardingClinic

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = open_store(f"sqlite:///{tmp_path}/onshi.db")
    opened.make_schema()
    yield opened
    opened.close()


@pytest.fixture
def clinic(tmp_path: Path, store: Store) -> ForwardingClinic:
    return ForwardingClinic(tmp_path, store)


@pytest.fixture
def face() -> Path:
    return min((SAMPLES / "face").iterdir())
