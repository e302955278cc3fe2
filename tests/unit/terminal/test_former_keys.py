"""A terminal that was enrolled again, beside the state of its former keys, says so and touches nothing."""

import shutil
from pathlib import Path

import pytest

from pipeline.errors import PermanentError
from pipeline.key_bundle import hand_over
from pipeline.keyring import Keyring
from pipeline.topology import Edge
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker


def test_state_of_former_keys_is_named_and_works_on_with_them(bench: BenchMaker, tmp_path: Path) -> None:
    terminal = bench()
    path = terminal.drop(1)
    (event,) = terminal.captured()
    terminal.stop()
    former, centre = terminal.keyring, shutil.copytree(terminal.settings.keys.dir, tmp_path / "centre")
    hand_over(centre, Edge("c001", "t1"), tmp_path / "machine", again=True)
    terminal.keyring = Keyring(tmp_path / "machine")
    terminal.start()
    eventually(lambda: terminal.crash is not None)
    with pytest.raises(PermanentError, match="former_keys: the state folder"):
        terminal.stop()
    assert path.exists()
    terminal.keyring, terminal.crash = former, None
    terminal.start()
    terminal.store(event)
    eventually(lambda: terminal.custody() == {"stored": 1})
