"""What `provision` changes on a living broker: what somebody planted goes, what comes and goes disturbs nobody."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError

from pipeline.broker import BrokerAwayError, OutMessage
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.broker.tls import Certificates
from pipeline.cli.main import main
from pipeline.errors import PermanentError
from pipeline.provisioning.difference import Action
from pipeline.provisioning.work import apply, plan
from pipeline.settings import Settings, load
from pipeline.topology import build
from tests.support.doors import channel_as
from tests.support.eventually import eventually
from tests.support.group_broker import VHOST, TlsNode, clinic_text
from tests.support.intruder import CENTRE, EDGE, VENDOR, consume_stream, publish
from tests.support.newer_management import NewerManagement

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.xdist_group("hostile"),
    # A handshake that fails leaves pika's socket to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


def test_an_audit_names_what_was_planted_and_apply_takes_away_what_is_ours(tls_node: TlsNode, group: Settings) -> None:
    stale = {"routing_key": "*.c002.*.*.v1", "arguments": {}}
    tls_node.api("POST", f"bindings/{VHOST}/e/onshi.events/q/edge.c001.t1", stale)
    tls_node.api("DELETE", f"topic-permissions/{VHOST}/{EDGE}/onshi.intake")
    tls_node.api("PUT", f"permissions/{VHOST}/{VENDOR}", {"configure": "^$", "write": "^$", "read": ".*"})
    tls_node.api("PUT", "users/edge.c009.t1", {"password_hash": "", "tags": ""})
    tls_node.api("PUT", "users/mallory", {"password_hash": "", "tags": "administrator"})
    tls_node.api("PUT", f"queues/{VHOST}/mallory", {"durable": True})
    tls_node.api("PUT", f"users/{CENTRE}", {"password": "an own one", "tags": "administrator"})
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


def test_an_audit_sees_a_planted_password_where_the_management_shows_no_hashes(
    tls_node: TlsNode, group: Settings
) -> None:
    assert group.group
    with NewerManagement(tls_node._http_port) as newer:
        changed = group.group.model_copy(update={"management_url": newer.url})
        settings = group.model_copy(update={"group": changed})
        assert plan(settings)[1] == []
        tls_node.api("PUT", f"users/{EDGE}", {"password": "an own one", "tags": ""})
        assert [(change.action, change.name) for change in apply(settings).made] == [(Action.CHANGE, EDGE)]
        assert plan(settings)[1] == []
    assert plan(group)[1] == []


def say(group: Settings, *words: str) -> int:
    return main([*words, "-c", str(group.root)])


def test_a_clinic_a_terminal_and_a_vendor_come_and_go_by_one_command_each(
    tls_node: TlsNode, group: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    neighbour = channel_as(tls_node, tls_node.certificates(EDGE))
    neighbour.basic_consume(EDGE, lambda *_: None)
    assert say(group, "clinics", "add", "c003", "--code", "9919000037") == 0
    assert say(group, "terminals", "enrol", "c003/t1", "--out", str(tmp_path / "machine")) == 0
    machine = load(tmp_path / "machine" / "onshi.toml", {})
    assert not machine.edge.state.exists()
    broker = RabbitBroker(machine.broker.url, machine.broker.certificates)
    broker.check(build(machine.edges))
    publisher = broker.publisher()
    publisher.publish_confirmed([OutMessage("onshi.intake", "file.c003.t1.captured.v1", "m", b"x")])
    subscription = broker.subscribe("edge.c003.t1", 1)
    with pytest.raises(PermanentError):
        publisher.publish_confirmed([OutMessage("onshi.intake", "file.c001.t1.captured.v1", "m", b"x")])
    assert say(group, "terminals", "enrol", "c003/t1", "--again", "--out", str(tmp_path / "another")) == 0
    assert [path.name for path in (tmp_path / "another" / "state").iterdir()] == ["c003.t1.db.lock"]
    assert say(group, "vendors", "add", "gamma", "--clinic", "c003", "--out", str(tmp_path / "gamma")) == 0
    reader = Certificates(
        tls_node.authority.certificate_file, *(tmp_path / "gamma" / f"vendor.gamma.{e}" for e in ("crt", "key"))
    )
    stream = channel_as(tls_node, reader)
    consume_stream(stream, "vendor.gamma")
    assert say(group, "vendors", "rotate", "gamma", "--out", str(tmp_path / "next")) == 0
    with pytest.raises((AMQPError, OSError)):
        channel_as(tls_node, reader)
    assert stream.is_open, "the list of what was revoked is read at a handshake"
    capsys.readouterr()
    assert say(group, "ca", "disconnect", "vendor.gamma") == 0
    assert "open connections of vendor.gamma ended: 1" in capsys.readouterr().out
    eventually(lambda: is_closed(stream), what="the former certificate's connection ended")
    assert say(group, "vendors", "revoke", "gamma") == 0
    assert say(group, "clinics", "retire", "c003") == 2, "the vendor is still granted this clinic"
    (group.root / "vendor.gamma.toml").unlink()
    assert say(group, "provision", "apply", "--force") == 0
    subscription.close()
    with suppress(AMQPError):
        stream.connection.close()
    assert say(group, "clinics", "retire", "c003") == 0
    assert say(group, "clinics", "add", "c003", "--code", "9919000060") == 2, "the id is another clinic's for ever"
    with pytest.raises(BrokerAwayError):
        publisher.publish_confirmed([OutMessage("onshi.intake", "file.c003.t1.captured.v1", "m", b"x")])
    publisher.close()
    assert say(group, "provision", "audit") == 0, capsys.readouterr()
    publish("onshi.intake", "file.c001.t1.captured.v1")(neighbour)
    assert neighbour.is_open
    neighbour.connection.close()


def is_closed(channel: BlockingChannel) -> bool:
    with suppress(AMQPError):
        channel.connection.process_data_events()
    return not channel.is_open


def test_a_queue_that_holds_messages_stays_until_it_is_forced(
    tls_node: TlsNode, group: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    assert say(group, "clinics", "add", "c004", "--code", "9919000045") == 0
    path = group.root / "clinic.c004.toml"
    path.write_text(clinic_text("c004", "9919000045", ("t1",)))
    assert say(group, "provision", "apply") == 0
    centre = channel_as(tls_node, tls_node.certificates(CENTRE))
    publish("onshi.events", "delivery.c004.chart.wanted.v1", delivery_mode=2)(centre)
    centre.connection.close()
    capsys.readouterr()
    assert say(group, "clinics", "retire", "c004", "--json") == 1
    assert [row["name"] for row in json.loads(capsys.readouterr().out)["held"]] == ["edge.c004.chart"]
    assert say(group, "provision", "apply", "--force") == 0
    assert say(group, "provision", "audit") == 0
