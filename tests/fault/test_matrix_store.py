"""The store is locked, killed, or older than the world: nothing is lost, and what it forgot comes again."""

import shutil
import sqlite3
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.postgres import PostgresNode
from tests.support.scenario import Scenario, scenario
from tests.support.site import names

pytestmark = [pytest.mark.soak, pytest.mark.timeout(280)]


def locked_for(run: Scenario, files: int, *, until_paused: bool) -> None:
    run.made.start()
    run.arrive(files)
    run.taken(files // 2)
    lock = sqlite3.connect(run.made.settings.state / "onshi.db", isolation_level=None, timeout=30)
    lock.execute("BEGIN EXCLUSIVE")
    run.fault()
    run.arrive(files)
    eventually(lambda: len(names([run.made.face])) >= files, 30)
    if until_paused:
        run.said("StoreAwayError", 1, 90)
    lock.execute("ROLLBACK")
    lock.close()
    run.healed()
    run.finish()


def test_a_locked_store_makes_everything_wait_and_nothing_fail(tmp_path: Path) -> None:
    with scenario("store locked", tmp_path) as run:
        locked_for(run, 60, until_paused=False)


@pytest.mark.soak
def test_a_store_locked_longer_than_anybody_waits_pauses_the_consumers_and_burns_no_attempt(tmp_path: Path) -> None:
    with scenario("store locked for long", tmp_path, pool=400) as run:
        locked_for(run, 200, until_paused=True)


def postgres_killed(run: Scenario, node: PostgresNode, kills: int, files: int) -> None:
    run.arrive(files)
    process = run.made.start()
    for kill in range(kills):
        run.taken(2 * files * kill // (kills + 1) + run.dice.randrange(files // (2 * kills)))
        node.kill()
        run.fault()
        node.start()
    run.healed()
    run.finish(200)
    assert process.returncode == 0


@pytest.mark.postgresql
def test_a_postgresql_killed_three_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with scenario("postgresql killed 3 times", tmp_path, store=postgresql_url) as run:
        postgres_killed(run, postgres_node, 3, 150)


@pytest.mark.soak
@pytest.mark.postgresql
@pytest.mark.timeout(1200)
def test_a_postgresql_killed_twenty_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with scenario("postgresql killed 20 times", tmp_path, pool=2000, store=postgresql_url) as run:
        postgres_killed(run, postgres_node, 20, 2000)


def test_a_store_restored_from_an_old_copy_gets_back_what_came_after_it_from_the_terminals_spool(
    tmp_path: Path,
) -> None:
    with scenario("store restored", tmp_path) as run:
        store, backup = run.made.settings.state / "onshi.db", tmp_path / "backup.db"
        process = run.made.start()
        run.arrive(20)
        run.made.wait_until_final(20)
        with sqlite3.connect(store) as source, sqlite3.connect(backup) as copy:
            source.backup(copy)
        run.arrive(40)
        run.made.wait_until_final(60)
        assert run.made.stop(process) == 0
        for old in run.made.settings.state.glob("onshi.db*"):
            old.unlink()
        shutil.copy(backup, store)
        run.fault()
        assert run.made.ask("status")["certificates"] == 20, "the copy is older than the world"
        run.made.start()
        answer = run.made.say("resend")
        assert answer.returncode == 0, answer.stderr
        run.healed()
        run.finish()
