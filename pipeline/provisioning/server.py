"""How must RabbitMQ itself be configured, so that only certificates of the group's authority get in?

Rendered for `onshi ca init` and the tests: TLS 1.3 alone, a client certificate demanded, its CN taken as the name
(EXTERNAL), no other mechanism, no port without TLS. The revocation list is looked up on disk at every handshake.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

MESSAGE_BYTES: Final = 128 << 20
"""The largest message, 3.x's own default: 4.x takes 16 MiB and refuses what carries a large answer and its record."""

PLUGINS: Final = "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_auth_mechanism_ssl].\n"


@dataclass(frozen=True, slots=True)
class ServerFiles:
    """Where the broker finds its certificates, as paths on the broker's machine."""

    ca: Path
    cert: Path
    key: Path
    crl: Path
    """A folder, to which the authority's `crl` is copied after each revocation."""


def server_conf(port: int) -> str:
    """Render what belongs into `rabbitmq.conf`."""
    return f"""\
listeners.tcp = none
listeners.ssl.default = {port}
auth_mechanisms.1 = EXTERNAL
ssl_cert_login_from = common_name
max_message_size = {MESSAGE_BYTES}
"""


def management_conf(files: ServerFiles, port: int) -> str:
    """Render what lets the management be reached with TLS alone; who provisions has a password, and no certificate."""
    return f"""\
management.ssl.port = {port}
management.ssl.cacertfile = {files.ca}
management.ssl.certfile = {files.cert}
management.ssl.keyfile = {files.key}
management.ssl.versions.1 = tlsv1.3
"""


def server_options(files: ServerFiles) -> str:
    """Render `advanced.config`: the broker's TLS options, some of which `rabbitmq.conf` has no words for."""
    return f"""\
[{{rabbit, [
  {{ssl_options, [
    {{cacertfile, "{files.ca}"}},
    {{certfile, "{files.cert}"}},
    {{keyfile, "{files.key}"}},
    {{versions, ['tlsv1.3']}},
    {{verify, verify_peer}},
    {{fail_if_no_peer_cert, true}},
    {{depth, 1}},
    {{crl_check, peer}},
    {{crl_cache, {{ssl_crl_hash_dir, {{internal, [{{dir, "{files.crl}"}}]}}}}}}
  ]}}
]}}].
"""
