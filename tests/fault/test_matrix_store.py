"""The store is locked, killed, or older than the world: nothing is lost, and what it forgot comes again."""

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from tests.support.eventually import eventually
from tests.support.postgres import PostgresNode
from tests.support.scenario import Scenario, scenario
from tests.support.site import names

pytestmark = [pytest.mark.timeout(600)]
LOCKED_SECONDS = 35


def locked_for(run: Scenario, files: int, seconds: float) -> None:
    run.made.start()
    run.arrive(files)
    run.taken(files // 2)
    with closing(sqlite3.connect(run.made.settings.state / "onshi.db", isolation_level=None, timeout=30)) as lock:
        lock.execute("BEGIN EXCLUSIVE")
        until = time.monotonic() + seconds
        run.fault()
        run.arrive(files)
        eventually(lambda: len(names([run.made.face])) >= files, 30)
        if seconds:
            run.said("StoreAwayError", 1, 150)
        eventually(lambda: time.monotonic() > until, seconds + 60)
        lock.execute("ROLLBACK")
    run.healed()
    run.finish()


@pytest.mark.takes(15)
def test_a_locked_store_makes_everything_wait_and_nothing_fail(tmp_path: Path) -> None:
    with scenario("store locked", tmp_path) as run:
        locked_for(run, 60, 0)


@pytest.mark.soak
@pytest.mark.takes(60)
def test_a_store_locked_longer_than_anybody_waits_pauses_the_consumers_and_burns_no_attempt(tmp_path: Path) -> None:
    with scenario("store locked for long", tmp_path, pool=400) as run:
        locked_for(run, 200, LOCKED_SECONDS)


@pytest.mark.soak
@pytest.mark.takes(60)
@pytest.mark.postgresql
def test_a_postgresql_locked_for_long_makes_everything_wait_and_nothing_fail(
    tmp_path: Path, postgresql_url: str
) -> None:
    with scenario("postgresql locked for long", tmp_path, store=postgresql_url) as run:
        run.made.start()
        run.arrive(60)
        run.taken(30)
        with psycopg.connect(postgresql_url.replace("+psycopg", "")) as lock:
            lock.execute("LOCK TABLE files, copies, inbox, outbox IN ACCESS EXCLUSIVE MODE")
            until = time.monotonic() + LOCKED_SECONDS
            run.fault()
            run.arrive(60)
            eventually(lambda: time.monotonic() > until, LOCKED_SECONDS + 60)
            assert len(names([run.made.face])) >= 60
        run.healed()
        run.finish()


@pytest.mark.takes(20)
@pytest.mark.postgresql
def test_a_postgresql_killed_twice_under_load_loses_and_repeats_nothing(
    tmp_path: Path, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with scenario("postgresql killed twice", tmp_path, store=postgresql_url) as run:
        run.killed_under_load(postgres_node, 2, 100)


@pytest.mark.soak
@pytest.mark.takes(200)
@pytest.mark.postgresql
@pytest.mark.timeout(1200)
def test_a_postgresql_killed_twenty_times_under_load_loses_and_repeats_nothing(
    tmp_path: Path, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with scenario("postgresql killed 20 times", tmp_path, pool=2000, store=postgresql_url) as run:
        run.killed_under_load(postgres_node, 20, 2000)


def restored(run: Scenario, keep: Callable[[], None], bring_back: Callable[[], None]) -> None:
    """Files come and are final, a copy of the store is kept, more come; then the store is the copy again."""
    process = run.made.start()
    run.arrive(20)
    run.made.wait_until_final(20)
    assert run.made.stop(process) == 0
    keep()
    process = run.made.start()
    run.arrive(40)
    run.made.wait_until_final(60)
    assert run.made.stop(process) == 0
    bring_back()
    run.fault()
    assert run.made.ask("status")["certificates"] == 20, "the copy is older than the world"
    run.made.start()
    answer = run.made.say("resend")
    assert answer.returncode == 0, answer.stderr
    run.healed()
    run.finish()


@pytest.mark.soak
@pytest.mark.takes(30)
def test_a_store_restored_from_an_old_copy_gets_back_what_came_after_it_from_the_terminals_spool(
    tmp_path: Path,
) -> None:
    with scenario("store restored", tmp_path) as run:
        store, backup = run.made.settings.state / "onshi.db", tmp_path / "backup.db"

        def keep() -> None:
            with closing(sqlite3.connect(store)) as source, closing(sqlite3.connect(backup)) as copy:
                source.backup(copy)

        def bring_back() -> None:
            for old in run.made.settings.state.glob("onshi.db*"):
                old.unlink()
            shutil.copy(backup, store)

        restored(run, keep, bring_back)


@pytest.mark.soak
@pytest.mark.takes(30)
@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_a_postgresql_restored_from_an_old_copy_gets_back_what_came_after_it_from_the_terminals_spool(
    tmp_path: Path, rabbit_url: str, postgres_node: PostgresNode, postgresql_url: str
) -> None:
    with scenario("postgresql restored", tmp_path, broker=rabbit_url, store=postgresql_url) as run:
        name = postgresql_url.rpartition("/")[2]
        restored(
            run,
            lambda: postgres_node.copy(name, f"{name}_backup"),
            lambda: postgres_node.copy(f"{name}_backup", name),
        )
