"""A broker whose management lets in by TLS alone: is it provisioned, are strangers on it seen, can vendors read?"""

import json
import ssl
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from joserfc.jwk import ECKey

from pipeline import authority
from pipeline.authority import Authority, Purpose
from pipeline.broker import rabbitmq_hosts
from pipeline.broker.port import BrokerAwayError, Delivery, OutMessage, Subscription
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.broker.tls import Certificates
from pipeline.cli.main import main
from pipeline.envelope import enclose, pack, write
from pipeline.provisioning.work import apply
from pipeline.settings import load
from tests.end_to_end.test_vendor_clients import NOW, Client, node_client, notice, python_client
from tests.support.authority_node import ADMIN, AuthorityNode, admin_conf, free_ports
from tests.support.eventually import eventually
from tests.support.group_broker import clinic_text
from tests.support.ports import free_port

pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("management")]
PASSWORD = "only for this broker"
PLUGINS = "[rabbitmq_management,rabbitmq_auth_mechanism_ssl,rabbitmq_shovel,rabbitmq_federation].\n"
DEMAND = "management.ssl.verify = verify_peer\nmanagement.ssl.fail_if_no_peer_cert = true\n"
TEXT = f"""\
[broker]
url = "amqps://localhost:{{port}}/onshi"
declare = false
ca_file = "ca/ca.crt"
cert_file = "ca/centre/service.centre.crt"
key_file = "ca/centre/service.centre.key"
[group]
management_url = "https://{{host}}:{{management}}"
ca_file = "{{ca}}"
admin = "{ADMIN}"
admin_password_file = "{{password}}"
edge_url = "amqps://localhost:{{port}}/onshi"
"""
CLIENT = 'admin_cert_file = "{0}.crt"\nadmin_key_file = "{0}.key"\n'


class ClosedNode(AuthorityNode):
    """A node whose management demands a certificate beside the password."""

    def _write_configuration(self, definitions: Mapping[str, Any] | None) -> None:
        super()._write_configuration(definitions)
        with (self._base / "rabbitmq.conf").open("a") as out:
            out.write(DEMAND)
        (self._base / "plugins").write_text(PLUGINS)

    def _context(self) -> ssl.SSLContext:
        context = super()._context()
        mine = self._ca.parent / "office" / "admin"
        context.load_cert_chain(mine.with_suffix(".crt"), mine.with_suffix(".key"))
        return context


