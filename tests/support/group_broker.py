"""How does a test get a group's broker: TLS, certificates, and everything on it made by `onshi provision apply`?"""

import json
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import authority
from pipeline.authority import Purpose
from pipeline.broker.tls import Certificates
from pipeline.provisioning.server import PLUGINS, ServerFiles, server_conf, server_options
from pipeline.settings import Settings, load
from tests.support.rabbit import USER, RabbitNode, free_port

VHOST = "onshi"


class TlsNode(RabbitNode):
    """A node that only certificates of `authority` get into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tls_port = free_port()
        self.authority = authority.found(root / "ca", "Onshi test group", datetime.now(UTC))
        self.authority.issue(
            "broker", Purpose.SERVER, root / "broker", datetime.now(UTC), hosts=("localhost", "127.0.0.1")
        )
        super().__init__()

    @property
    def tls_url(self) -> str:
        return f"amqps://localhost:{self.tls_port}/{VHOST}"

    def certificates(self, name: str) -> Certificates:
        folder = self.root / "certificates"
        if not (folder / f"{name}.crt").exists():
            self.authority.issue(name, Purpose.CLIENT, folder, datetime.now(UTC))
        return Certificates(self.root / "ca" / "ca.crt", folder / f"{name}.crt", folder / f"{name}.key")

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.tls_port), 1):
                return b"rabbitmq_version" in self.api("GET", "overview")
        except OSError:
            return False

    def _write_configuration(self, definitions: Mapping[str, Any] | None) -> None:
        super()._write_configuration(definitions)
        conf = self._base / "rabbitmq.conf"
        kept = [
            line
            for line in conf.read_text().splitlines()
            if not line.startswith(("listeners.tcp", "management.disable_stats"))
        ]
        conf.write_text("\n".join(kept) + "\n" + server_conf(self.tls_port))
        files = ServerFiles(
            self.root / "ca" / "ca.crt",
            self.root / "broker" / "broker.crt",
            self.root / "broker" / "broker.key",
            self.root / "ca" / "crl",
        )
        (self._base / "advanced.config").write_text(server_options(files))
        (self._base / "plugins").write_text(PLUGINS.replace("rabbitmq_prometheus,", ""))


def clinic_text(clinic: str, code: str, terminals: tuple[str, ...]) -> str:
    """Write one clinic's file of the configuration."""
    text = f'[[clinics]]\nid = "{clinic}"\ninstitution_codes = ["{code}"]\n'
    for terminal in terminals:
        at = f"{clinic}/{terminal}"
        text += f'[[clinics.terminals]]\nid = "{terminal}"\nface = "{at}/face"\nres = "{at}/res"\nreq = "{at}/req"\n'
    return text + f'[clinics.chart]\ninbox = "{clinic}/chart/inbox"\npatients = "{clinic}/chart/patients.csv"\n'


def group_text(node: RabbitNode, url: str, password_file: Path) -> str:
    return f"""\
[broker]
url = {json.dumps(url)}
declare = false
ca_file = "ca/ca.crt"
cert_file = "certificates/service.centre.crt"
key_file = "certificates/service.centre.key"
[group]
vhost = "{VHOST}"
management_url = "http://127.0.0.1:{node._http_port}"
admin = "{USER}"
admin_password_file = {json.dumps(str(password_file))}
edge_url = {json.dumps(url)}
"""


def two_clinics(node: TlsNode, directory: Path) -> Settings:
    """Write a configuration directory of two clinics, three terminals and two vendors, and read it."""
    (directory / "admin").write_text(node.password)
    (directory / "onshi.toml").write_text(group_text(node, node.tls_url, directory / "admin"))
    (directory / "clinic.c001.toml").write_text(clinic_text("c001", "9919000011", ("t1", "t2")))
    (directory / "clinic.c002.toml").write_text(clinic_text("c002", "9919000029", ("t1",)))
    for vendor, clinics in (("acme", '["c001"]'), ("beta", '"*"')):
        (directory / f"vendor.{vendor}.toml").write_text(f'[[vendors]]\nid = "{vendor}"\nclinics = {clinics}\n')
    node.certificates("service.centre")
    return load(directory, {})
