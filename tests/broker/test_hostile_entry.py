"""Nobody gets in: no certificate but a good one counts, no older TLS, no password, no other door."""

import urllib.error
import urllib.request
from base64 import b64encode
from pathlib import Path

import pika
import pytest
from pika.credentials import PlainCredentials
from pika.exceptions import AMQPError

from pipeline.settings import Settings
from tests.support.doors import STRANGE, channel_as, come_again, enter_with_a_password, enter_with_an_older_tls, strange
from tests.support.group_broker import VHOST, TlsNode
from tests.support.intruder import CENTRE, CHART, EDGE, VENDOR

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.xdist_group("hostile"),
    # A handshake that fails leaves pika's socket to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.mark.parametrize("how", STRANGE)
def test_a_certificate_does_not_count_that_is(tls_node: TlsNode, group: Settings, how: str, tmp_path: Path) -> None:
    user = "edge.c001.t2"
    with pytest.raises((AMQPError, OSError)):
        channel_as(tls_node, strange(tls_node, user, how, tmp_path))
    come_again(tls_node, user, tmp_path / "fresh")


def test_an_older_tls_than_1_3_is_refused(tls_node: TlsNode, group: Settings) -> None:
    with pytest.raises((AMQPError, OSError)):
        enter_with_an_older_tls(tls_node, EDGE)


@pytest.mark.parametrize("port", ["tls_port", "port"])
def test_a_connection_without_tls_is_refused(tls_node: TlsNode, group: Settings, port: str) -> None:
    parameters = pika.ConnectionParameters(
        "localhost", getattr(tls_node, port), VHOST, PlainCredentials(EDGE, ""), connection_attempts=1, stack_timeout=20
    )
    with pytest.raises((AMQPError, OSError)):
        pika.BlockingConnection(parameters)


@pytest.mark.parametrize("password", ["", EDGE, "guest"])
def test_a_password_in_place_of_the_certificates_name_is_refused(
    tls_node: TlsNode, group: Settings, password: str
) -> None:
    with pytest.raises(AMQPError):
        enter_with_a_password(tls_node, EDGE, "edge.c002.t1", password)


@pytest.mark.parametrize("user", [EDGE, CHART, VENDOR, CENTRE])
def test_another_virtual_host_is_refused(tls_node: TlsNode, group: Settings, user: str) -> None:
    with pytest.raises(AMQPError):
        channel_as(tls_node, tls_node.certificates(user), "/")


@pytest.mark.parametrize("user", [EDGE, CHART, VENDOR, CENTRE, "guest"])
@pytest.mark.parametrize("password", ["", "guest"])
def test_the_management_lets_nobody_of_them_in(tls_node: TlsNode, group: Settings, user: str, password: str) -> None:
    request = urllib.request.Request(f"{group.group.management_url if group.group else ''}/api/whoami")
    request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code in {401, 403}