class Place:
    """The directory of a group, and its broker."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.ports = free_ports()
        (root / "admin").write_text(PASSWORD)
        (root / "clinic.c001.toml").write_text(clinic_text("c001", "9919000011", ("t1",)))
        self.configure()
        assert main(["ca", "init", "--host", "localhost", "-c", str(root)]) == 0
        Authority(root / "ca").issue("admin", Purpose.CLIENT, root / "office", datetime.now(UTC))
        self.node = ClosedNode(root / "ca", *self.ports, admin_conf(PASSWORD))

    def configure(
        self,
        *,
        host: str = "localhost",
        ca: str = "ca/ca.crt",
        password: str = "admin",
        client: str | None = "office/admin",
        more: str = "",
    ) -> None:
        port, management = self.ports
        text = TEXT.format(port=port, management=management, host=host, ca=ca, password=password)
        (self.root / "onshi.toml").write_text(text + (CLIENT.format(client) if client else "") + more)

    def say(self, *words: str) -> int:
        return main([*words, "-c", str(self.root)])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    made = Place(tmp_path_factory.mktemp("management"))
    try:
        made.node.start()
        assert apply(load(made.root, {})).held == []
        yield made
    finally:
        made.node.close()


@pytest.fixture
def wrong(place: Place, tmp_path: Path) -> Iterator[Path]:
    """A folder for what must not count; the configuration is whole again afterwards."""
    now = datetime.now(UTC)
    other = authority.found(tmp_path / "other", "Onshi test group", now)
    other.issue("admin", Purpose.CLIENT, tmp_path, now)
    (tmp_path / "password").write_text("another")
    yield tmp_path
    place.configure()


def test_a_management_behind_the_private_authority_is_as_configured_after_one_apply(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert place.say("provision", "audit") == 0
    assert "as configured" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        pytest.param({"ca": "{}/other/ca.crt"}, "not signed by whom group.ca_file names", id="another authority"),
        pytest.param({"ca": "{}/none.crt"}, "none.crt: No such file", id="no such authority"),
        pytest.param({"host": "127.0.0.1"}, "for another host than the URL names", id="another host"),
        pytest.param({"client": None}, "demands a client certificate", id="no client certificate"),
        pytest.param({"client": "{}/admin"}, "demands a client certificate", id="a stranger's client certificate"),
        pytest.param({"password": "{}/password"}, "the broker answered 401", id="another password"),
        pytest.param({"password": "{}/none"}, "admin_password_file: No such file", id="no password file"),
    ],
)
def test_a_management_that_cannot_be_trusted_or_does_not_trust_us_is_named_in_a_sentence(
    place: Place, wrong: Path, capsys: pytest.CaptureFixture[str], changes: dict[str, str | None], sentence: str
) -> None:
    place.configure(**{name: value and value.format(wrong) for name, value in changes.items()})  # type: ignore[arg-type]
    assert place.say("provision", "audit") == 1
    said = capsys.readouterr()
    assert sentence in said.err
    assert PASSWORD not in said.err + said.out


RIGHTS = {"configure": ".*", "write": ".*", "read": ".*"}
SHOVEL = {"src-uri": "amqp://u:hunter2@elsewhere", "src-queue": "q", "dest-uri": "amqp://", "dest-queue": "q"}
STRANGERS: dict[str, tuple[str, dict[str, Any]]] = {
    "other vhost stranger": ("vhosts/stranger", {}),
    "user guest": ("users/guest", {"password": "guest", "tags": "administrator"}),
    "permission guest": ("permissions/onshi/guest", RIGHTS),
    "permission elsewhere edge.c001.t1 /": ("permissions/%2F/edge.c001.t1", RIGHTS),
    "permission elsewhere service.centre stranger": ("permissions/stranger/service.centre", RIGHTS),
    "operator policy drop": (
        "operator-policies/onshi/drop",
        {"pattern": ".*", "definition": {"message-ttl": 1000}, "apply-to": "queues"},
    ),
    "parameter shovel drain onshi": ("parameters/shovel/onshi/drain", {"value": SHOVEL}),
    "parameter shovel drain stranger": ("parameters/shovel/stranger/drain", {"value": SHOVEL}),
    "parameter federation-upstream away onshi": (
        "parameters/federation-upstream/onshi/away",
        {"value": {"uri": "amqp://u:hunter2@elsewhere"}},
    ),
    "topic permission edge.c001.t1 onshi.intake": (
        "topic-permissions/onshi/edge.c001.t1",
        {"exchange": "onshi.intake", "write": ".*", "read": ".*"},
    ),
    "topic permission edge.c001.t1 amq.topic": (
        "topic-permissions/onshi/edge.c001.t1",
        {"exchange": "amq.topic", "write": ".*", "read": ".*"},
    ),
    "user service.centre": ("users/service.centre", {"password": "hunter2", "tags": "administrator"}),
}


def found(place: Place, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, str | None]:
    """Run a provisioning command; what it lists, by kind and name, with why it was left."""
    capsys.readouterr()
    place.say("provision", *words, "--json")
    text = capsys.readouterr().out
    assert "hunter2" not in text
    answer = json.loads(text)
    return {f"{row['kind']} {row['name']}": row["held"] for row in (*answer["changes"], *answer["held"])}


def test_an_audit_sees_whoever_stands_on_the_broker_and_who_may_do_more_than_configured(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for path, body in STRANGERS.values():
        place.node.api("PUT", path, body)
    assert found(place, capsys, "audit").keys() == STRANGERS.keys()
    assert place.say("provision", "audit") == 1

    left = found(place, capsys, "apply")
    ours = {"user service.centre", "topic permission", "permission elsewhere"}
    made = {name for name, held in left.items() if held is None}
    assert made == {name for name in STRANGERS if any(name.startswith(each) for each in ours)}
    assert found(place, capsys, "audit").keys() == STRANGERS.keys() - made

    found(place, capsys, "apply", "--prune")
    only_shown = {"other vhost stranger", "parameter shovel drain stranger"}
    assert set(found(place, capsys, "audit")) == only_shown
    assert json.loads(place.node.api("GET", "vhosts/stranger"))["name"] == "stranger"

    assert place.say("provision", "apply") == 0, "no option of it would change what is only shown"

    place.configure(more='other_vhosts = ["/", "stranger"]\n')
    assert set(found(place, capsys, "audit")) == {"parameter shovel drain stranger"}
    place.configure()
    place.node.api("DELETE", f"vhosts/{quote('stranger', safe='')}")
    assert place.say("provision", "audit") == 0


def test_a_renewed_certificate_counts_for_the_next_connection_of_a_role_that_runs(place: Place, tmp_path: Path) -> None:
    ca, now = Authority(place.root / "ca"), datetime.now(UTC)
    pair = Certificates(ca.certificate_file, tmp_path / "service.centre.crt", tmp_path / "service.centre.key")
    ca.issue("service.centre", Purpose.CLIENT, tmp_path, now - timedelta(days=2), age=timedelta(days=1))
    broker = RabbitBroker(f"amqps://localhost:{place.ports[0]}/onshi", pair)
    publisher = broker.publisher()
    message = OutMessage("onshi.events", "file.c001.t1.stored.v1", "m", b"x")
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([message])
    (tmp_path / "service.centre.crt").unlink()
    with pytest.raises(BrokerAwayError, match=r"service\.centre\.crt"):
        publisher.publish_confirmed([message])
    ca.issue("service.centre", Purpose.CLIENT, tmp_path, now)
    publisher.publish_confirmed([message])
    publisher.close()
    broker.subscribe("parsing", 1).close()


def took(reader: Subscription) -> list[Delivery]:
    deliveries = reader.receive(10, timedelta(seconds=1))
    reader.ack(deliveries)
    return deliveries


def test_nodes_of_several_that_are_away_or_not_ours_are_passed_over_with_tls_and_a_certificate_too(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In the order written; else chance alone would say whether anybody was passed over.
    monkeypatch.setattr(rabbitmq_hosts._DICE, "shuffle", lambda _numbers: None)
    ca, port = place.root / "ca", place.ports[0]
    pair = Certificates(ca / "ca.crt", *(ca / "centre" / f"service.centre.{end}" for end in ("crt", "key")))
    dead, nameless, real = f"localhost:{free_port()}", f"127.0.0.1:{port}", f"localhost:{port}"
    message = OutMessage("onshi.events", "file.c001.t1.reparse.v1", "m", b"x")

    def publish(*nodes: str) -> None:
        publisher = RabbitBroker(f"amqps://{','.join(nodes)}/onshi", pair).publisher()
        try:
            publisher.publish_confirmed([message])
        finally:
            publisher.close()

    publish(dead, real)
    publish(dead, nameless, real)
    # Its certificate names another host: each node is held against its own name, not the first one's.
    with pytest.raises(BrokerAwayError):
        publish(dead, nameless)

    broker = RabbitBroker(f"amqps://{dead},{real}/onshi", pair)
    eventually(lambda: broker.depth("parsing") == 2, what="both messages in the queue")
    reader, read = broker.subscribe("parsing", 10), list[str]()
    eventually(lambda: read.extend(each.message_id for each in took(reader)) or len(read) == 2, what="both read")
    reader.close()


COUNT = 20


@pytest.mark.parametrize("command", [python_client, node_client], ids=["python", "node"])
def test_an_enrolled_vendor_reads_its_stream_by_tls_with_the_clients_of_the_guide(
    place: Place, tmp_path: Path, request: pytest.FixtureRequest, command: Any
) -> None:
    vendor = f"acme-{request.node.callspec.id}"
    enrolled, ca = tmp_path / "enrolled", place.root / "ca"
    assert place.say("vendors", "add", vendor, "--clinic", "c001", "--out", str(enrolled)) == 0
    key = ECKey.generate_key("P-256")
    (tmp_path / "public.jwk").write_text(json.dumps(key.as_dict(private=False)))
    (tmp_path / "private.jwk").write_text(json.dumps(key.as_dict(private=True)))
    url = f"amqps://localhost:{place.ports[0]}/onshi"
    pair = {f"--{option}": enrolled / f"vendor.{vendor}.{end}" for option, end in (("cert", "crt"), ("key", "key"))}
    client = Client(
        command(), url, tmp_path, tmp_path / "private.jwk", vendor=vendor, tls={"--ca": ca / "ca.crt", **pair}
    )
    centre = Certificates(ca / "ca.crt", *(ca / "centre" / f"service.centre.{end}" for end in ("crt", "key")))
    publisher = RabbitBroker(url, centre).publisher()
    wanted = [notice(number, tmp_path / "public.jwk", vendor) for number in range(COUNT)]
    client.start()
    try:
        publisher.publish_confirmed(pack(write(enclose(each, NOW)) for each in wanted))
        eventually(lambda: len(client.entries()) == COUNT, 90, "every event read")
    finally:
        client.kill()
        publisher.close()
    assert [entry["event"]["event_id"] for entry in client.entries()] == [each.id for each in wanted]
    assert client.log().count("record of 1 fields") == COUNT
