"""Nobody gets what is another's: every way that is known, tried on a real broker made by `provision apply`."""

import gc
import json
import ssl
import urllib.error
import urllib.request
import warnings
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker

from pipeline import authority
from pipeline.authority import Purpose
from pipeline.broker import BrokerAwayError, OutMessage
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.broker.tls import Certificates
from pipeline.cli.main import main
from pipeline.errors import PermanentError
from pipeline.provisioning.difference import Action
from pipeline.provisioning.work import apply, plan
from pipeline.settings import Settings, load
from pipeline.topology import build
from tests.support.group_broker import VHOST, TlsNode, clinic_text, two_clinics
from tests.support.newer_management import NewerManagement

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.xdist_group("hostile"),
    # A handshake that fails leaves pika's socket to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]

EDGE, CHART, VENDOR, CENTRE = "edge.c001.t1", "edge.c001.chart", "vendor.acme", "service.centre"
Attempt = Callable[[BlockingChannel], object]
REFUSALS = (403, 406, 540)


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsNode]:
    node = TlsNode(tmp_path_factory.mktemp("group"))
    try:
        yield node.start()
    finally:
        for connection in OPEN.values():
            with suppress(AMQPError):
                connection.close()
        node.close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture(scope="module")
def group(node: TlsNode) -> Settings:
    settings = two_clinics(node, node.root)
    assert apply(settings).held == []
    return settings


def channel_as(node: TlsNode, certificates: Certificates, vhost: str = VHOST) -> BlockingChannel:
    context = ssl.create_default_context(cafile=str(node.authority.certificate_file))
    if certificates.cert and certificates.key:
        context.load_cert_chain(certificates.cert, certificates.key)
    parameters = pika.ConnectionParameters(
        "localhost",
        node.tls_port,
        vhost,
        ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "localhost"),
        connection_attempts=1,
        socket_timeout=20,
        stack_timeout=40,
        heartbeat=0,
    )
    channel = pika.BlockingConnection(parameters).channel()
    channel.confirm_delivery()
    return channel


def publish(exchange: str, key: str, **properties: object) -> Attempt:
    return lambda c: c.basic_publish(exchange, key, b"x", pika.BasicProperties(**properties))  # type: ignore[arg-type]


def everything_but(own: str) -> dict[str, Attempt]:
    """What nobody at the edge or outside may do to any queue or exchange, except read from `own`."""
    others = {
        "parsing",
        "parsing.parked",
        "unrouted",
        "edge.c001.t1",
        "edge.c001.t2",
        "edge.c001.chart",
        "edge.c002.t1",
    }
    others |= {"vendor.acme", "vendor.beta"}
    found: dict[str, Attempt] = {}
    for queue in sorted(others - {own}):
        found[f"consume {queue}"] = lambda c, q=queue: c.basic_consume(q, lambda *_: None)  # type: ignore[misc]
        found[f"get {queue}"] = lambda c, q=queue: c.basic_get(q)  # type: ignore[misc]
        found[f"purge {queue}"] = lambda c, q=queue: c.queue_purge(q)  # type: ignore[misc]
    for queue in sorted(others):
        found[f"delete queue {queue}"] = lambda c, q=queue: c.queue_delete(q)  # type: ignore[misc]
        found[f"bind {queue}"] = lambda c, q=queue: c.queue_bind(q, "onshi.intake", "#")  # type: ignore[misc]
        found[f"publish by name to {queue}"] = publish("", queue)
    exchanges = ("onshi.events", "onshi.public", "onshi.retry", "onshi.return", "onshi.dead", "onshi.unrouted")
    for exchange in (*exchanges, "amq.topic", "amq.direct", "amq.fanout", "amq.headers"):
        found[f"publish to {exchange}"] = publish(exchange, "file.c001.t1.captured.v1")
    for exchange in ("onshi.intake", *exchanges):
        found[f"delete exchange {exchange}"] = lambda c, e=exchange: c.exchange_delete(e)  # type: ignore[misc]
        found[f"bind own to {exchange}"] = lambda c, e=exchange: c.queue_bind(own, e, "#")  # type: ignore[misc]
        found[f"unbind own from {exchange}"] = lambda c, e=exchange: c.queue_unbind(own, e, "#")  # type: ignore[misc]
        found[f"route {exchange} on"] = lambda c, e=exchange: c.exchange_bind("amq.fanout", e, "#")  # type: ignore[misc]
    found["declare a queue"] = lambda c: c.queue_declare("mine", durable=True)
    found["declare an exclusive queue"] = lambda c: c.queue_declare("", exclusive=True)
    found["declare a queue that dead-letters into the intake"] = lambda c: c.queue_declare(
        "mine", arguments={"x-dead-letter-exchange": "onshi.intake"}
    )
    found["declare an exchange"] = lambda c: c.exchange_declare("mine")
    found["declare an exchange whose rest goes to events"] = lambda c: c.exchange_declare(
        "mine", arguments={"alternate-exchange": "onshi.events"}
    )
    found["answer another's call"] = publish("", "amq.rabbitmq.reply-to.g1h2AA")
    return found


