"""A role is stopped for longer than anybody waits for it, or runs twice."""

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.support.scenario import Scenario, scenario
from tests.support.site import ROLES_OF_A_CENTRE

pytestmark = [pytest.mark.timeout(600)]
PAST_HEARTBEAT_SECONDS = 65
"""The broker gives up a connection after about two intervals of 20 s."""
PAST_SHORT_HEARTBEAT_SECONDS = 7


def stopped(run: Scenario, sleepers: Sequence[Role], seconds: float) -> None:
    processes = {role: run.made.start(role.value) for role in Role}
    run.arrive(30)
    run.taken(20)
    for role in sleepers:
        os.kill(processes[role].pid, signal.SIGSTOP)
        run.fault()
    run.arrive(30)
    # The one place where time itself is the fault: nothing shows from outside that a heartbeat was missed.
    time.sleep(seconds)
    for role in sleepers:
        os.kill(processes[role].pid, signal.SIGCONT)
    run.healed()
    run.finish(300)


@pytest.mark.rabbitmq
@pytest.mark.takes(40)
def test_roles_stopped_past_a_short_heartbeat_go_on_where_they_were(tmp_path: Path, rabbit_url: str) -> None:
    with scenario("roles stopped past the heartbeat", tmp_path, broker=f"{rabbit_url}?heartbeat=2") as run:
        stopped(run, (Role.TERMINAL, Role.CHART, Role.FORWARDING), PAST_SHORT_HEARTBEAT_SECONDS)


@pytest.mark.soak
@pytest.mark.takes(120)
@pytest.mark.timeout(600)
@pytest.mark.rabbitmq
@pytest.mark.parametrize("part", range(3))
def test_roles_stopped_for_longer_than_a_heartbeat_go_on_where_they_were(
    tmp_path: Path, rabbit_url: str, part: int
) -> None:
    with scenario(f"stopped past the heartbeat, part {part + 1} of 3", tmp_path, broker=rabbit_url) as run:
        stopped(run, list(Role)[part::3], PAST_HEARTBEAT_SECONDS)


@pytest.mark.takes(45)
@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_two_instances_of_every_centre_role_do_everything_once(
    tmp_path: Path, rabbit_url: str, postgresql_url: str
) -> None:
    with scenario("two of every centre role", tmp_path, broker=rabbit_url, store=postgresql_url) as run:
        first = [run.made.start(role.value) for role in ROLES_OF_A_CENTRE]
        second = [run.made.start(role.value) for role in ROLES_OF_A_CENTRE]
        run.made.start("terminal")
        run.made.start("chart")
        run.arrive(120)
        for goal, victim in zip((40, 80, 120), run.dice.sample(first, 3), strict=True):
            run.taken(goal)
            run.made.kill(victim)
            run.fault()
        run.healed()
        run.finish(300)
        assert [process.returncode for process in second] == [0] * len(second)


@pytest.mark.soak
@pytest.mark.takes(30)
@pytest.mark.rabbitmq
def test_a_chart_that_stands_still_for_a_while_holds_nothing_else_up(tmp_path: Path, rabbit_url: str) -> None:
    with scenario("chart stands still", tmp_path, broker=rabbit_url) as run:
        processes = {role: run.made.start(role.value) for role in Role}
        run.arrive(40)
        run.taken(20)
        os.kill(processes[Role.CHART].pid, signal.SIGSTOP)
        run.fault()
        run.arrive(40)
        eventually(lambda: sum(run.made.state()["outcomes"].values()) == 80, 150, "every file in the store")
        os.kill(processes[Role.CHART].pid, signal.SIGCONT)
        run.healed()
        run.finish()


@pytest.mark.soak
@pytest.mark.takes(60)
def test_all_roles_killed_ten_times_on_the_embedded_broker_lose_and_repeat_nothing(tmp_path: Path) -> None:
    with scenario("all killed 10 times on the embedded broker", tmp_path, pool=400) as run:
        run.arrive(400)
        for kill in range(10):
            process = run.made.start()
            run.taken(2 * 400 * kill // 11 + run.dice.randrange(20))
            run.made.kill(process)
            run.fault()
        run.made.start()
        run.healed()
        run.finish(300)
