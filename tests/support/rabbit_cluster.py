"""How does a test get a cluster of three nodes, configured by the very file that operators install?

The nodes are ordinary child processes (`tests.support.rabbit`) on one machine: each its own ports and folder, one epmd
and one cookie for all.
"""

import json
import re
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from tests.support.eventually import eventually
from tests.support.ports import free_port
from tests.support.rabbit import USER, Membership, RabbitNode, name_server

CONFIGURATION = Path(__file__).parents[2] / "infra" / "rabbitmq" / "cluster" / "rabbitmq.conf"
START_SECONDS = 240
"""Three nodes start at once, and wait for each other."""


class Cluster:
    """Three nodes. `start` returns when each of them serves and sees the others."""

    def __init__(self) -> None:
        self._base = Path(tempfile.mkdtemp(prefix="onshi-cluster-"))
        self.vhost = "/"
        self.password, cookie, epmd = secrets.token_hex(8), secrets.token_hex(16), free_port()
        text = CONFIGURATION.read_text(encoding="utf-8")
        found = re.findall(r"^cluster_formation\.classic_config\.nodes\.\d+ = (\S+)$", text, re.MULTILINE)
        # Names of hosts that do not exist here become names of nodes on this one.
        names = {name: f"onshi-{secrets.token_hex(3)}-{number}@localhost" for number, name in enumerate(found, 1)}
        for name, own in names.items():
            text = text.replace(name, own)
        env = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": str(self._base)}
        self._epmd: subprocess.Popen[bytes] = name_server(epmd, env, self._base)
        self.nodes: list[RabbitNode] = [
            RabbitNode(membership=Membership(own, epmd, cookie, self.password, text)) for own in names.values()
        ]

    def url(self, nodes: Sequence[RabbitNode] | None = None) -> str:
        """Write the URL that names these nodes, in this order; none means all."""
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in nodes or self.nodes)
        return f"amqp://{USER}:{self.password}@{hosts}/{quote(self.vhost, safe='')}"

    def start(self) -> Self:
        """Start whoever does not run."""
        for node in self.nodes:
            if not node.is_running:
                node.begin()
        for node in self.nodes:
            node.wait(START_SECONDS)
        eventually(self.is_whole, START_SECONDS, "three nodes that see each other")
        return self

    def is_whole(self) -> bool:
        """Say whether every node runs and is seen by every other."""
        return all(sorted(self.running(node)) == sorted(each.name for each in self.nodes) for node in self.nodes)

    def running(self, seen_by: RabbitNode) -> list[str]:
        try:
            rows = json.loads(seen_by.api("GET", "nodes"))
        except OSError:
            return []
        return [row["name"] for row in rows if row["running"]]

    def queues(self, seen_by: RabbitNode) -> list[dict[str, Any]]:
        """Return name, leader, members and who of them is online, for every replicated queue and stream."""
        words = ["list_queues", "-q", "-p", self.vhost, "--formatter", "json"]
        columns = ["name", "type", "leader", "members", "online"]
        said = seen_by.control(*words, *columns, seconds=START_SECONDS)
        rows: list[dict[str, Any]] = json.loads(said)
        return rows

    def other_than(self, node: RabbitNode) -> RabbitNode:
        return next(each for each in self.nodes if each is not node)

    def close(self) -> None:
        for node in self.nodes:
            node.close()
        self._epmd.kill()
        self._epmd.wait(10)
        shutil.rmtree(self._base, ignore_errors=True)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, fault: BaseException | None, at: TracebackType | None) -> None:
        self.close()
