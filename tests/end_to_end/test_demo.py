"""The demo: the whole way, on every broker and store."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.eventually import eventually

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
    loop = told["proof"]["loop"]
    assert loop["delivered"] == loop["asked"]["YZKsiquc"] + loop["asked"]["TKKsiquc"] > 0
    assert loop["asked"]["OQSmuquc"] > 1
    assert loop["too_early"] > 0
    assert loop["numbers"] > 0


def test_a_demo_that_is_ended_takes_its_roles_and_its_folder_with_it(tmp_path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", "demo", "--patients", "500"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    eventually(lambda: list(tmp_path.glob("onshi-demo-*/state/edge")), 60, "the roles at work")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 1
    assert not list(tmp_path.iterdir())
    running = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)]
    assert not any(str(tmp_path).encode() in words for words in running)
