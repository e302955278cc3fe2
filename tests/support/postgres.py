"""A private PostgreSQL cluster as a child process: own port on loopback, own temporary directory, own process id."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from tests.support.ports import free_port

MISSING = (
    "PostgreSQL's server is not installed: run `make servers` as root, or `apt-get install postgresql` "
    "(it is not started; the tests start their own)."
)


def binaries() -> Path | None:
    """Find the newest installed server."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class PostgresNode:
    """Starts when made, ends when closed."""

    def __init__(self) -> None:
        directory = binaries()
        if directory is None:
            raise RuntimeError(MISSING)
        self._binaries = directory
        # The server refuses to run as root; Debian's package brings the account it runs under.
        self._user = "postgres" if os.geteuid() == 0 else None
        self._directory = Path(tempfile.mkdtemp(prefix="onshi-pg-"))
        if self._user:
            shutil.chown(self._directory, self._user)
        self._log = self._directory / "server.log"
        self.port = free_port()
        self._run("initdb", "-D", "data", "-U", "app", "--auth=trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync")
        self._databases = 0
        self.start()

    @property
    def pid(self) -> int:
        """The first process of the server, the parent of all others."""
        return self._process.pid

    def start(self) -> None:
        deadline = time.monotonic() + 90
        self._spawn()
        while self._run("pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port), check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start within 90 s: {self._last_words()}")
            if self._process.poll() is not None:
                # Children of a killed one have sessions of their own, and it ends while one still holds the memory.
                self._spawn()

    def _spawn(self) -> None:
        options = ["-D", "data", "-p", str(self.port), "-h", "127.0.0.1", "-k", str(self._directory)]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._binaries / "postgres", *options],
                cwd=self._directory,
                user=self._user,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _last_words(self) -> str:
        return self._log.read_text(errors="replace")[-500:]

    def database(self) -> str:
        """Make a fresh database and return its URL."""
        self._databases += 1
        name = f"onshi_{os.getpid()}_{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "app", name)
        return f"postgresql+psycopg://app@127.0.0.1:{self.port}/{name}"

    def copy(self, source: str, target: str) -> None:
        """Make or replace a database as a copy of another that nobody uses at the moment."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "app")
        self._run("dropdb", *where, "--if-exists", "--force", target)
        self._run("createdb", *where, "--template", source, target)

    @property
    def directory(self) -> Path:
        """Where everything the cluster writes lies."""
        return self._directory

    def dump(self, url: str) -> bytes:
        """Return what a backup of a database holds, as text."""
        where = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "app")
        return self._run("pg_dump", *where, url.rsplit("/", 1)[1]).stdout

    def kill(self) -> None:
        """End it like a power cut of the process: SIGKILL to the whole group."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}

    def _run(self, program: str, *words: str, check: bool = True) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._binaries / program, *words],
            cwd=self._directory,
            user=self._user,
            env=self._environment(),
            check=check,
            capture_output=True,
        )
