"""A file that was rejected yesterday is readable today: it is read again, and goes its whole way."""

import json
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.site import Site, site


def run_story(made: Site) -> None:
    """The clinic got a second institution code, and files came before anybody had written it down."""
    text = made.config.read_text()
    # Queues first: what is published while a first start still binds them falls into `unrouted`, and is said again.
    assert made.say("check").returncode in (0, 1)
    made.simulate(4)
    made.config.write_text(text.replace("9919000011", "9919000099"))
    process = made.start()
    made.wait_until_final(4)
    assert made.ask("status")["outcomes"]["rejected"] == 4
    assert {row["reason"] for row in made.ask("files", "list")} == {"foreign_institution"}
    assert made.stop(process) == 0

    made.config.write_text(text)
    process = made.start()
    assert made.ask("files", "reparse", "--all", "--outcome", "rejected")["rereading"] == 4
    eventually(lambda: made.state()["outcomes"]["delivered"] == 4, 90, "delivered after all")
    records = eventually(lambda: _records(made, 4), 30, "in the chart's inbox")
    assert {record["revision"] for record in records} == {2}
    assert len(list(made.inbox.glob("*.xml"))) == 4
    eventually(lambda: made.state()["files"]["erased"] == made.state()["certificates"], 60, "certified")
    proof = made.say("verify")
    assert proof.returncode == 0, proof.stdout + proof.stderr
    assert made.ask("status")["parked"] == {}
    assert made.say("audit", "verify").returncode == 0

    before = {path.name: path.read_bytes() for path in made.inbox.iterdir()}
    assert made.ask("files", "reparse", "--all")["rereading"] == 4
    eventually(lambda: _unchanged(made) == 4, 90, "read again and found the same")
    assert {path.name: path.read_bytes() for path in made.inbox.iterdir()} == before
    assert made.stop(process) == 0


def _unchanged(made: Site) -> int:
    return sum(path.read_text().count('"outcome": "unchanged"') for path in made.root.glob("run-*.log"))


def _records(made: Site, count: int) -> list[dict[str, object]]:
    paths = sorted(made.inbox.glob("*.json"))
    return [json.loads(path.read_bytes()) for path in paths] if len(paths) == count else []


def test_rejected_files_are_delivered_after_the_configuration_was_mended(tmp_path: Path) -> None:
    with site(tmp_path / "site") as made:
        run_story(made)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_the_same_on_rabbitmq_and_postgresql(tmp_path: Path, rabbit_url: str, postgresql_url: str) -> None:
    with site(tmp_path / "site", broker=rabbit_url, store=postgresql_url) as made:
        run_story(made)
