"""A cluster loses one node, then another, then a third hangs, then all end at once: nothing is lost, nothing twice."""

import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.topology import CENTRE_ROLES
from tests.support.cluster_run import Fault, Feeder, Loss, busiest, kept, led_by, watched, working
from tests.support.eventually import eventually
from tests.support.rabbit import RabbitNode
from tests.support.rabbit_cluster import START_SECONDS, Cluster
from tests.support.scenario import Scenario, scenario
from tests.support.vendors import Told, make_key, table, told

pytestmark = [pytest.mark.soak, pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(2400)]
FILES = 2000
EVERY_SECONDS = 0.25
SOON_SECONDS = 120
"""What files may take to come through again, on a machine that has other things to do; the figures say what it was."""
INSTANCES = 2


def test_a_cluster_that_loses_a_node_goes_on_within_seconds_and_ends_whole(tmp_path: Path, postgresql_url: str) -> None:
    with (
        Cluster() as cluster,
        scenario("nodes of a cluster", tmp_path, pool=FILES, broker=cluster.url(), store=postgresql_url) as run,
    ):
        make_key(run.made.root / "vendors" / "acme.jwk")
        vendor = table("acme", records=["face"], public_key_file="vendors/acme.jwk")
        run.made.config.write_text(run.made.config.read_text() + vendor)
        with kept(run) as own:
            start(run)
            with Feeder(run, FILES, EVERY_SECONDS) as feeder:
                run.taken(60)
                own.losses += [lose(cluster, run, feeder, words) for words in ("a node is killed", "then another")]
                own.losses += hang(cluster, run, feeder)
                own.losses.append(end_all(cluster, run, feeder))
            run.healed()
            # Publication may be behind: nothing waits for it, and what it has not said yet lies in its queue.
            eventually(lambda: missing(cluster, run) == 0, 300, "every event in the vendor's stream")
            run.finish(300)
            own.told_twice = streams_are_whole(cluster, run)


def start(run: Scenario) -> None:
    for role in CENTRE_ROLES * INSTANCES:
        run.made.start(role.value)
    run.made.start("terminal")
    run.made.start("chart")


def lose(cluster: Cluster, run: Scenario, feeder: Feeder, words: str) -> Loss:
    """Kill the node that leads most, see the work go on without it, and let it come back."""
    node, led, queues = busiest(cluster)
    fault = Fault(words, led, queues, time.monotonic())
    node.kill()
    loss = watched(run, feeder, fault, SOON_SECONDS)
    return replace(loss, back_seconds=come_back(cluster, node))


def come_back(cluster: Cluster, node: RabbitNode) -> float:
    began = time.monotonic()
    cluster.start()
    eventually(lambda: is_replicated(cluster, node), START_SECONDS, "every queue on every node")
    return round(time.monotonic() - began, 1)


def is_replicated(cluster: Cluster, seen_by: RabbitNode) -> bool:
    whole = sorted(node.name for node in cluster.nodes)
    return all(sorted(row["members"]) == sorted(row["online"]) == whole for row in cluster.queues(seen_by))


def hang(cluster: Cluster, run: Scenario, feeder: Feeder) -> list[Loss]:
    """Let a node stand still with its connections open, wake up with old news, and be started again."""
    node, led, queues = busiest(cluster)
    asleep = Fault("then one hangs", led, queues, time.monotonic())
    node.pause()
    try:
        first = watched(run, feeder, asleep, SOON_SECONDS)
        awake = Fault("that one wakes up", led_by(cluster, cluster.other_than(node), node), queues, time.monotonic())
    finally:
        node.resume()
    second = watched(run, feeder, awake, SOON_SECONDS)
    # The others gave it up, and it may not know: RabbitMQ pauses who is alone, not who was asleep. An operator does so.
    node.kill()
    return [first, replace(second, back_seconds=come_back(cluster, node))]


def end_all(cluster: Cluster, run: Scenario, feeder: Feeder) -> Loss:
    """Kill every node and every role at once, and start everything again."""
    for node in cluster.nodes:
        node.kill()
    for process in run.made.processes:
        run.made.kill(process)
    began = time.monotonic()
    cluster.start()
    back = round(time.monotonic() - began, 1)
    start(run)
    queues = len(working(cluster, cluster.nodes[0]))
    fault = Fault("all nodes and roles are killed", queues, queues, began)
    loss = watched(run, feeder, fault, 2 * SOON_SECONDS)
    return replace(loss, back_seconds=back)


def streams_are_whole(cluster: Cluster, run: Scenario) -> int:
    """Hold the vendor's stream, as each node has it, against the files; returns how many events lie in it twice."""
    seen = [told(cluster.url([node]), "acme") for node in cluster.nodes]
    assert [each.id for each in seen[0]] == [each.id for each in seen[1]] == [each.id for each in seen[2]]
    assert missing(cluster, run) == 0
    assert in_order(seen[0])
    return sum(times - 1 for times in Counter(each.id for each in seen[0]).values())


def missing(cluster: Cluster, run: Scenario) -> int:
    """Count what the vendor was not told: of each file, that it was decided and that it is settled."""
    said = {(each.body["type"], each.body["handle"]) for each in told(cluster.url(), "acme") if "handle" in each.body}
    kinds = [kind for kind, _ in said]
    return sum(run.files - kinds.count(kind) for kind in ("onshi.record.reconciled", "onshi.file.settled"))


def in_order(events: list[Told]) -> bool:
    """Say whether a vendor hears of each file's result before it hears that the file is settled."""
    first: dict[tuple[str, str], int] = {}
    for each in events:
        if "handle" in each.body:
            first.setdefault((each.body["handle"], each.body["type"]), each.offset)
    settled = [handle for handle, kind in first if kind == "onshi.file.settled"]
    return all(first[handle, "onshi.record.reconciled"] < first[handle, "onshi.file.settled"] for handle in settled)
