"""Nobody gets what is another's: every way that is known, tried on a real broker made by `provision apply`."""

from collections.abc import Iterator
from contextlib import suppress

import pytest
from pika.exceptions import ChannelClosedByBroker

from pipeline.settings import Settings
from tests.support.doors import channel_as
from tests.support.group_broker import TlsNode
from tests.support.intruder import ATTEMPTS, CENTRE, CHART, EDGE, VENDOR, Attempt, Intruder, consume_stream, publish

pytestmark = [
    pytest.mark.rabbitmq,
    pytest.mark.xdist_group("hostile"),
    # A handshake that fails leaves pika's socket to the collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(scope="module")
def intruder(tls_node: TlsNode, group: Settings) -> Iterator[Intruder]:
    intruder = Intruder(tls_node)
    yield intruder
    intruder.close()


@pytest.mark.parametrize(("user", "attempt"), ATTEMPTS.values(), ids=ATTEMPTS)
def test_the_broker_refuses(intruder: Intruder, user: str, attempt: Attempt) -> None:
    assert intruder.is_refused(user, attempt)


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
def test_what_is_allowed_works(tls_node: TlsNode, group: Settings, user: str, attempt: Attempt) -> None:
    channel = channel_as(tls_node, tls_node.certificates(user))
    attempt(channel)
    assert channel.is_open
    channel.connection.close()


def test_a_passive_question_tells_that_a_queue_is_there_and_how_many_wait_but_nothing_of_them(
    tls_node: TlsNode, group: Settings
) -> None:
    # Before 4.2.6 RabbitMQ asks for no right here: said in `docs/decisions/0010`, and this is all it tells.
    channel = channel_as(tls_node, tls_node.certificates(EDGE))
    with suppress(ChannelClosedByBroker):
        answer = channel.queue_declare("edge.c002.t1", passive=True).method
        assert vars(answer) == {
            "queue": "edge.c002.t1",
            "message_count": 0,
            "consumer_count": 0,
        }
    channel.connection.close()


def test_a_copy_to_another_key_still_carries_the_senders_own(tls_node: TlsNode, group: Settings) -> None:
    # 3.10 holds only the first key against the rights; a consumer reads that first key too, and believes no other.
    edge, centre = (channel_as(tls_node, tls_node.certificates(user)) for user in (EDGE, CENTRE))
    centre.queue_purge("forwarding")
    with suppress(ChannelClosedByBroker):
        publish("onshi.intake", "file.c001.t1.captured.v1", headers={"CC": ["delivery.c002.chart.done.v1"]})(edge)
    method, _, _ = centre.basic_get("forwarding", auto_ack=True)
    assert method is None or method.routing_key == "file.c001.t1.captured.v1"
    edge.connection.close()
    centre.connection.close()
