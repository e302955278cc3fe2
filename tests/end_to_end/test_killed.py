"""Killed at any time: every file is delivered exactly once, and erased only after that."""

import random
from pathlib import Path

import pytest

from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.support.site import Site, Taker, names, site

MANY = 1000


def check_all_once(made: Site, taker: Taker, count: int) -> None:
    originals = {name: times for name, times in taker.taken.items() if not name.endswith(".json")}
    records = {name: times for name, times in taker.taken.items() if name.endswith(".json")}
    assert len(originals) == count
    assert set(originals.values()) == {1}, "an original came twice"
    assert len(records) == count
    assert set(records.values()) == {1}, "a record came twice"
    assert names([made.face, made.res]) == []
    state = made.ask("status")
    assert state["certificates"] == count
    assert state["parked"] == {}
    assert made.say("verify").returncode == 0, made.say("verify").stdout
    assert made.say("certificates", "verify").returncode == 0


@pytest.mark.timeout(600)
def test_a_folder_with_a_thousand_files_survives_five_kills(tmp_path: Path) -> None:
    dice = random.Random(20260512)
    with site(tmp_path / "site") as made:
        made.simulate(MANY)
        assert len(names([made.face])) == MANY
        with Taker(made.inbox) as taker:
            for kill in range(5):
                process = made.start()
                target = MANY * (kill + 1) // 7 + dice.randrange(20)
                eventually(lambda goal=target: sum(taker.taken.values()) >= goal, 120, "work under way")
                made.kill(process)
            made.start()
            made.wait_until_final(MANY, 300)
            assert made.stop(made.processes[-1]) == 0
        check_all_once(made, taker, MANY)


@pytest.mark.rabbitmq
@pytest.mark.timeout(600)
def test_each_role_killed_in_turn_on_rabbitmq_loses_and_repeats_nothing(tmp_path: Path, rabbit_url: str) -> None:
    with site(tmp_path / "site", broker=rabbit_url) as made:
        made.simulate(350)
        roles = {role.value: made.start(role.value) for role in Role}
        with Taker(made.inbox) as taker:
            for number, name in enumerate(roles):
                goal = 60 * number
                eventually(lambda goal=goal: sum(taker.taken.values()) >= goal, 90, f"work before {name} dies")
                made.kill(roles[name])
                roles[name] = made.start(name)
            made.wait_until_final(350, 300)
            assert [made.stop(process) for process in roles.values()] == [0] * len(roles)
        check_all_once(made, taker, 350)


@pytest.mark.rabbitmq
@pytest.mark.timeout(600)
def test_one_clinics_unwritable_inbox_never_holds_up_another_clinic(tmp_path: Path, rabbit_url: str) -> None:
    with site(tmp_path / "site", broker=rabbit_url, two_clinics=True) as made:
        blocked = made.inbox
        blocked.rmdir()
        blocked.write_text("not a folder")
        made.simulate(60, clinic="c001")
        made.simulate(60, clinic="c002", seed=2)
        other = made.settings.clinics[1]
        assert other.chart
        process = made.start()
        with Taker(other.chart.inbox) as taker:
            eventually(lambda: len(taker.taken) == 120, 120, "the other clinic's files")
            eventually(lambda: made.state()["files"]["erased"] == 60, 120, "their erasure")
        assert len(names([made.face])) == 60, "nothing undelivered was erased"
        blocked.unlink()
        blocked.mkdir()
        made.wait_until_final(120, 120)
        assert len(list(blocked.glob("*.json"))) == 60
        assert made.stop(process) == 0
