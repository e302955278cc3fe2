"""The line to the broker is cut, reset, slow, or dead without a word."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support.eventually import eventually
from tests.support.proxy import Proxy
from tests.support.scenario import Scenario, scenario

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(600)]
SHORT = "?heartbeat=2"
PAST_SHORT_HEARTBEAT_SECONDS = 7


@pytest.fixture
def proxy(rabbit_url: str) -> Iterator[Proxy]:
    port = urlsplit(rabbit_url).port
    assert port
    with Proxy(port) as made:
        yield made


@pytest.fixture
def url(rabbit_url: str, proxy: Proxy) -> str:
    parts = urlsplit(rabbit_url)
    return urlunsplit(parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{proxy.port}"))


@pytest.mark.takes(25)
@pytest.mark.parametrize("fault", [Proxy.cut, pytest.param(Proxy.reset, marks=pytest.mark.soak)], ids=["cut", "reset"])
def test_a_line_that_breaks_five_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, url: str, proxy: Proxy, fault: Callable[[Proxy], None]
) -> None:
    with scenario(f"line {fault.__name__} 5 times", tmp_path, broker=url) as run:
        run.arrive(150)
        run.made.start()
        for number in range(5):
            run.taken(50 * number + run.dice.randrange(40))
            fault(proxy)
            run.fault()
        run.healed()
        run.finish()


@pytest.mark.soak
@pytest.mark.takes(25)
def test_a_line_that_is_gone_for_a_while_makes_everybody_wait(tmp_path: Path, url: str, proxy: Proxy) -> None:
    with scenario("line gone", tmp_path, broker=url) as run:
        run.arrive(40)
        run.made.start()
        run.taken(20)
        proxy.cut(refuse=True)
        run.fault()
        run.arrive(40)
        run.spooled(40)
        proxy.restore()
        run.healed()
        run.finish()


@pytest.mark.soak
@pytest.mark.takes(30)
def test_a_slow_line_delays_and_loses_nothing(tmp_path: Path, url: str, proxy: Proxy) -> None:
    with scenario("slow line", tmp_path, broker=url) as run:
        proxy.slow(0.05)
        run.fault()
        run.arrive(40)
        run.made.start()
        run.taken(20, 150)
        proxy.restore()
        run.healed()
        run.finish()


def died_without_a_word(run: Scenario, proxy: Proxy, fault: Callable[[Proxy], None]) -> None:
    run.arrive(40)
    run.made.start()
    run.taken(30)
    before = proxy.lines
    fault(proxy)
    run.fault()
    run.arrive(40)
    run.spooled(40)
    if fault is Proxy.blackhole:
        run.said("BrokerAwayError", 4, 150)
    proxy.restore()
    run.healed()
    assert before > 0
    run.finish(300)


@pytest.mark.takes(25)
def test_a_line_that_died_without_a_word_is_noticed_by_a_short_heartbeat(
    tmp_path: Path, url: str, proxy: Proxy
) -> None:
    with scenario("line half open", tmp_path, broker=url + SHORT) as run:
        died_without_a_word(run, proxy, Proxy.half_open)


@pytest.mark.soak
@pytest.mark.takes(100)
@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("line half open, the configured heartbeat", Proxy.half_open),
        ("line into a black hole", Proxy.blackhole),
    ],
)
def test_a_line_that_died_without_a_word_is_noticed_by_the_heartbeat(
    tmp_path: Path, url: str, proxy: Proxy, name: str, fault: Callable[[Proxy], None]
) -> None:
    with scenario(name, tmp_path, broker=url) as run:
        died_without_a_word(run, proxy, fault)


@pytest.mark.soak
@pytest.mark.takes(40)
def test_a_chart_whose_receipts_are_lost_after_it_applied_has_everything_once(
    tmp_path: Path, rabbit_url: str, url: str, proxy: Proxy
) -> None:
    with scenario("chart answers after applying", tmp_path, broker=rabbit_url) as run:
        run.made.start("chart", ONSHI_BROKER_URL=url + SHORT)
        for role in ("terminal", "parsing", "reconciliation", "consent", "forwarding", "deletion"):
            run.made.start(role)
        for _ in range(3):
            had = sum(run.taker.taken.values())
            run.arrive(30)
            # What it has in hand is applied when the line dies; neither its receipts nor its settling leave.
            run.taken(had + 1)
            proxy.blackhole()
            until = time.monotonic() + PAST_SHORT_HEARTBEAT_SECONDS
            run.fault()
            eventually(lambda until=until: time.monotonic() > until, 150)
            proxy.restore()
        run.healed()
        run.finish()