OF_AN_EDGE = {
    **everything_but(EDGE),
    "publish as another clinic": publish("onshi.intake", "file.c002.t1.captured.v1"),
    "publish as another terminal": publish("onshi.intake", "file.c001.t2.captured.v1"),
    "publish as the chart": publish("onshi.intake", "delivery.c001.chart.done.v1"),
    "publish what charts say": publish("onshi.intake", "patients.c001.t1.changed.v1"),
    "publish what the centre says": publish("onshi.intake", "record.c001.t1.parsed.v1"),
    "publish an order": publish("onshi.intake", "erasure.c001.t1.order.v1"),
    "publish a role's name as key": publish("onshi.intake", "parsing"),
    "publish a longer key": publish("onshi.intake", "file.c001.t1.captured.v1.file.c002.t1.captured.v1"),
    "publish a key of two lines": publish("onshi.intake", "file.c002.t1.captured.v1\nfile.c001.t1.captured.v1"),
    "publish a key with a wildcard": publish("onshi.intake", "file.*.*.captured.v1"),
    "publish without a key": publish("onshi.intake", ""),
    "publish under another's user id": publish("onshi.intake", "file.c001.t1.captured.v1", user_id="edge.c002.t1"),
    "publish under the centre's user id": publish("onshi.intake", "file.c001.t1.captured.v1", user_id=CENTRE),
}
OF_A_CHART = {
    "publish as another clinic's chart": publish("onshi.intake", "patients.c002.chart.changed.v1"),
    "publish as a terminal": publish("onshi.intake", "file.c001.t1.erased.v1"),
    "publish what terminals say": publish("onshi.intake", "file.c001.chart.captured.v1"),
    "consume the terminal's orders": lambda c: c.basic_consume(EDGE, lambda *_: None),
}
OF_A_VENDOR = {
    **everything_but(VENDOR),
    "publish to intake": publish("onshi.intake", "file.c001.t1.captured.v1"),
    "purge its own stream": lambda c: c.queue_purge(VENDOR),
}
OF_THE_CENTRE = {
    "publish as an edge": publish("onshi.intake", "file.c001.t1.captured.v1"),
    "declare a queue": lambda c: c.queue_declare("mine", durable=True),
    "delete a queue": lambda c: c.queue_delete("parsing"),
    "bind a queue": lambda c: c.queue_bind("parsing", "onshi.intake", "#"),
    "read an edge's orders": lambda c: c.basic_get(EDGE),
    "publish under an edge's user id": publish("onshi.events", "file.c001.t1.stored.v1", user_id=EDGE),
}
ATTEMPTS = [
    pytest.param(user, attempt, id=f"{user}: {name}")
    for user, attempts in ((EDGE, OF_AN_EDGE), (CHART, OF_A_CHART), (VENDOR, OF_A_VENDOR), (CENTRE, OF_THE_CENTRE))
    for name, attempt in attempts.items()
]


OPEN: dict[str, pika.BlockingConnection] = {}
"""One connection for each user: the broker counts connections, and lets a vendor have few."""


def is_refused(node: TlsNode, user: str, attempt: Attempt) -> bool:
    if user not in OPEN or not OPEN[user].is_open:
        OPEN[user] = channel_as(node, node.certificates(user)).connection
    channel = OPEN[user].channel()
    channel.confirm_delivery()
    try:
        attempt(channel)
    except (ChannelClosedByBroker, ConnectionClosedByBroker) as closed:
        return closed.reply_code in REFUSALS
    finally:
        with suppress(AMQPError):
            channel.close()
    return False


@pytest.mark.parametrize(("user", "attempt"), ATTEMPTS)
def test_the_broker_refuses(node: TlsNode, group: Settings, user: str, attempt: Attempt) -> None:
    assert is_refused(node, user, attempt)


# What is allowed works: without this, a broker that refuses everything would pass.


