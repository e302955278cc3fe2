"""A broker's URL may name several nodes: which are they, and which is tried when?"""

from collections import Counter
from pathlib import Path

import pytest
from pika import URLParameters

from pipeline.broker import BrokerAwayError, TopologyError, rabbitmq_hosts
from pipeline.broker.addresses import each_url
from pipeline.broker.open import open_broker
from pipeline.broker.rabbitmq_hosts import Hosts
from pipeline.broker.tls import Certificates
from pipeline.broker_settings import BrokerSettings
from pipeline.cli.init import configuration
from pipeline.errors import PermanentError
from pipeline.settings import SettingsError, load

URLS = [
    ("amqp://h", ["amqp://h"]),
    ("amqp:///v", ["amqp:///v"]),
    ("amqp://u:p@h1:1,h2/v", ["amqp://u:p@h1:1/v", "amqp://u:p@h2/v"]),
    ("amqps://h1:1,h2:2/v?heartbeat=5", ["amqps://h1:1/v?heartbeat=5", "amqps://h2:2/v?heartbeat=5"]),
    ("amqp://u,1:p,2%40@h1,h2/%2F", ["amqp://u,1:p,2%40@h1/%2F", "amqp://u,1:p,2%40@h2/%2F"]),
    ("amqp://u:p@x@h1,h2", ["amqp://u:p@x@h1", "amqp://u:p@x@h2"]),
    ("amqp://[::1]:1,[::2]/v", ["amqp://[::1]:1/v", "amqp://[::2]/v"]),
    ("amqp://h1,h2/a,b", ["amqp://h1/a,b", "amqp://h2/a,b"]),
]


@pytest.mark.parametrize(("url", "each"), URLS)
def test_a_url_names_its_nodes_which_share_the_rest(url: str, each: list[str]) -> None:
    assert list(each_url(url)) == each


@pytest.mark.parametrize("scheme", ["AMQPS", "Amqps"])
def test_a_scheme_in_capitals_is_the_same_scheme(tmp_path: Path, scheme: str) -> None:
    text = configuration(broker=f"{scheme}://B1:5671,b2/Onshi")
    (tmp_path / "onshi.toml").write_text(f'{text}\n[group]\nedge_url = "{scheme}://Host/V"\n', encoding="utf-8")
    settings = load(tmp_path / "onshi.toml", {})
    assert settings.broker.url == "amqps://B1:5671,b2/Onshi"
    assert settings.group
    assert settings.group.edge_url == "amqps://Host/V"
    assert repr(open_broker(f"{scheme}://B1:5671/v", tmp_path)) == "RabbitBroker(b1:5671)"


def test_certificates_stand_beside_a_scheme_in_capitals() -> None:
    assert BrokerSettings(url="AMQPS://h/v", ca_file=Path("ca.crt")).url == "amqps://h/v"


WRONG = [
    "amqp://u:canary@h1,/v",
    "amqp://u:canary@,h2",
    "amqp://u:canary@h1:x,h2",
    "amqp://u:canary@h1,:5672",
    "canary",
]


@pytest.mark.parametrize("url", WRONG)
def test_a_url_that_cannot_be_meant_is_refused_and_not_shown(url: str, tmp_path: Path) -> None:
    (tmp_path / "onshi.toml").write_text(configuration(broker=url), encoding="utf-8")
    with pytest.raises(SettingsError, match=r"broker\.url") as refused:
        load(tmp_path / "onshi.toml", {})
    assert "canary" not in str(refused.value)
    with pytest.raises(PermanentError) as refused_too:
        open_broker(url, tmp_path)
    assert "canary" not in str(refused_too.value)


def test_a_configuration_may_name_several_nodes(tmp_path: Path) -> None:
    url = "amqp://u:canary@b1:5672,b2:5673,b3/onshi"
    (tmp_path / "onshi.toml").write_text(configuration(broker=url), encoding="utf-8")
    settings = load(tmp_path / "onshi.toml", {})
    broker = open_broker(settings.broker.url, tmp_path)
    assert repr(broker) == "RabbitBroker(b1:5672,b2:5673,b3:5672)"
    assert "canary" not in repr(settings) + repr(broker)


def test_each_node_is_held_against_its_own_name(tmp_path: Path) -> None:
    broker = open_broker("amqps://b1,b2:5673/onshi", tmp_path, Certificates())
    hosts: Hosts = vars(broker)["_hosts"]
    assert [(h.host, h.port, h.ssl_options.server_hostname) for h in hosts._hosts] == [
        ("b1", 5671, "b1"),
        ("b2", 5673, "b2"),
    ]


class Nodes:
    """Nodes of a cluster, some of them away; `tried` is who was asked, in order."""

    def __init__(self, *names: str) -> None:
        self.hosts = Hosts([URLParameters(f"amqp://{name}") for name in names])
        self.away: set[str] = set()
        self.tried: list[str] = []

    def open(self, host: URLParameters, seconds: float) -> str:
        self.tried.append(host.host)
        if host.host in self.away:
            raise BrokerAwayError(f"{host.host} is away")
        return str(host.host)

    def opened(self) -> str:
        return self.hosts.first(self.open)


def test_connections_are_dealt_out_among_the_nodes() -> None:
    nodes = Nodes("b1", "b2", "b3")
    assert set(Counter(nodes.opened() for _ in range(100))) == {"b1", "b2", "b3"}


def test_a_node_that_is_away_is_passed_over_and_then_tried_last() -> None:
    nodes = Nodes("b1", "b2", "b3")
    nodes.away = {"b1"}
    assert {nodes.opened() for _ in range(100)} == {"b2", "b3"}
    assert nodes.tried.count("b1") == 1
    nodes.away = {"b2", "b3"}
    assert nodes.opened() == "b1"


def test_after_a_while_a_node_is_tried_like_any_other_again(monkeypatch: pytest.MonkeyPatch) -> None:
    nodes = Nodes("b1", "b2")
    nodes.away = {"b1"}
    assert {nodes.opened() for _ in range(50)} == {"b2"}
    nodes.away = set()
    monkeypatch.setattr(rabbitmq_hosts, "AWAY_SECONDS", 0.0)
    assert {nodes.opened() for _ in range(100)} == {"b1", "b2"}


def test_when_every_node_is_away_so_is_the_broker_and_each_was_tried() -> None:
    nodes = Nodes("b1", "b2", "b3")
    nodes.away = {"b1", "b2", "b3"}
    for _ in range(2):
        with pytest.raises(BrokerAwayError):
            nodes.opened()
        assert sorted(nodes.tried) == ["b1", "b2", "b3"]
        nodes.tried.clear()


def test_nobody_is_tried_any_more_when_the_time_is_over() -> None:
    nodes = Nodes("b1", "b2", "b3")
    nodes.away = {"b1", "b2", "b3"}
    with pytest.raises(BrokerAwayError):
        nodes.hosts.first(nodes.open, 0)
    assert len(nodes.tried) == 1


def test_a_queue_that_is_missing_on_one_node_is_not_looked_for_on_the_next() -> None:
    nodes = Nodes("b1", "b2")

    def missing(host: URLParameters, seconds: float) -> str:
        nodes.open(host, seconds)
        raise TopologyError("no queue")

    with pytest.raises(TopologyError):
        nodes.hosts.first(missing)
    assert len(nodes.tried) == 1
