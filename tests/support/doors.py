"""By which ways into a group's broker must nobody come, and which is the one that is open?"""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials, PlainCredentials

from pipeline import authority
from pipeline.authority import Authority, Purpose
from pipeline.broker.tls import Certificates
from tests.support.group_broker import VHOST

STRANGE = [
    "no certificate",
    "another authority",
    "expired",
    "not valid yet",
    "a server's",
    "of nobody configured",
    "of the provisioning user's name in other letters",
    "revoked",
]


class Door(Protocol):
    """A group's broker, as whoever wants to come in sees it."""

    @property
    def tls_port(self) -> int: ...

    @property
    def authority(self) -> Authority: ...

    def certificates(self, name: str, /) -> Certificates: ...


def channel_as(door: Door, pair: Certificates, vhost: str = VHOST) -> BlockingChannel:
    """Come in as everybody should: with a certificate, whose name is the user's."""
    channel = pika.BlockingConnection(_parameters(door, pair, vhost)).channel()
    channel.confirm_delivery()
    return channel


def enter_with_an_older_tls(door: Door, user: str) -> None:
    pika.BlockingConnection(_parameters(door, door.certificates(user), newest=ssl.TLSVersion.TLSv1_2))


def enter_with_a_password(door: Door, user: str, name: str, password: str) -> None:
    """Come with the certificate of `user`, and say to be `name`."""
    credentials = PlainCredentials(name, password)
    pika.BlockingConnection(_parameters(door, door.certificates(user), credentials=credentials))


def _parameters(
    door: Door,
    pair: Certificates,
    vhost: str = VHOST,
    credentials: ExternalCredentials | PlainCredentials | None = None,
    newest: ssl.TLSVersion | None = None,
) -> pika.ConnectionParameters:
    context = ssl.create_default_context(cafile=str(door.authority.certificate_file))
    if pair.cert and pair.key:
        context.load_cert_chain(pair.cert, pair.key)
    if newest:
        context.maximum_version = newest
    return pika.ConnectionParameters(
        "localhost",
        door.tls_port,
        vhost,
        credentials or ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "localhost"),
        connection_attempts=1,
        socket_timeout=20,
        stack_timeout=40,
        heartbeat=0,
    )


def strange(door: Door, user: str, how: str, tmp: Path) -> Certificates:
    """Make a pair that must not count."""
    now, ca = datetime.now(UTC), door.authority.certificate_file
    if how == "no certificate":
        return Certificates(ca)
    if how == "another authority":
        authority.found(tmp / "other", "Onshi test group", now).issue(user, Purpose.CLIENT, tmp, now)
    elif how == "expired":
        door.authority.issue(user, Purpose.CLIENT, tmp, now - timedelta(days=2), age=timedelta(days=1))
    elif how == "not valid yet":
        door.authority.issue(user, Purpose.CLIENT, tmp, now + timedelta(days=1))
    elif how == "a server's":
        door.authority.issue(user, Purpose.SERVER, tmp, now)
    elif how == "of nobody configured":
        door.authority.issue(user := "edge.c009.t1", Purpose.CLIENT, tmp, now)
    elif how == "of the provisioning user's name in other letters":
        door.authority.issue(user := "Edge.c001.t1", Purpose.CLIENT, tmp, now)
    elif how == "revoked":
        door.authority.issue(user, Purpose.CLIENT, tmp, now)
        door.authority.revoke(user, now)
    return Certificates(ca, tmp / f"{user}.crt", tmp / f"{user}.key")


def come_again(door: Door, user: str, tmp: Path) -> None:
    """Come in with a new certificate: not the name was locked out, only a pair that does not count."""
    door.authority.issue(user, Purpose.CLIENT, tmp, datetime.now(UTC))
    fresh = Certificates(door.authority.certificate_file, tmp / f"{user}.crt", tmp / f"{user}.key")
    channel_as(door, fresh).connection.close()
