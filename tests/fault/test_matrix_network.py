"""The line to the broker is cut, reset, slow, or dead without a word."""

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest

from tests.support.proxy import Proxy
from tests.support.scenario import scenario

pytestmark = [pytest.mark.soak, pytest.mark.rabbitmq, pytest.mark.timeout(280)]


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


@pytest.mark.soak
@pytest.mark.parametrize("fault", [Proxy.half_open, Proxy.blackhole], ids=["half open", "black hole"])
def test_a_line_that_died_without_a_word_is_noticed_by_the_heartbeat(
    tmp_path: Path, url: str, proxy: Proxy, fault: Callable[[Proxy], None]
) -> None:
    with scenario(f"line {fault.__name__}", tmp_path, broker=url) as run:
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
        run.finish(200)
