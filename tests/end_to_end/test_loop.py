"""Face result, consents, requests, answers, chart: the whole loop, with the pipeline killed in the middle of it."""

import random
from pathlib import Path

import pytest

from tests.support.loop import FETCHES, Loop
from tests.support.site import Taker, names, site


def _survives(root: Path, patients: int, kills: int, **options: str) -> None:
    dice = random.Random(patients)
    with site(root, fetch=True, more=FETCHES, **options) as made:
        loop = Loop(made, patients)
        loop.terminal.write_faces()
        with loop.terminal.serving(), Taker(made.inbox) as taker:
            for kill in range(kills):
                process = made.start()
                # Not all that is asked is known beforehand: about as many requests as patients.
                loop.wait_until_asked(patients * (kill + 1) // (kills + 1) + dice.randrange(3), 180)
                made.kill(process)
            process = made.start()
            loop.wait_until_final(480)
            assert made.stop(process) == 0
        proof = loop.proof()
        assert proof.faults == []
        assert proof.delivered == loop.asked() == sum(proof.asked.values()) > patients // 2
        assert set(taker.taken.values()) == {1}, "an answer came to the chart twice"
        assert names(loop.folders) == []
        assert made.ask("status")["parked"] == {}
        assert made.say("verify").returncode == 0, made.say("verify").stdout


@pytest.mark.timeout(300)
def test_ledger_and_service_agree_when_the_pipeline_is_killed_in_the_middle(tmp_path: Path) -> None:
    _survives(tmp_path / "site", 18, 2)


@pytest.mark.soak
@pytest.mark.timeout(900)
def test_ledger_and_service_agree_on_two_hundred_patients_and_five_kills(tmp_path: Path) -> None:
    _survives(tmp_path / "site", 200, 5)


@pytest.mark.soak
@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(900)
def test_ledger_and_service_agree_on_rabbitmq_and_postgresql_after_a_kill(
    tmp_path: Path, rabbit_url: str, postgresql_url: str
) -> None:
    _survives(tmp_path / "site", 27, 1, broker=rabbit_url, store=postgresql_url)
