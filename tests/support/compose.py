"""What does `docker-compose.yml` say, and how are its services run as ordinary processes of this machine?

A service keeps its own command, environment and health check; only where things are is put in place: paths inside a
container become paths of a temporary directory, names of the network become ports of the loopback.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.support.eventually import eventually
from tests.support.ports import free_port

ROOT = Path(__file__).parents[2]
FILE = ROOT / "docker-compose.yml"
GROUP = "${GROUP:-./group}"
HTTP_PORT = "9810"


def read() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return found


def mounts(compose: Mapping[str, Any], service: Mapping[str, Any]) -> dict[str, str]:
    """Path inside → what lies there: a file or folder of the host, or `volume:NAME`."""
    found = {}
    for volume in service.get("volumes", []):
        # The default of a variable has a colon of its own.
        source, target = re.fullmatch(r"((?:\$\{[^}]+\})?[^:]*):([^:]+)(?::ro)?", volume).groups()  # type: ignore[union-attr]
        found[target] = source if source.startswith((".", "/", "$")) else f"volume:{source}"
    for secret in service.get("secrets", []):
        name, target = (secret, f"/run/secrets/{secret}") if isinstance(secret, str) else secret.values()
        found[target] = compose["secrets"][name]["file"]
    return found


def words(service: Mapping[str, Any]) -> list[str]:
    """What a service starts, as an argument vector; the image's entrypoint is `onshi`."""
    return [*service.get("entrypoint", ["onshi"]), *(word.replace("$$", "$") for word in service.get("command", []))]


def commands(service: Mapping[str, Any]) -> Iterator[list[str]]:
    """Every `onshi` command a service gives, without the name of the program."""
    argv = words(service)
    if argv[0] == "onshi":
        yield argv[1:]
    for script in argv[1:] if argv[0] == "/bin/sh" else []:
        for part in re.findall(r"(?m)(?:^|\|\| )onshi (.+)$", script):
            yield shlex.split(part)


@dataclass
class Processes:
    """The services of ours, started in a directory. `close` ends every process that was started."""

    directory: Path
    hosts: Mapping[str, str]
    """`name:port` of the compose network → `name:port` here."""
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.compose = read()
        self.services = self.compose["services"]
        places = {}
        for service in self.services.values():
            if service.get("image", "").startswith("onshi:"):
                for inside, source in mounts(self.compose, service).items():
                    places[inside] = str(self.host_path(source))
        names = {**places, **self.hosts}
        ordered = sorted(names, key=len, reverse=True)
        self._names = names
        self._pattern = re.compile("|".join(rf"(?<![\w.-]){re.escape(name)}(?![\w-])" for name in ordered))
        self._programs = self.directory / "programs"
        self._programs.mkdir()
        for name, call in (("onshi", f"{sys.executable} -m pipeline.cli"), ("python", sys.executable)):
            program = self._programs / name
            program.write_text(f'#!/bin/sh\nexec {call} "$@"\n')
            program.chmod(0o755)

    def host_path(self, source: str) -> Path:
        if source.startswith("volume:"):
            made = self.directory / "volumes" / source.removeprefix("volume:")
            made.mkdir(parents=True, exist_ok=True)
            return made
        return (
            self.directory / "group" / source.removeprefix(f"{GROUP}/") if source.startswith(GROUP) else ROOT / source
        )

    def local(self, text: str) -> str:
        """Put paths and names of the network in place."""
        return self._pattern.sub(lambda match: self._names[match[0]], text)

    def environment(self, name: str) -> dict[str, str]:
        own = {key: self.local(str(value)) for key, value in self.services[name].get("environment", {}).items()}
        own |= {"ONSHI_HTTP_HOST": "127.0.0.1", "ONSHI_HTTP_PORT": str(self.ports.setdefault(name, free_port()))}
        kept = {key: os.environ[key] for key in ("PYTHONPATH", "TMPDIR", "HOME") if key in os.environ}
        return {**kept, **own, "PATH": f"{self._programs}:{os.environ['PATH']}"}

    def once(self, name: str, *command: str) -> str:
        """Run a service to its end, with another command where one is given, as `docker compose run` does."""
        argv = [self.local(word) for word in (["onshi", *command] if command else words(self.services[name]))]
        done = subprocess.run(
            argv,
            env=self.environment(name),
            cwd=self.directory,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def start(self, *names: str) -> None:
        """Start services and leave them running."""
        for name in names:
            argv = [self.local(word) for word in words(self.services[name])]
            with (self.directory / f"{name}.log").open("wb") as log:
                self.running[name] = subprocess.Popen(
                    argv, env=self.environment(name), cwd=self.directory, stdout=log, stderr=log, start_new_session=True
                )

    def wait_until_healthy(self, *names: str) -> None:
        for name in names:
            eventually(lambda n=name: self.is_healthy(n), 120, f"{name} healthy")  # type: ignore[misc]

    def is_healthy(self, name: str) -> bool:
        kind, *argv = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        here = [word.replace(HTTP_PORT, str(self.ports[name])) for word in argv]
        done = subprocess.run(here, env=self.environment(name), capture_output=True, check=False, timeout=60)
        return done.returncode == 0

    def stop(self) -> dict[str, int]:
        """SIGTERM all, as `docker compose stop`; returns how each ended."""
        for process in self.running.values():
            process.send_signal(signal.SIGTERM)
        return {name: process.wait(120) for name, process in self.running.items()}

    def close(self) -> None:
        for process in self.running.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
