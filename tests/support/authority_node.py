"""How does a test run the broker that `onshi ca init` wrote the configuration of, as an operator would install it?"""

import base64
import json
import ssl
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.support.rabbit import RabbitNode, free_port

ADMIN = "onshi-provision"


def admin_conf(password: str) -> str:
    return f"default_user = {ADMIN}\ndefault_pass = {password}\ndefault_user_tags.administrator = true\n"


class AuthorityNode(RabbitNode):
    """A node with the files of `ca/broker`, reached by TLS alone: for messages and for its management."""

    def __init__(self, ca: Path, tls_port: int, management_port: int, admin: str) -> None:
        self._ca, self.tls_port, self.management_port, self._admin = ca, tls_port, management_port, admin
        super().__init__()

    @property
    def metrics(self) -> int:
        return self.metrics_port

    def api(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> bytes:
        request = urllib.request.Request(f"https://localhost:{self.management_port}/api/{path}", method=method)
        password = self._admin.split("default_pass = ")[1].splitlines()[0]
        request.add_header("Authorization", f"Basic {base64.b64encode(f'{ADMIN}:{password}'.encode()).decode()}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=30, context=self._context()) as answer:
            content: bytes = answer.read()
        return content

    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._ca / "ca.crt"))

    def _answers(self) -> bool:
        try:
            return b"rabbitmq_version" in self.api("GET", "overview")
        except OSError:
            return False

    def _write_configuration(self, definitions: Mapping[str, Any] | None) -> None:
        super()._write_configuration(definitions)
        written, place = self._ca / "broker", "/etc/rabbitmq/onshi"
        conf = self._base / "rabbitmq.conf"
        ours = ("listeners.tcp", "management", "default_")
        kept = [line for line in conf.read_text().splitlines() if not line.startswith(ours)]

        def here(text: str) -> str:
            for name in ("ca.crt", "crl"):
                text = text.replace(f"{place}/{name}", str(self._ca / name))
            return text.replace(place, str(written))

        own = (written / "onshi.conf").read_text().replace("= 5671", f"= {self.tls_port}")
        own = own.replace("= 15671", f"= {self.management_port}\nmanagement.ssl.ip = 127.0.0.1")
        conf.write_text("\n".join([*kept, here(own), self._admin]))
        (self._base / "advanced.config").write_text(here((written / "advanced.config").read_text()))
        (self._base / "plugins").write_text((written / "enabled_plugins").read_text())


def free_ports() -> tuple[int, int]:
    return free_port(), free_port()
