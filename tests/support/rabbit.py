"""How does a test get a RabbitMQ of its own, of which nothing is left behind?

A `RabbitNode` is an ordinary child process with its own folder, ports, cookie and epmd, for any user. The kernel ends
it with the thread that started it, so an interrupted run leaves no server.
"""

import atexit
import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.support.ports import free_port

NOT_INSTALLED = "RabbitMQ's server is not installed: run `make servers` as root, or apt-get install rabbitmq-server"
USER = "onshi-test"


class NotInstalledError(Exception):
    """The test asked for a server that this machine does not have."""


# The wrappers in /usr/sbin change folder and user; these scripts do neither.
_PLACES = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"), Path("/usr/local/sbin"))

# A dead letter whose target was missing is tried again after this; the default is three minutes.
_ADVANCED = "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 2000}]}].\n"


def scripts() -> Path:
    """Return the folder of RabbitMQ's own scripts.

    Raises:
        NotInstalledError: never a reason to skip.
    """
    for place in _PLACES:
        if (place / "rabbitmq-server").is_file() and shutil.which("epmd"):
            return place
    raise NotInstalledError(NOT_INSTALLED)


@dataclass(frozen=True, slots=True)
class Membership:
    """What makes a node one of a cluster: its name, and what it shares with the others."""

    name: str
    epmd_port: int
    cookie: str
    password: str
    configuration: str
    """What stands in `rabbitmq.conf` beside the node's own ports."""


