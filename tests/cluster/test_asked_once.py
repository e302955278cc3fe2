"""Two processes of every centre role, and patients who consent: each question is asked once, each answer given once."""

from pathlib import Path

import pytest

from tests.support.loop import FETCHES, Loop
from tests.support.site import ROLES_OF_A_CENTRE, Taker, names, site

pytestmark = [pytest.mark.soak, pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(1800)]
PATIENTS = 24


def test_two_instances_ask_the_service_nothing_twice(tmp_path: Path, rabbit_url: str, postgresql_url: str) -> None:
    with site(tmp_path / "site", fetch=True, more=FETCHES, broker=rabbit_url, store=postgresql_url) as made:
        loop = Loop(made, PATIENTS)
        loop.terminal.write_faces()
        with loop.terminal.serving(), Taker(made.inbox) as taker:
            first = [made.start(role.value) for role in ROLES_OF_A_CENTRE]
            second = [made.start(role.value) for role in ROLES_OF_A_CENTRE]
            edge = made.start("terminal", "chart")
            loop.wait_until_asked(PATIENTS // 2, 300)
            for process in first:
                made.kill(process)
            loop.wait_until_final(900)
            assert [made.stop(process) for process in (*second, edge)] == [0] * (len(second) + 1)
        proof = loop.proof()
        assert proof.faults == []
        assert proof.delivered == loop.asked() == sum(proof.asked.values()) > PATIENTS // 2
        assert set(taker.taken.values()) == {1}, "an answer came to the chart twice"
        assert names(loop.folders) == []
        assert made.ask("status")["parked"] == {}
        assert made.say("verify").returncode == 0, made.say("verify").stdout
