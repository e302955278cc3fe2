"""The broker dies, is away, blocks, or comes back empty: nothing is lost and nothing comes twice."""

import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pipeline.topology import UNROUTED_QUEUE
from tests.support.eventually import eventually
from tests.support.rabbit import RabbitNode
from tests.support.scenario import Scenario, scenario
from tests.support.site import names

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(600)]
SOON = {"ONSHI_CENTRE_REPUBLISH_SECONDS": "10"}
"""What nobody answered is said again after this, instead of after a quarter of an hour."""


def kill_again_and_again(run: Scenario, node: RabbitNode, kills: int, files: int) -> None:
    run.made.environment |= SOON
    run.killed_under_load(node, kills, files)


@pytest.mark.takes(30)
def test_a_broker_killed_three_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str
) -> None:
    with scenario("broker killed 3 times", tmp_path, broker=rabbit_url) as run:
        kill_again_and_again(run, rabbit_node, 3, 120)


@pytest.mark.soak
@pytest.mark.takes(300)
@pytest.mark.timeout(1200)
def test_a_broker_killed_twenty_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str
) -> None:
    with scenario("broker killed 20 times", tmp_path, pool=2000, broker=rabbit_url) as run:
        kill_again_and_again(run, rabbit_node, 20, 2000)


def away(run: Scenario, node: RabbitNode, seconds: float) -> None:
    run.made.start()
    run.arrive(10)
    run.taken(20)
    node.kill()
    until = time.monotonic() + seconds
    run.fault()
    try:
        for count in (20, 40, 60):
            run.arrive(20)
            run.spooled(count)
        # The length of the absence is the fault itself here; nothing shows from outside how often was tried.
        eventually(lambda: time.monotonic() > until, seconds + 60)
        assert len(names([run.made.face])) >= 60, "nothing was erased that nobody else has"
    finally:
        node.start()
    run.healed()
    run.finish()
    listed = [row["times"] for row in run.made.ask("files", "list", "--limit", "1000")]
    by_age = sorted(listed, key=lambda times: (times["captured"], times["stored"]))
    stored = [times["stored"] for times in by_age]
    assert stored == sorted(stored)


@pytest.mark.soak
@pytest.mark.takes(30)
def test_while_the_broker_is_away_the_terminal_spools_and_afterwards_the_oldest_comes_first(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str
) -> None:
    with scenario("broker away", tmp_path, broker=rabbit_url) as run:
        away(run, rabbit_node, 0)


@pytest.mark.soak
@pytest.mark.takes(150)
@pytest.mark.timeout(600)
def test_a_broker_that_is_away_for_minutes_finds_everybody_waiting(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str
) -> None:
    with scenario("broker away for long", tmp_path, broker=rabbit_url) as run:
        away(run, rabbit_node, 120)


@pytest.mark.soak
@pytest.mark.takes(30)
@pytest.mark.parametrize("kind", ["disk", "memory"])
def test_a_broker_that_blocks_publishers_holds_files_back_and_drops_none(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str, kind: str
) -> None:
    alarm = {"disk": ("set_disk_free_limit", "500GB"), "memory": ("set_vm_memory_high_watermark", "absolute", "1MB")}
    calm = {"disk": ("set_disk_free_limit", "50MB"), "memory": ("set_vm_memory_high_watermark", "absolute", "2GB")}
    with scenario(f"{kind} alarm", tmp_path, broker=rabbit_url) as run:
        run.made.start()
        run.arrive(20)
        run.taken(40)
        rabbit_node.control(*alarm[kind])
        run.fault()
        try:
            run.arrive(40)
            run.spooled(40)
            assert len(names([run.made.face])) >= 40
        finally:
            rabbit_node.control(*calm[kind])
        run.healed()
        run.finish()


@pytest.mark.takes(40)
def test_a_broker_that_comes_back_empty_is_declared_anew_and_filled_from_spool_and_store(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_url: str
) -> None:
    vhost = urlsplit(rabbit_url).path.removeprefix("/")
    with scenario("broker wiped", tmp_path, pool=120, broker=rabbit_url) as run:
        run.made.environment |= SOON
        # Stopped in the middle, so that something of every kind lies in the queues when they are lost.
        run.arrive(100)
        process = run.made.start()
        run.taken(40)
        rabbit_node.wipe()
        run.fault()
        run.arrive(20)
        rabbit_node.start()
        rabbit_node.api("PUT", f"vhosts/{vhost}")
        run.healed()
        run.finish(300)
        assert process.returncode == 0


@pytest.mark.soak
@pytest.mark.takes(90)
def test_a_queue_that_somebody_deleted_is_made_again_while_the_roles_run(
    tmp_path: Path, rabbit_node: RabbitNode, rabbit_vhost: str
) -> None:
    with scenario("queues deleted", tmp_path, broker=rabbit_node.url(rabbit_vhost)) as run:
        run.made.environment |= SOON
        run.made.start()
        run.arrive(20)
        run.taken(40)
        for queue in ("parsing", "forwarding", "edge.c001.t1", "edge.c001.chart"):
            rabbit_node.delete_queue(rabbit_vhost, queue)
            run.fault()
        run.healed()
        run.arrive(40)
        run.made.wait_until_final(60, 240)
        # All of it was said again; what no binding took is the operator's to throw away (docs/operations.md).
        rabbit_node.api("DELETE", f"queues/{rabbit_vhost}/{UNROUTED_QUEUE}/contents")
        run.finish()
        eventually(lambda: rabbit_node.api("GET", f"queues/{rabbit_vhost}/parsing"))
