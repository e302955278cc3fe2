"""An installation whose commands run in this process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli.init import configuration, make
from pipeline.cli.main import main
from pipeline.keyring import Keyring
from pipeline.settings import Settings
from pipeline.storage import Store, open_store


@dataclass
class Office:
    """A clinic with nothing running, and its store."""

    root: Path
    settings: Settings
    keyring: Keyring
    store: Store
    capsys: pytest.CaptureFixture[str]

    def say(self, *words: str) -> tuple[int, str]:
        self.capsys.readouterr()
        code = main([*words, "-c", str(self.root / "onshi.toml")])
        captured = self.capsys.readouterr()
        return code, captured.out + captured.err

    def ask(self, *words: str) -> Any:
        code, text = self.say(*words, "--json")
        assert code == 0, text
        return json.loads(text)


@pytest.fixture
def office(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Office]:
    settings = make(tmp_path / "clinic", configuration())
    store = open_store(settings.store.url)
    store.make_schema()
    yield Office(tmp_path / "clinic", settings, Keyring(settings.keys.dir), store, capsys)
    store.close()
