"""A role is stopped for longer than anybody waits for it, or runs twice."""

import os
import signal
import time
from pathlib import Path

import pytest

from pipeline.topology import CENTRE_ROLES, Role
from tests.support.eventually import eventually
from tests.support.scenario import scenario

pytestmark = [pytest.mark.soak, pytest.mark.rabbitmq, pytest.mark.timeout(280)]
PAST_HEARTBEAT_SECONDS = 65
"""The broker gives up a connection after about two intervals of 20 s."""


@pytest.mark.soak
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", range(3))
def test_roles_stopped_for_longer_than_a_heartbeat_go_on_where_they_were(
    tmp_path: Path, rabbit_url: str, part: int
) -> None:
    with scenario(f"stopped past the heartbeat, part {part + 1} of 3", tmp_path, broker=rabbit_url) as run:
        processes = {role: run.made.start(role.value) for role in Role}
        run.arrive(60)
        run.taken(20)
        sleepers = list(Role)[part::3]
        for role in sleepers:
            os.kill(processes[role].pid, signal.SIGSTOP)
            run.fault()
        run.arrive(60)
        # The one place where time itself is the fault: nothing shows from outside that a heartbeat was missed.
        time.sleep(PAST_HEARTBEAT_SECONDS)
        for role in sleepers:
            os.kill(processes[role].pid, signal.SIGCONT)
        run.healed()
        run.finish(200)


@pytest.mark.postgresql
def test_two_instances_of_every_centre_role_do_everything_once(
    tmp_path: Path, rabbit_url: str, postgresql_url: str
) -> None:
    with scenario("two of every centre role", tmp_path, broker=rabbit_url, store=postgresql_url) as run:
        first = [run.made.start(role.value) for role in CENTRE_ROLES]
        second = [run.made.start(role.value) for role in CENTRE_ROLES]
        run.made.start("terminal")
        run.made.start("chart")
        run.arrive(150)
        for goal, victim in zip((60, 120, 180), run.dice.sample(first, 3), strict=True):
            run.taken(goal)
            run.made.kill(victim)
            run.fault()
        run.healed()
        run.finish(200)
        assert [process.returncode for process in second] == [0] * len(second)


def test_a_chart_that_stands_still_for_a_while_holds_nothing_else_up(tmp_path: Path, rabbit_url: str) -> None:
    with scenario("chart stands still", tmp_path, broker=rabbit_url) as run:
        processes = {role: run.made.start(role.value) for role in Role}
        run.arrive(40)
        run.taken(20)
        os.kill(processes[Role.CHART].pid, signal.SIGSTOP)
        run.fault()
        run.arrive(40)
        eventually(lambda: sum(run.made.ask("status")["outcomes"].values()) == 80, 60, "every file in the store")
        os.kill(processes[Role.CHART].pid, signal.SIGCONT)
        run.healed()
        run.finish()
