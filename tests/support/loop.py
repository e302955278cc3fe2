"""How does a test run the whole loop: patients consent, requests go out by themselves, answers reach the chart?"""

from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from pipeline.cli import demo_loop
from pipeline.cli.desk import Desk
from pipeline.cli.status import gather
from producers.simulator.run import prepare
from producers.simulator.terminal import Folders, SimulatedTerminal
from tests.support.eventually import eventually
from tests.support.site import Site, names

MONTHS = 2
FETCHES = f"  months = {MONTHS}\n"


class Loop:
    """A site whose patients consent in every shape, and the service that outlives the pipeline."""

    def __init__(self, made: Site, patients: int) -> None:
        self.made = made
        own = made.clinic.terminals[0]
        folders = Folders(own.face, own.res, own.req)
        self.folders = (own.face, own.res, own.req)
        code = made.clinic.institution_codes[0]
        self.terminal: SimulatedTerminal = prepare(
            folders, count=patients, seed=3, institution_code=code, has_mixed_consents=True
        )
        self.terminal.behaviour.answer_within = timedelta(seconds=1)
        self.terminal.write_patients(made.patients)

    @contextmanager
    def desk(self) -> Iterator[Desk]:
        with Desk(self.made.settings, Namespace(json=True)).closing() as desk:
            yield desk

    def asked(self) -> int:
        return len(self.terminal.service.asked)

    def wait_until_asked(self, count: int, seconds: float) -> None:
        self._wait(lambda: self.asked() >= count, seconds, f"{count} requests at the service")

    def wait_until_final(self, seconds: float) -> None:
        self._wait(self._is_final, seconds, "everything asked, answered, delivered and erased")

    def _is_final(self) -> bool:
        if names(self.folders):
            return False
        count = demo_loop.expected_files(self.terminal)
        with self.desk() as desk:
            state = gather(desk)
            gone = state["files"]["erased"] + state["files"]["vanished"]
            is_over = gone >= count and not state["outcomes"]["pending"] and demo_loop.is_at_rest(desk)
        return is_over and demo_loop.expected_files(self.terminal) == count

    def _wait(self, is_so: Any, seconds: float, what: str) -> None:
        try:
            eventually(is_so, seconds, what)
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.made.say('status').stdout}\n{self.made.logs()}") from None

    def proof(self) -> demo_loop.Loop:
        with self.desk() as desk:
            return demo_loop.prove(desk, self.terminal, desk.now, MONTHS)
