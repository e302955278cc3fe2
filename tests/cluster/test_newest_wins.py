"""Two processes of whoever decides and whoever forwards, one of them always asleep with something in hand."""

import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from pipeline.storage import open_store
from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.support.newest import Revisions, change_list, decide_all, differing, is_at_rest, is_newest_list
from tests.support.site import site

pytestmark = [pytest.mark.soak, pytest.mark.rabbitmq, pytest.mark.postgresql, pytest.mark.timeout(900)]
FILES = 24
TURNS = 8
TWICE = (Role.RECONCILIATION, Role.FORWARDING)


def test_whoever_sleeps_over_a_newer_revision_brings_no_older_one(
    tmp_path: Path, rabbit_url: str, postgresql_url: str
) -> None:
    with (
        site(tmp_path / "site", broker=rabbit_url, store=postgresql_url) as made,
        Revisions(made.inbox) as chart,
    ):
        instances = [made.start(role.value) for role in TWICE * 2]
        made.start("terminal", "chart", "parsing", "consent", "deletion")
        made.simulate(FILES)
        made.wait_until_final(FILES, 240)
        matched = [row for row in made.ask("results", "list") if row["patient_id"]]
        for turn in range(TURNS):
            sleeper = instances[turn % len(instances)]
            os.kill(sleeper.pid, signal.SIGSTOP)
            try:
                changed_at = change_list(made, turn)
                decide_all(made, matched, "confirm" if turn % 2 else "reopen")
                # It may sleep in a transaction that all the others wait for: then it must wake up first.
                with suppress(AssertionError):
                    eventually(lambda: all(max(chart.given[row["file_id"]]) > turn + 1 for row in matched), 10)  # noqa: B023
            finally:
                os.kill(sleeper.pid, signal.SIGCONT)
        store = open_store(postgresql_url)
        try:
            eventually(lambda: is_newest_list(store, changed_at), 120, "the newest list")
            eventually(lambda: is_at_rest(store, chart, FILES), 120, "the newest revision of every file")
        finally:
            store.close()
        assert chart.is_in_order, "an older revision came after a newer one"
        assert chart.newest > TURNS
        assert differing(made, chart) == []
        assert made.ask("status")["parked"] == {}
        assert made.say("verify").returncode == 0, made.say("verify").stdout
