"""kill -9 at every step of the folder chart's effect, with a chart that takes its files away at once."""

import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

from pipeline.events import DeliveryDone
from pipeline.keyring import Keyring
from pipeline.topology import Role, work_queue
from tests.support.chart import Heard, file_id_of, open_embedded, publish, settings_in, wanted_event
from tests.support.eventually import eventually

FILES = 5
STEPS = (
    "staging",
    "original written",
    "record written",
    "staged",
    "original renamed",
    "record renamed",
    "shown",
)


class Taker:
    """The chart's program: takes every finished file away as soon as it sees it."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._take)
        self.taken: Counter[str] = Counter()

    def _take(self) -> None:
        while not self._end.wait(0.001):
            for path in self._inbox.glob("[!.]*"):
                path.unlink()
                self.taken[path.name] += 1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


@contextmanager
def victim(root: Path, step: str, survived: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "tests.support.chart_victim", str(root), step, str(survived)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, cwd=Path(__file__).parents[2])
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


@pytest.mark.parametrize("survived", [0, 2])
@pytest.mark.parametrize("step", STEPS)
def test_every_file_comes_once_though_the_process_was_killed(tmp_path: Path, step: str, survived: int) -> None:
    settings = settings_in(tmp_path)
    keyring = Keyring(settings.keys.dir)
    with open_embedded(tmp_path / "broker.db") as broker:
        publish(broker, *(wanted_event(keyring, number) for number in range(FILES)))
    expected = Counter({file_id_of(n) + suffix: 1 for n in range(FILES) for suffix in (".xml", ".json")})
    with Taker(tmp_path / "inbox") as taker:
        # Steps of a whole batch happen once only, so a later occurrence may never come: then it just works on.
        with victim(tmp_path, step, survived) as process:
            eventually(lambda: process.poll() == -9 or taker.taken == expected, 90, "the kill")
        with victim(tmp_path, "never", 0):
            eventually(lambda: len(taker.taken) == 2 * FILES, 90, "every file")
        assert taker.taken == expected
    with open_embedded(tmp_path / "broker.db") as broker:
        heard = Heard(broker, work_queue(Role.FORWARDING))
        done = heard.of(DeliveryDone)
    assert {event.file_id for event in done} == {file_id_of(number) for number in range(FILES)}
    assert len({event.receipt for event in done}) == FILES
    assert list((tmp_path / "inbox").iterdir()) == []
