"""The demo: the whole way, on every broker and store."""

import json
import subprocess
import sys

import pytest

SEED_VERDICTS = {"match", "insurance_mismatch", "limit_certificate_mismatch", "name_mismatch", "address_mismatch"}


def demo(*words: str) -> dict:
    answer = subprocess.run(
        [sys.executable, "-m", "pipeline.cli", "demo", "--json", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert answer.returncode == 0, answer.stderr + answer.stdout[-2000:]
    return json.loads(answer.stdout)


def check(told: dict, count: int) -> None:
    proof = told["proof"]
    assert proof["written"] == proof["certified"] == count
    assert proof["in_chart"] == proof["delivered"]
    assert proof["left_on_terminal"] == 0
    assert {code for row in told["results"] for code in row["verdicts"]} >= SEED_VERDICTS


def test_forty_patients_come_through_on_the_embedded_broker() -> None:
    check(demo("--patients", "40"), 40)


@pytest.mark.rabbitmq
def test_they_come_through_on_rabbitmq_with_a_process_for_each_role(rabbit_url) -> None:
    check(demo("--patients", "40", "--broker", rabbit_url), 40)


@pytest.mark.postgresql
def test_they_come_through_with_postgresql_as_store(postgresql_url) -> None:
    check(demo("--patients", "40", "--store", postgresql_url), 40)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
def test_they_come_through_on_rabbitmq_with_postgresql(rabbit_url, postgresql_url) -> None:
    check(demo("--patients", "40", "--broker", rabbit_url, "--store", postgresql_url), 40)


def test_every_kind_of_message_comes_through() -> None:
    told = demo("--patients", "40", "--full")
    assert told["proof"]["left_on_terminal"] == 0
    assert told["proof"]["faults"] == []
