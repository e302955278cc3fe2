from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from consumers.deletion import Deletion
from tests.support.centre import Centre, make_keyring, make_settings, make_store

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, NOW), store)
    store.close()


@pytest.fixture
def deletion(centre: Centre) -> Deletion:
    return Deletion(centre.settings, centre.keyring)