@pytest.mark.parametrize(
    ("user", "attempt"),
    [
        pytest.param(EDGE, publish("onshi.intake", "file.c001.t1.captured.v1"), id="a terminal publishes its own key"),
        pytest.param(EDGE, publish("onshi.intake", "edge.c001.t1.reported.v1", user_id=EDGE), id="and its own name"),
        pytest.param(EDGE, lambda c: c.basic_consume(EDGE, lambda *_: None), id="a terminal hears its orders"),
        pytest.param(CHART, publish("onshi.intake", "patients.c001.chart.changed.v1"), id="a chart sends patients"),
        pytest.param(VENDOR, lambda c: consume_stream(c, VENDOR), id="a vendor reads its stream"),
        pytest.param(CENTRE, publish("onshi.events", "file.c001.t1.stored.v1"), id="the centre orders"),
        pytest.param(CENTRE, publish("onshi.retry", "parsing.10s"), id="the centre lets a message wait"),
        pytest.param(CENTRE, lambda c: c.basic_get("parsing"), id="the centre hears what edges say"),
        pytest.param(CENTRE, lambda c: c.basic_get("deletion.parked"), id="the centre drains what is parked"),
    ],
)
def test_what_is_allowed_works(node: TlsNode, group: Settings, user: str, attempt: Attempt) -> None:
    channel = channel_as(node, node.certificates(user))
    attempt(channel)
    assert channel.is_open
    channel.connection.close()


def consume_stream(channel: BlockingChannel, stream: str) -> None:
    channel.basic_qos(prefetch_count=10)
    channel.basic_consume(stream, lambda *_: None, arguments={"x-stream-offset": "first"})


def test_a_passive_question_tells_that_a_queue_is_there_and_how_many_wait_but_nothing_of_them(
    node: TlsNode, group: Settings
) -> None:
    # Before 4.2.6 RabbitMQ asks for no right here: said in `docs/decisions/0010`, and this is all it tells.
    channel = channel_as(node, node.certificates(EDGE))
    with suppress(ChannelClosedByBroker):
        answer = channel.queue_declare("edge.c002.t1", passive=True).method
        assert vars(answer) == {
            "queue": "edge.c002.t1",
            "message_count": 0,
            "consumer_count": 0,
        }
    channel.connection.close()


def test_a_copy_to_another_key_still_carries_the_senders_own(node: TlsNode, group: Settings) -> None:
    # 3.10 holds only the first key against the rights; a consumer reads that first key too, and believes no other.
    edge, centre = (channel_as(node, node.certificates(user)) for user in (EDGE, CENTRE))
    centre.queue_purge("forwarding")
    with suppress(ChannelClosedByBroker):
        publish("onshi.intake", "file.c001.t1.captured.v1", headers={"CC": ["delivery.c002.chart.done.v1"]})(edge)
    method, _, _ = centre.basic_get("forwarding", auto_ack=True)
    assert method is None or method.routing_key == "file.c001.t1.captured.v1"
    edge.connection.close()
    centre.connection.close()


# Getting in at all


def strange(node: TlsNode, user: str, how: str, tmp: Path) -> Certificates:
    """Make a pair that must not count."""
    now, ca = datetime.now(UTC), node.authority.certificate_file
    if how == "no certificate":
        return Certificates(ca)
    if how == "another authority":
        authority.found(tmp / "other", "Onshi test group", now).issue(user, Purpose.CLIENT, tmp, now)
    elif how == "expired":
        node.authority.issue(user, Purpose.CLIENT, tmp, now - timedelta(days=2), age=timedelta(days=1))
    elif how == "not valid yet":
        node.authority.issue(user, Purpose.CLIENT, tmp, now + timedelta(days=1))
    elif how == "a server's":
        node.authority.issue(user, Purpose.SERVER, tmp, now)
    elif how == "of nobody configured":
        node.authority.issue(user := "edge.c009.t1", Purpose.CLIENT, tmp, now)
    elif how == "of the provisioning user's name in other letters":
        node.authority.issue(user := "Edge.c001.t1", Purpose.CLIENT, tmp, now)
    elif how == "revoked":
        node.authority.issue(user, Purpose.CLIENT, tmp, now)
        node.authority.revoke(user, now)
    return Certificates(ca, tmp / f"{user}.crt", tmp / f"{user}.key")