class RabbitNode:
    """One node. `start` returns when it answers; `kill` is kill -9; both may be repeated, the data stays."""

    def __init__(self, definitions: Mapping[str, Any] | None = None, membership: Membership | None = None) -> None:
        self._scripts = scripts()
        self._base = Path(tempfile.mkdtemp(prefix="onshi-rabbit-"))
        alone = Membership(
            f"onshi-{secrets.token_hex(4)}@localhost", free_port(), secrets.token_hex(16), secrets.token_hex(8), ""
        )
        self._membership = membership or alone
        self.password, self.name = self._membership.password, self._membership.name
        self.port, self._http_port, self._epmd_port = free_port(), free_port(), self._membership.epmd_port
        self.metrics_port = free_port()
        """Where rabbitmq_prometheus serves."""
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0
        """How often it was started."""
        self._write_configuration(definitions)
        self._env = self._environment()
        self._epmd: subprocess.Popen[bytes] | None = None
        if membership is None:
            self._epmd = name_server(self._epmd_port, self._env, self._base)
        atexit.register(self.close)

    @property
    def directory(self) -> Path:
        """Where everything the node writes lies."""
        return self._base

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def url(self, vhost: str = "/") -> str:
        return f"amqp://{USER}:{self.password}@127.0.0.1:{self.port}/{quote(vhost, safe='')}"

    def start(self) -> Self:
        self.begin()
        return self.wait(90)

    def begin(self) -> None:
        """Start it and return at once."""
        self._process = _child([str(self._scripts / "rabbitmq-server")], self._env, self._base)
        self.starts += 1

    def wait(self, seconds: float) -> Self:
        """Return when it answers."""
        assert self._process is not None
        until = time.monotonic() + seconds
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"RabbitMQ did not start: {(self._base / 'out').read_text()[-2000:]}")
            time.sleep(0.05)
        return self

    def kill(self) -> None:
        if self._process is not None and self.is_running:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(10)

    def wipe(self) -> None:
        """Kill it and lose its data: the next start is that of a new node, without a vhost of anybody's."""
        self.kill()
        shutil.rmtree(self._base / "mnesia")

    def pause(self) -> None:
        """Stop the process without ending it: connections stay open and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # On a busy machine one of its threads may confirm a message yet; the kernel says when all of them stand.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED | os.WNOWAIT)

    def resume(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        atexit.unregister(self.close)
        self.kill()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(10)
        shutil.rmtree(self._base, ignore_errors=True)

    def complaints(self, most: int = 60) -> str:
        """Return the last lines of the node's log that tell of an error: the folder is gone when a run is looked at."""
        lines = [line for path in (self._base / "log").glob("*.log") for line in path.read_text().splitlines()]
        return "\n".join([line for line in lines if "[error]" in line or "[critical]" in line][-most:])

    def add_vhost(self) -> str:
        name = f"v{secrets.token_hex(4)}"
        self.api("PUT", f"vhosts/{name}")
        return name

    def delete_vhost(self, name: str) -> None:
        self.api("DELETE", f"vhosts/{name}")

    def delete_queue(self, vhost: str, queue: str) -> None:
        self.api("DELETE", f"queues/{quote(vhost, safe='')}/{queue}")

    def control(self, *arguments: str, seconds: float = 60) -> str:
        """Run rabbitmqctl; slow (over a second), so never in a poll."""
        done = subprocess.run(
            [self._scripts / "rabbitmqctl", *arguments],
            env=self._env,
            cwd=self._base,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=True,
        )
        return done.stdout

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._http_port}/api/{path}", method=method, data=json.dumps(body or {}).encode()
        )
        token = base64.b64encode(f"{USER}:{self.password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30) as answer:
            content: bytes = answer.read()
        return content

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def user_definitions(self, vhosts: tuple[str, ...]) -> dict[str, Any]:
        """Render the test's user for a definitions file: a node that loads one makes no user of its own."""
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        return {
            "users": [{"name": USER, "password": self.password, "tags": "administrator"}],
            "permissions": [{"user": USER, "vhost": vhost, **rights} for vhost in vhosts],
        }

    def _answers(self) -> bool:
        # The listeners open last, after definitions and recovery.
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as line:
                line.settimeout(5)
                line.sendall(b"AMQP\x00\x00\x09\x01")
                return bool(line.recv(1))
        except OSError:
            return False

    def _write_configuration(self, definitions: Mapping[str, Any] | None) -> None:
        lines = [
            f"listeners.tcp.1 = 127.0.0.1:{self.port}",
            "management.tcp.ip = 127.0.0.1",
            f"management.tcp.port = {self._http_port}",
            "prometheus.tcp.ip = 127.0.0.1",
            f"prometheus.tcp.port = {self.metrics_port}",
            "management.disable_stats = true",
            f"default_user = {USER}",
            f"default_pass = {self.password}",
            "log.console = false",
            "vm_memory_high_watermark.absolute = 2GB",
            "disk_free_limit.absolute = 50MB",
            *self._membership.configuration.splitlines(),
        ]
        if definitions is not None:
            vhosts = tuple(vhost["name"] for vhost in definitions["vhosts"])
            merged = {**definitions, **self.user_definitions(vhosts)}
            (self._base / "definitions.json").write_text(json.dumps(merged))
            lines.append(f"load_definitions = {self._base}/definitions.json")
        (self._base / "rabbitmq.conf").write_text("\n".join(lines) + "\n")
        (self._base / "env.conf").write_text("")
        (self._base / "advanced.config").write_text(_ADVANCED)
        (self._base / "plugins").write_text("[rabbitmq_management,rabbitmq_prometheus].\n")
        cookie = self._base / ".erlang.cookie"
        cookie.write_text(self._membership.cookie)
        cookie.chmod(0o400)

    def _environment(self) -> dict[str, str]:
        base, first_tool_port = self._base, free_port()
        return {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
            "LANG": "C.UTF-8",
            "HOME": str(base),
            "detached": "1",  # the script then becomes the server: our child's pid is the server's
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_DIST_PORT": str(free_port()),
            "RABBITMQ_MNESIA_BASE": str(base / "mnesia"),
            "RABBITMQ_LOG_BASE": str(base / "log"),
            "RABBITMQ_CONFIG_FILE": str(base / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(base / "env.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(base / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(base / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(base / "plugins"),
            "RABBITMQ_PID_FILE": str(base / "pid"),
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "RABBITMQ_CTL_DIST_PORT_MIN": str(first_tool_port),
            "RABBITMQ_CTL_DIST_PORT_MAX": str(first_tool_port + 20),
            "ERL_CRASH_DUMP_SECONDS": "0",
            # The default wakes a futex for every bit of I/O and doubles the boot.
            "RABBITMQ_SCHEDULER_BUSY_WAIT_THRESHOLD": "short",
        }


def name_server(port: int, env: Mapping[str, str], directory: Path) -> subprocess.Popen[bytes]:
    """Start an epmd, of which the nodes of this port learn where each other are."""
    return _child(["epmd", "-port", str(port), "-address", "127.0.0.1"], env, directory)


def _child(command: list[str], env: Mapping[str, str], base: Path) -> subprocess.Popen[bytes]:
    guard = shutil.which("setpriv")
    with (base / "out").open("ab") as out:
        return subprocess.Popen(
            [guard, "--pdeathsig", "KILL", *command] if guard else command,
            env=env,
            cwd=base,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
