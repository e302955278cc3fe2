"""Two clinics, three vendors, and a store with one file of each kind that matters."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.storage import Store
from tests.support.centre import make_store
from tests.support.publication import Publishing

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield opened
    opened.close()


@pytest.fixture
def publishing(tmp_path: Path, store: Store) -> Publishing:
    return Publishing(tmp_path, store, NOW)