@pytest.mark.parametrize(
    "how",
    [
        "no certificate",
        "another authority",
        "expired",
        "not valid yet",
        "a server's",
        "of nobody configured",
        "of the provisioning user's name in other letters",
        "revoked",
    ],
)
def test_a_certificate_does_not_count_that_is(node: TlsNode, group: Settings, how: str, tmp_path: Path) -> None:
    user = "edge.c001.t2"
    with pytest.raises((AMQPError, OSError)):
        channel_as(node, strange(node, user, how, tmp_path))
    # Whoever is revoked gets in again with a new one: the name was not locked out, the certificate was.
    node.authority.issue(user, Purpose.CLIENT, tmp_path / "fresh", datetime.now(UTC))
    fresh = Certificates(
        node.authority.certificate_file, tmp_path / "fresh" / f"{user}.crt", tmp_path / "fresh" / f"{user}.key"
    )
    channel_as(node, fresh).connection.close()


def test_an_older_tls_than_1_3_is_refused(node: TlsNode, group: Settings) -> None:
    mine = node.certificates(EDGE)
    context = ssl.create_default_context(cafile=str(mine.ca))
    assert mine.cert
    context.load_cert_chain(mine.cert, mine.key)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    parameters = pika.ConnectionParameters(
        "localhost",
        node.tls_port,
        VHOST,
        ExternalCredentials(),
        ssl_options=pika.SSLOptions(context, "localhost"),
        connection_attempts=1,
    )
    with pytest.raises((AMQPError, OSError)):
        pika.BlockingConnection(parameters)


@pytest.mark.parametrize("port", ["tls_port", "port"])
def test_a_connection_without_tls_is_refused(node: TlsNode, group: Settings, port: str) -> None:
    parameters = pika.ConnectionParameters(
        "localhost", getattr(node, port), VHOST, PlainCredentials(EDGE, ""), connection_attempts=1, stack_timeout=20
    )
    with pytest.raises((AMQPError, OSError)):
        pika.BlockingConnection(parameters)


@pytest.mark.parametrize("password", ["", EDGE, "guest"])
def test_a_password_in_place_of_the_certificates_name_is_refused(node: TlsNode, group: Settings, password: str) -> None:
    mine = node.certificates(EDGE)
    context = ssl.create_default_context(cafile=str(mine.ca))
    assert mine.cert
    context.load_cert_chain(mine.cert, mine.key)
    parameters = pika.ConnectionParameters(
        "localhost",
        node.tls_port,
        VHOST,
        PlainCredentials("edge.c002.t1", password),
        ssl_options=pika.SSLOptions(context, "localhost"),
        connection_attempts=1,
    )
    with pytest.raises(AMQPError):
        pika.BlockingConnection(parameters)


@pytest.mark.parametrize("user", [EDGE, CHART, VENDOR, CENTRE])
def test_another_virtual_host_is_refused(node: TlsNode, group: Settings, user: str) -> None:
    with pytest.raises(AMQPError):
        channel_as(node, node.certificates(user), "/")


@pytest.mark.parametrize("user", [EDGE, CHART, VENDOR, CENTRE, "guest"])
@pytest.mark.parametrize("password", ["", "guest"])
def test_the_management_lets_nobody_of_them_in(node: TlsNode, group: Settings, user: str, password: str) -> None:
    request = urllib.request.Request(f"{group.group.management_url if group.group else ''}/api/whoami")
    request.add_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=20)
    assert refused.value.code in {401, 403}


# What somebody planted


def test_an_audit_names_what_was_planted_and_apply_takes_away_what_is_ours(node: TlsNode, group: Settings) -> None:
    stale = {"routing_key": "*.c002.*.*.v1", "arguments": {}}
    node.api("POST", f"bindings/{VHOST}/e/onshi.events/q/edge.c001.t1", stale)
    node.api("DELETE", f"topic-permissions/{VHOST}/{EDGE}/onshi.intake")
    node.api("PUT", f"permissions/{VHOST}/{VENDOR}", {"configure": "^$", "write": "^$", "read": ".*"})
    node.api("PUT", "users/edge.c009.t1", {"password_hash": "", "tags": ""})
    node.api("PUT", "users/mallory", {"password_hash": "", "tags": "administrator"})
    node.api("PUT", f"queues/{VHOST}/mallory", {"durable": True})
    node.api("PUT", f"users/{CENTRE}", {"password": "an own one", "tags": "administrator"})
    planted = {(change.action, change.name) for change in plan(group)[1]}
    assert planted == {
        (Action.DELETE, "onshi.events edge.c001.t1 *.c002.*.*.v1"),
        (Action.CREATE, f"{EDGE} onshi.intake"),
        (Action.CHANGE, VENDOR),
        (Action.DELETE, "edge.c009.t1"),
        (Action.DELETE, "mallory"),
        (Action.CHANGE, CENTRE),
    }
    assert {change.name for change in apply(group).held} == {"mallory"}
    assert {change.name for change in plan(group)[1]} == {"mallory"}
    assert apply(group, prune=True).held == []
    assert plan(group)[1] == []


