"""A broker that asks for a right before it says whether something is there (RabbitMQ 4.2.6 on) disturbs nobody.

The broker is a real one of today, and the user has no `configure`; only the refusal is put between them.
"""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline.broker import NotAllowedError, TopologyError
from pipeline.broker.look import depths
from pipeline.broker.rabbitmq import RabbitBroker
from pipeline.cli import check, roles, verify
from pipeline.cli.init import configuration, make
from pipeline.cli.roles import Assembly
from pipeline.settings import Settings
from pipeline.topology import QueueSpec, Reader, StreamSpec, Topology, build, orders_queue
from tests.broker.builders import TOPOLOGY, drain, ids, messages, publish
from tests.support.eventually import eventually
from tests.support.rabbit import RabbitNode
from tests.support.rights_proxy import RightsProxy

pytestmark = pytest.mark.rabbitmq

EXCHANGES = [spec.name for spec in TOPOLOGY.exchanges]
PLAIN = "no-configure"


@pytest.fixture
def user(rabbit_node: RabbitNode, rabbit_vhost: str) -> Iterator[str]:
    """Somebody who may publish and read everything, and make nothing."""
    rabbit_node.api("PUT", f"users/{PLAIN}", {"password": PLAIN, "tags": ""})
    rights = {"configure": "^$", "write": ".*", "read": ".*"}
    rabbit_node.api("PUT", f"permissions/{rabbit_vhost}/{PLAIN}", rights)
    yield PLAIN
    rabbit_node.api("DELETE", f"users/{PLAIN}")


@pytest.fixture
def proxy(rabbit_node: RabbitNode) -> Iterator[RightsProxy]:
    with RightsProxy(rabbit_node.port) as made:
        yield made


@pytest.fixture
def declared(rabbit_url: str) -> RabbitBroker:
    broker = RabbitBroker(rabbit_url)
    broker.declare(TOPOLOGY)
    return broker


@pytest.fixture
def url(proxy: RightsProxy, user: str, rabbit_vhost: str) -> str:
    return f"amqp://{user}:{user}@127.0.0.1:{proxy.port}/{rabbit_vhost}"


def test_who_may_not_ask_is_told_nothing_and_asks_no_more(url: str, proxy: RightsProxy) -> None:
    broker = RabbitBroker(url)
    assert [broker.check(TOPOLOGY) for _ in range(3)] == [False] * 3
    assert proxy.asked == EXCHANGES[:1]


def test_what_is_missing_is_named_to_who_may_ask_for_it(declared: RabbitBroker, url: str, proxy: RightsProxy) -> None:
    proxy.allowed = {*EXCHANGES, "work", "missing"}
    broker = RabbitBroker(url)
    with pytest.raises(TopologyError, match="no queue 'missing'"):
        broker.check(replace(TOPOLOGY, queues=(QueueSpec("work"), QueueSpec("missing"), QueueSpec("other"))))
    assert not broker.check(TOPOLOGY)
    assert proxy.asked[-2:] == ["work", "other"]


def test_a_queue_that_may_not_be_asked_for_is_neither_empty_nor_missing(
    declared: RabbitBroker, url: str, proxy: RightsProxy, tmp_path: Path
) -> None:
    proxy.allowed = {"work", "missing"}
    publish(declared, messages(2))
    with pytest.raises(NotAllowedError, match="other: this user may not ask for it"):
        RabbitBroker(url).depth("other")
    proxy.asked.clear()
    asked = ["work", "missing", "other", "lost"]
    assert depths(url, tmp_path, asked) == {"work": 2, "other": None, "lost": None}
    assert proxy.asked == asked[:3]


def test_whoever_publishes_consumes_and_reads_a_stream_asks_nothing(
    declared: RabbitBroker, url: str, proxy: RightsProxy
) -> None:
    declared.declare(Topology((), (), streams=(StreamSpec("stream", timedelta(days=1)),)))
    broker = RabbitBroker(url)
    publish(broker, messages(2))
    assert ids(drain(broker, "work", 2)) == ["m0", "m1"]
    broker.read_stream("stream", "first", 1).close()
    with pytest.raises(TopologyError):
        broker.subscribe("missing", 1)
    assert proxy.asked == []


def test_who_may_not_declare_a_stream_is_not_told_that_it_stands(url: str) -> None:
    with pytest.raises(TopologyError, match=r"vendor\.acme: the broker answered 403"):
        RabbitBroker(url).declare(build((), [Reader("acme", timedelta(days=7))]))


@pytest.fixture
def settings(tmp_path: Path, url: str) -> Settings:
    """A machine whose broker is provisioned by somebody else."""
    made = make(tmp_path / "site", configuration())
    return made.model_copy(update={"broker": made.broker.model_copy(update={"url": url, "declare": False})})


def test_a_role_that_may_not_ask_for_the_topology_complains_of_nothing(
    settings: Settings, proxy: RightsProxy, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("DECLARE_EVERY_SECONDS", "MISSED_EVERY_SECONDS", "FIRST_PAUSE_SECONDS"):
        monkeypatch.setattr(roles, name, 0.01)
    assembly = Assembly(settings, [])
    ask, looks = assembly._broker.check, list[Topology]()

    def look(topology: Topology) -> None:
        ask(topology)
        looks.append(topology)

    monkeypatch.setattr(assembly._broker, "check", look)
    stop = threading.Event()
    (part,) = assembly.parts()
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    try:
        with caplog.at_level(logging.INFO):
            eventually(lambda: len(looks) >= 3, what="three looks at the topology")
    finally:
        stop.set()
        thread.join()
        assembly.close()
    assert len(proxy.asked) == 1
    assert [record for record in caplog.records if record.levelno > logging.INFO] == []


def test_check_says_what_it_could_not_learn_and_finds_no_fault_in_it(settings: Settings, proxy: RightsProxy) -> None:
    unknown: list[str] = []
    assert list(check._broker(settings, unknown)) == []
    assert unknown == [check.UNASKED]
    assert proxy.asked == ["onshi.intake"]


def test_check_still_names_a_missing_queue_of_ours_where_any_right_is_enough(
    settings: Settings, proxy: RightsProxy, rabbit_url: str
) -> None:
    orders = [orders_queue(edge) for edge in settings.edges]
    proxy.allowed = {"onshi.intake", *orders}
    standing = build(settings.edges)
    RabbitBroker(rabbit_url).declare(Topology(standing.exchanges, ()))
    unknown: list[str] = []
    (fault,) = check._broker(settings, unknown)
    assert f"no queue '{orders[0]}'" in fault
    assert unknown == []
    RabbitBroker(rabbit_url).declare(Topology((), tuple(spec for spec in standing.queues if spec.name in orders)))
    assert list(check._broker(settings, unknown)) == unknown == []


def test_verify_says_what_it_could_not_look_at_and_finds_nothing_broken(settings: Settings, proxy: RightsProxy) -> None:
    found = list(verify._broker(settings))
    assert [finding.broken for finding in found] == [(), ()]
    assert not any(finding.applicable for finding in found)
    assert all("tells us nothing of" in (finding.note or "") for finding in found)
    assert proxy.asked == [orders_queue(settings.edges[0])], "first what we have a right to"
