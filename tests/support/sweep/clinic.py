"""A small clinic that is killed and looked over, again and again."""

import os
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import islice
from pathlib import Path

from sqlalchemy import func, select

from pipeline import certificates, invariants, parking
from pipeline.clock import SystemClock
from pipeline.keyring import Keyring
from pipeline.storage import Store, open_store
from pipeline.storage.schema import certificates as certificate_rows
from pipeline.storage.schema import copies, files
from pipeline.topology import Role
from producers.simulator.run import prepare
from producers.simulator.terminal import Folders
from tests.support.eventually import eventually
from tests.support.site import Site
from tests.support.sweep.observer import Observer
from tests.support.sweep.points import WHOLE

STAGED = 400
GOOD = 2
"""Files of a round that the chart must get; one more is rejected."""
PLANTED = Path(__file__).with_name("planted")
FAST = {
    "ONSHI_HTTP_PORT": "0",
    "ONSHI_EDGE_SETTLE_SECONDS": "0.05",
    "ONSHI_EDGE_SCAN_SECONDS": "0.1",
    "ONSHI_EDGE_REPORT_SECONDS": "1",
    "ONSHI_CENTRE_LEASE_SECONDS": "3",
    "ONSHI_CENTRE_REPUBLISH_SECONDS": "3",
    "PYTHONDONTWRITEBYTECODE": "1",
}


class Clinic(Site):
    """One installation with its roles at work: one process each on RabbitMQ, one for all on the embedded broker."""

    def __init__(self, root: Path, *, broker: str, seed: int) -> None:
        super().__init__(root, broker=broker)
        self.planted: dict[str, str] = {}
        """Which defect a role has when it is started next."""
        self._dice = random.Random(seed)
        self._roles: dict[str, subprocess.Popen[bytes]] = {}
        self._store: Store = open_store(self.settings.store.url)
        self._keyring = Keyring(self.settings.keys.dir)
        self._staged = self._stage(seed)
        self.written = 0
        self.rounds = 0
        self.observer = Observer(self.inbox, [self.face])

    def _stage(self, seed: int) -> Iterator[Path]:
        shelf = self.root / "shelf"
        folders = Folders(shelf / "face", shelf / "res", shelf / "req")
        code = self.clinic.institution_codes[0]
        terminal = prepare(folders, count=STAGED, seed=seed, institution_code=code, clock=SystemClock())
        terminal.write_patients(self.patients)
        terminal.write_faces()
        return iter(sorted((shelf / "face").iterdir()))

    def role_names(self) -> tuple[str, ...]:
        is_embedded = self.settings.broker.url.startswith("embedded:")
        return (WHOLE,) if is_embedded else tuple(role.value for role in Role)

    def start(self, *roles: str, defect: str = "") -> subprocess.Popen[bytes]:
        number = len(self.processes)
        paths = [str(PLANTED), *filter(None, [os.environ.get("PYTHONPATH")]), str(Path(__file__).parents[3])]
        environment = {**os.environ, **FAST, "PYTHONPATH": os.pathsep.join(paths), "ONSHI_TEST_DEFECT": defect}
        with (self.root / f"run-{number:04}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "run", *roles, "-c", str(self.config)],
                stderr=log,
                stdout=log,
                env=environment,
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def begin(self, name: str) -> subprocess.Popen[bytes]:
        """Start a role, or start it again."""
        words = [] if name == WHOLE else [name]
        self._roles[name] = process = self.start(*words, defect=self.planted.get(name, ""))
        return process

    def plant(self, name: str, defect: str) -> None:
        """Start a role again with a defect, or without ("")."""
        self.planted[name] = defect
        self.stop(self._roles[name])
        self.begin(name)

    def process(self, name: str) -> subprocess.Popen[bytes]:
        return self._roles[name]

    def put(self, good: int = GOOD, bad: int = 1) -> None:
        """Put new files into the terminal's folder, each complete when its name appears."""
        for number, source in enumerate(list(islice(self._staged, good + bad))):
            if number >= good:
                source.write_bytes(source.read_bytes().replace(b"XmlMsg", b"NoXmlMsg"))
            self.observer.put(source, self.face / source.name, delivered=number < good)
            self.written += 1
        self.rounds += 1

    def is_final(self) -> bool:
        """Ask folders, chart and store whether everything has ended."""
        if any(self.face.iterdir()) or any(self.inbox.iterdir()) or self.observer.missing():
            return False
        with self._store.reading() as connection:
            settled = connection.scalar(select(func.count()).where(files.c.settled_at.is_not(None)))
            certified = connection.scalar(select(func.count()).select_from(certificate_rows))
        return (settled, certified) == (self.written, self.written)

    def wait_until_all_ended(self, seconds: float) -> None:
        try:
            eventually(self.is_final, seconds, "every file at its end")
        except AssertionError as late:
            raise AssertionError(f"{late}; {self._state()}") from None

    def faults(self) -> list[str]:
        """Check everything that must hold now that all has ended."""
        found = self.observer.seen()
        with self._store.reading() as connection:
            for broken in invariants.broken(invariants.verify(connection, self._keyring)):
                found.append(f"{broken.name} broken: {', '.join(broken.broken[:3])}")
            found += [f"certificates: {fault}" for fault in certificates.verify(connection, self._keyring)]
            parked = parking.counts(connection)
            if parked:
                found.append(f"parked: {parked}")
            kept = connection.scalar(select(func.count()).select_from(copies).where(copies.c.custody != "erased"))
            if kept:
                found.append(f"{kept} copies did not end as erased")
        return found

    def _state(self) -> str:
        with self._store.reading() as connection:
            custody = dict(connection.execute(select(copies.c.custody, func.count()).group_by(copies.c.custody)).all())
            outcomes = dict(connection.execute(select(files.c.outcome, func.count()).group_by(files.c.outcome)).all())
            parked = parking.counts(connection)
        there, missing = len(list(self.face.iterdir())), self.observer.missing()
        left = sorted(path.name for path in self.inbox.iterdir())
        return (
            f"written {self.written}, in the folder {there}, missing in the chart {missing}, left in the inbox {left},"
            f" copies {custody}, files {outcomes}, parked {parked}, seen {self.observer.seen()}"
        )


@contextmanager
def clinic(root: Path, *, broker: str, seed: int) -> Iterator[Clinic]:
    """Open a clinic with every role running."""
    with ExitStack() as stack:
        made = Clinic(root, broker=broker, seed=seed)
        stack.callback(made._store.close)
        stack.callback(made.close)
        stack.enter_context(made.observer)
        for name in made.role_names():
            made.begin(name)
        yield made
