from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import ENABLED, NOW


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    """A centre whose clinics ask for three months by themselves."""
    settings = make_settings(tmp_path, ENABLED)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, NOW), store)
    store.close()