def test_an_audit_sees_a_planted_password_where_the_management_shows_no_hashes(node: TlsNode, group: Settings) -> None:
    assert group.group
    with NewerManagement(node._http_port) as newer:
        changed = group.group.model_copy(update={"management_url": newer.url})
        settings = group.model_copy(update={"group": changed})
        assert plan(settings)[1] == []
        node.api("PUT", f"users/{EDGE}", {"password": "an own one", "tags": ""})
        assert [(change.action, change.name) for change in apply(settings).made] == [(Action.CHANGE, EDGE)]
        assert plan(settings)[1] == []
    assert plan(group)[1] == []


# One command each, and nobody else notices


def say(group: Settings, *words: str) -> int:
    return main([*words, "-c", str(group.root)])


def test_a_clinic_a_terminal_and_a_vendor_come_and_go_by_one_command_each(
    node: TlsNode, group: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neighbour = channel_as(node, node.certificates(EDGE))
    neighbour.basic_consume(EDGE, lambda *_: None)
    assert say(group, "clinics", "add", "c003", "--code", "9919000037") == 0
    assert say(group, "terminals", "enrol", "c003/t1", "--out", str(tmp_path / "machine")) == 0
    machine = load(tmp_path / "machine" / "onshi.toml", {})
    broker = RabbitBroker(machine.broker.url, machine.broker.certificates)
    broker.check(build(machine.edges))
    publisher = broker.publisher()
    publisher.publish_confirmed([OutMessage("onshi.intake", "file.c003.t1.captured.v1", "m", b"x")])
    subscription = broker.subscribe("edge.c003.t1", 1)
    with pytest.raises(PermanentError):
        publisher.publish_confirmed([OutMessage("onshi.intake", "file.c001.t1.captured.v1", "m", b"x")])
    assert say(group, "vendors", "add", "gamma", "--clinic", "c003", "--out", str(tmp_path / "gamma")) == 0
    reader = Certificates(
        node.authority.certificate_file, *(tmp_path / "gamma" / f"vendor.gamma.{e}" for e in ("crt", "key"))
    )
    stream = channel_as(node, reader)
    consume_stream(stream, "vendor.gamma")
    assert say(group, "vendors", "rotate", "gamma", "--out", str(tmp_path / "next")) == 0
    with pytest.raises((AMQPError, OSError)):
        channel_as(node, reader)
    assert stream.is_open, "what is connected stays until it is revoked or ends"
    assert say(group, "vendors", "revoke", "gamma") == 0
    assert say(group, "clinics", "retire", "c003") == 2, "the vendor is still granted this clinic"
    (group.root / "vendor.gamma.toml").unlink()
    assert say(group, "provision", "apply", "--force") == 0
    subscription.close()
    with suppress(AMQPError):
        stream.connection.close()
    assert say(group, "clinics", "retire", "c003") == 0
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([OutMessage("onshi.intake", "file.c003.t1.captured.v1", "m", b"x")])
    publisher.close()
    assert say(group, "provision", "audit") == 0, capsys.readouterr()
    publish("onshi.intake", "file.c001.t1.captured.v1")(neighbour)
    assert neighbour.is_open
    neighbour.connection.close()


def test_a_queue_that_holds_messages_stays_until_it_is_forced(
    node: TlsNode, group: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(group, "clinics", "add", "c004", "--code", "9919000045") == 0
    path = group.root / "clinic.c004.toml"
    path.write_text(clinic_text("c004", "9919000045", ("t1",)))
    assert say(group, "provision", "apply") == 0
    centre = channel_as(node, node.certificates(CENTRE))
    publish("onshi.events", "delivery.c004.chart.wanted.v1", delivery_mode=2)(centre)
    centre.connection.close()
    capsys.readouterr()
    assert say(group, "clinics", "retire", "c004", "--json") == 1
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["held"]] == ["edge.c004.chart"]
    assert say(group, "provision", "apply", "--force") == 0
    assert say(group, "provision", "audit") == 0
