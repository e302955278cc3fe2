"""A whole group, built as its operator builds it: an authority, a broker with TLS, a centre, and enrolled machines."""

import csv
import io
import json
import os
import pwd
import signal
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout, suppress
from functools import cached_property
from pathlib import Path

from pipeline.authority import Authority
from pipeline.broker.tls import Certificates
from pipeline.cli.main import main
from pipeline.settings import Settings, load
from pipeline.storage import Store, open_store
from pipeline.topology import CENTRE_ROLES
from tests.support.authority_node import ADMIN, AuthorityNode, admin_conf, free_ports
from tests.support.group_broker import VHOST, clinic_text

PASSWORD = "only for this broker"


class Group:
    """The centre's directory, the machines' directories beside it, and every process that was started."""

    def __init__(self, root: Path, store: str) -> None:
        self.root, self.directory = root, root / "centre"
        self.directory.mkdir()
        tls, management = free_ports()
        self.url = f"amqps://localhost:{tls}/{VHOST}"
        (self.directory / "admin").write_text(PASSWORD)
        (self.directory / "onshi.toml").write_text(_text(self.url, management, store))
        (self.directory / "clinic.c001.toml").write_text(
            clinic_text("c001", "9919000011", ()).split("[clinics.chart]")[0]
        )
        self.say("ca", "init", "--host", "localhost")
        self.node = AuthorityNode(self.directory / "ca", tls, management, admin_conf(PASSWORD))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # What the hostile suite asks of a broker.

    @property
    def tls_port(self) -> int:
        return self.node.tls_port

    @property
    def authority(self) -> Authority:
        return Authority(self.directory / "ca")

    def certificates(self, user: str) -> Certificates:
        """Return the pair that was really handed out under this name."""
        (found,) = (path for path in self.root.rglob(f"{user}.crt") if "strange" not in path.parts)
        return Certificates(self.directory / "ca/ca.crt", found, found.with_suffix(".key"))

    @cached_property
    def store(self) -> Store:
        store = open_store(self.settings.store.url)
        store.make_schema()
        return store

    @property
    def settings(self) -> Settings:
        return load(self.directory, {})

    def say(self, *words: str, config: Path | None = None) -> int:
        """Run one command here; it must be done."""
        said = io.StringIO()
        with redirect_stdout(said), redirect_stderr(said):
            code = main([*words, "-c", str(config or self.directory)])
        assert code == 0, f"{' '.join(words)}: {code}\n{said.getvalue()}"
        return code

    def enrol(self, clinic: str, edge: str) -> None:
        self.say("terminals", "enrol", f"{clinic}/{edge}", "--out", str(self.machine(clinic, edge)))
        for folder in ("oqs/face", "oqs/res", "oqs/req", "chart/inbox"):
            (self.machine(clinic, edge) / folder).mkdir(parents=True)

    def machine(self, clinic: str, edge: str) -> Path:
        return self.root / f"{clinic}.{edge}"

    def simulate(self, clinic: str, count: int, seed: int) -> None:
        """Write invented faces, and add their patients to the chart's list."""
        aside, listed = self.root / "people.csv", self.machine(clinic, "chart") / "chart/patients.csv"
        words = ["--terminal", "t1", "--count", str(count), "--seed", str(seed), "--patients", str(aside)]
        self.say("simulate", *words, config=self.machine(clinic, "t1") / "onshi.toml")
        rows = []
        for path in (listed, aside):
            if path.exists():
                with path.open(encoding="utf-8-sig", newline="") as source:
                    rows += list(csv.DictReader(source))
        with aside.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
        aside.replace(listed)

    def start(self) -> None:
        """Start whatever does not run."""
        self._start("centre", self.directory, *CENTRE_ROLES)
        for path in sorted(self.root.glob("c0*.*/onshi.toml")):
            self._start(path.parent.name, path, "chart" if path.parent.name.endswith(".chart") else "terminal")

    def _start(self, name: str, config: Path, *roles: str) -> None:
        if name in self.processes and self.processes[name].poll() is None:
            return
        with (self.root / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", "pipeline.cli", "run", *roles, "-c", str(config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "ONSHI_HTTP_PORT": "0", "ONSHI_EDGE_REPORT_SECONDS": "2"},
                start_new_session=True,
            )

    def kill(self, *names: str) -> None:
        """End processes and their children like a power cut."""
        for name in names:
            with suppress(ProcessLookupError):
                os.killpg(self.processes[name].pid, signal.SIGKILL)
            self.processes[name].wait()

    def stop(self) -> list[int]:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)
        return [process.wait(120) for process in self.processes.values()]

    def close(self) -> None:
        self.kill(*self.processes)
        self.store.close()
        self.node.close()

    def logs(self) -> str:
        return "\n".join(f"{path.name}\n{path.read_text()[-1500:]}" for path in sorted(self.root.glob("*.log")))


def _text(url: str, management: int, store: str) -> str:
    return f"""\
[broker]
url = {json.dumps(url)}
declare = false
ca_file = "ca/ca.crt"
cert_file = "ca/centre/service.centre.crt"
key_file = "ca/centre/service.centre.key"
[store]
url = {json.dumps(store)}
[group]
vhost = "{VHOST}"
management_url = "https://localhost:{management}"
ca_file = "ca/ca.crt"
admin = "{ADMIN}"
admin_password_file = "admin"
edge_url = {json.dumps(url)}
[[staff]]
id = "s1"
os_user = {json.dumps(pwd.getpwuid(os.geteuid()).pw_name)}
role = "manager"
"""
