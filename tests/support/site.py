"""A whole installation in a temporary directory, run as people run it: by the command."""

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from argparse import Namespace
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

from pipeline.cli.desk import Desk
from pipeline.cli.init import configuration, make
from pipeline.cli.status import gather
from pipeline.clinic_settings import Clinic
from pipeline.settings import Settings, load
from pipeline.topology import CENTRE_ROLES, Role
from tests.support.eventually import eventually

SECOND_CLINIC = """
[[clinics]]
id = "c002"
institution_codes = ["9919000029"]

  [[clinics.terminals]]
  id = "t1"
  face = "c002/oqs/face"
  res = "c002/oqs/res"
  req = "c002/oqs/req"

  [clinics.chart]
  kind = "folder"
  inbox = "c002/chart/inbox"
  patients = "c002/chart/patients.csv"

  [clinics.fetch]
  enabled = false

"""


ROLES_OF_A_CENTRE = tuple(role for role in CENTRE_ROLES if role is not Role.PUBLICATION)
"""What a centre without vendors runs."""


class Site:
    """One installation; `close` ends every process it started."""

    def __init__(
        self,
        root: Path,
        *,
        broker: str = "embedded:",
        store: str | None = None,
        two_clinics: bool = False,
        fetch: bool = False,
        more: str = "",
        others: str = "",
    ) -> None:
        text = configuration(broker=broker, fetch=fetch, more=more, **({"store": store} if store else {}))
        others = SECOND_CLINIC if two_clinics else others
        text = text.replace("[[staff]]", f"{others}[[staff]]")
        self.root = root
        self.settings: Settings = make(root, text, patients=None)
        self.config = root / "onshi.toml"
        self.processes: list[subprocess.Popen[bytes]] = []
        self.environment: dict[str, str] = {}
        """Beside our own, for every process and command of the site."""

    @property
    def clinic(self) -> Clinic:
        return self.settings.clinics[0]

    @property
    def face(self) -> Path:
        return self.clinic.terminals[0].face

    @property
    def res(self) -> Path:
        return self.clinic.terminals[0].res

    @property
    def inbox(self) -> Path:
        assert self.clinic.chart
        return self.clinic.chart.inbox

    @property
    def patients(self) -> Path:
        assert self.clinic.chart
        return self.clinic.chart.patients

    def _environment(self, **own: str) -> dict[str, str]:
        return {**os.environ, **own, **self.environment}

    def start(self, *roles: str, **environment: str) -> subprocess.Popen[bytes]:
        """Start `onshi run` with its log in a file of its own."""
        number = len(self.processes)
        with (self.root / f"run-{number}.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "run", *roles, "-c", str(self.config)],
                stderr=log,
                stdout=log,
                env=self._environment(ONSHI_HTTP_PORT="0", ONSHI_EDGE_REPORT_SECONDS="2", **environment),
                start_new_session=True,
            )
        self.processes.append(process)
        return process

    def kill(self, process: subprocess.Popen[bytes]) -> None:
        """End it and every process it started like a power cut of theirs: SIGKILL, nothing flushed."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self, process: subprocess.Popen[bytes]) -> int:
        process.send_signal(signal.SIGTERM)
        return process.wait(120)

    def close(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                self.kill(process)

    def logs(self, *, whole: bool = False) -> str:
        """Join the last lines of every process's log, or all of them."""
        last = 0 if whole else -4000
        return "\n".join(path.read_text(errors="replace")[last:] for path in sorted(self.root.glob("run-*.log")))

    def say(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words, "-c", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=self._environment(),
        )

    def ask(self, *words: str) -> Any:
        """Run one command and read its JSON."""
        answer = self.say(*words, "--json")
        assert answer.returncode == 0, answer.stderr
        return json.loads(answer.stdout)

    def state(self) -> dict[str, Any]:
        """Look as `onshi status` does, without the start of a process: what waits for a condition looks often."""
        time.sleep(0.1)
        settings = load(self.config, self._environment())
        with Desk(settings, Namespace(json=True)).closing() as desk:
            return gather(desk)

    def simulate(self, count: int, seed: int = 1, clinic: str = "c001", *, patients: Path | None = None) -> None:
        """Write invented faces, and put their patients where the chart keeps its list."""
        own = self.settings.clinic(clinic)
        assert own
        assert own.chart
        aside = self.root / f"{clinic}-{seed}.csv"
        words = ["--terminal", f"{clinic}/t1", "--count", str(count), "--seed", str(seed), "--patients", str(aside)]
        answer = self.say("simulate", *words)
        assert answer.returncode == 0, answer.stderr
        aside.replace(patients or own.chart.patients)

    def wait_until_final(self, count: int, seconds: float = 120) -> dict[str, Any]:
        """Wait until this many copies are gone and no file is pending."""

        def is_final() -> dict[str, Any] | None:
            state = self.state()
            gone = state["files"]["erased"] + state["files"]["vanished"]
            return state if gone >= count and state["outcomes"]["pending"] == 0 else None

        try:
            return eventually(is_final, seconds, f"{count} files final")
        except AssertionError as late:
            raise AssertionError(f"{late}\n{self.say('status').stdout}\n{self.logs()}") from None


class Taker:
    """A chart that takes whatever appears in its inbox at once, and counts what it gets twice."""

    def __init__(self, inbox: Path) -> None:
        self._inbox = inbox
        self.taken: Counter[str] = Counter()
        self.records: dict[str, Any] = {}
        self.contents: Counter[str] = Counter()
        """Originals by the hash of their bytes."""
        self.recorded: set[str] = set()
        """Names on the terminal of the files whose records came."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._take()

    def _run(self) -> None:
        while not self._stop.wait(0.005):
            self._take()

    def _take(self) -> None:
        if not self._inbox.is_dir():
            return
        # A test may take the whole inbox away, or make it read-only, in the middle of a look.
        with contextlib.suppress(OSError):
            for path in list(self._inbox.iterdir()):
                if not path.name.startswith(".") and path.is_file():
                    self._take_one(path)

    def _take_one(self, path: Path) -> None:
        content = path.read_bytes()
        path.unlink()
        self.taken[path.name] += 1
        if path.suffix == ".json":
            self.records[path.stem] = record = json.loads(content)
            self.recorded.add(record["name"])
        else:
            self.contents[hashlib.sha256(content).hexdigest()] += 1


@contextlib.contextmanager
def site(root: Path, **options: Any) -> Iterator[Site]:
    made = Site(root, **options)
    try:
        yield made
    finally:
        made.close()


def names(folders: Sequence[Path]) -> list[str]:
    return sorted(path.name for folder in folders for path in folder.iterdir())
