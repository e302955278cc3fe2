"""Does the command line answer odd use in one line, with the right exit code and valid JSON, and never with a trace?"""

import json
import os
import stat
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import insert, select

from pipeline.cli import main
from pipeline.settings import load
from pipeline.storage import Store, open_store
from pipeline.storage.schema import access_log, parked

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
CANARY = "見本花子の二重登録"


@pytest.fixture
def config(tmp_path: Path, capsys) -> Path:
    assert main(["init", str(tmp_path / "clinic")]) == 0
    capsys.readouterr()
    return tmp_path / "clinic" / "onshi.toml"


def store_of(config: Path) -> Store:
    store = open_store(load(config, {}).store.url)
    store.make_schema()
    return store


def park(config: Path, *names: str, clinic: str | None = "c001") -> None:
    store = store_of(config)
    rows = [
        {
            "parked_id": name, "consumer": "parsing", "event_id": name, "clinic": clinic, "correlation": None,
            "type": "unreadable", "reason": "unreadable", "state": "parked", "attempts": 1, "routing_key": "x",
            "content_type": "x", "headers": "{}", "body": b"x", "parked_at": NOW,
        }
        for name in names
    ]  # fmt: skip
    with store.transaction() as connection:
        connection.execute(insert(parked), rows)
    store.close()


def accesses(config: Path) -> list[tuple[str, str, str]]:
    store = store_of(config)
    with store.reading() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.number)).all()
    store.close()
    return [(row.action, row.subject, row.result) for row in rows]


def replace(config: Path, old: str, new: str) -> None:
    text = config.read_text(encoding="utf-8")
    assert old in text
    config.write_text(text.replace(old, new), encoding="utf-8")


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["status", "extra"],
        ["files", "list", "--limit", "9" * 30],
        ["files", "show", "a\udc80"],
        ["parked", "replay", "--all", "--rate", "nan"],
        ["parked", "replay", "--all", "--rate", "0"],
        ["parked", "replay", "--all", "--since", "0001-01-01T00:00:00+14:00"],
        ["parked", "discard", "--all"],
        ["parked", "discard", "--all", "--reason", " "],
        ["results", "confirm", "x", "--reason", "y", "--patient", ""],
        ["hold", "add", "x", "--reason", ""],
        ["simulate", "--terminal", "t1", "--count", "0"],
        ["demo", "--store", "foo"],
        ["demo", "--store", "postgresql://u:secret@h:port/x"],
        ["demo", "--broker", "amqp://["],
    ],
    ids=lambda words: " ".join(words).encode("ascii", "replace").decode(),
)
def test_wrong_use_is_answered_with_two_and_json(config: Path, capsys, words: list[str]) -> None:
    assert main([*words, "--json", "-c", str(config)]) == 2
    said = capsys.readouterr()
    assert json.loads(said.out)["errors"]
    assert "secret" not in said.out + said.err


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--store", "postgresql://u:secret@127.0.0.1:1/x"],
        ["demo", "--broker", "amqp://u:secret@127.0.0.1:1/"],
        ["demo", "--keep", "/proc/none/here"],
        ["init", "/proc/none"],
        ["simulate", "--terminal", "t1", "--count", "1", "--patients", "/proc/none/x"],
    ],
    ids=lambda words: " ".join(words[:3]),
)
def test_what_is_away_is_named_in_one_line_and_at_once(
    config: Path, tmp_path: Path, capsys, monkeypatch, words
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    started = time.monotonic()
    assert main([*words, "--json", "-c", str(config)]) == 1
    assert time.monotonic() - started < 30
    said = capsys.readouterr()
    assert len(json.loads(said.out)["errors"]) == 1
    assert "secret" not in said.out + said.err
    assert not list(tmp_path.glob("onshi-demo-*"))


def test_a_fault_of_ours_is_named_without_its_text(config: Path, capsys, monkeypatch) -> None:
    def broken(*_: object) -> int:
        raise ValueError(CANARY)

    monkeypatch.setattr("pipeline.cli.status.status", broken)
    assert main(["status", "--json", "-c", str(config)]) == 1
    said = capsys.readouterr()
    assert "ValueError" in json.loads(said.out)["errors"][0]
    assert CANARY not in said.out + said.err


@pytest.mark.parametrize("url", ["sqlite:////proc/none/x.db", "postgresql://u:secret@127.0.0.1:1/x"])
def test_a_store_that_is_away_is_told_by_status_and_check(config: Path, capsys, url: str) -> None:
    replace(config, "sqlite:///state/onshi.db", url)
    assert main(["status", "--json", "-c", str(config)]) == 1
    assert "store" in json.loads(capsys.readouterr().out)["errors"][0]
    assert main(["check", "--json", "-c", str(config)]) == 1
    assert any("store.url" in fault for fault in json.loads(capsys.readouterr().out)["faults"])


def test_no_locale_stops_an_answer(config: Path) -> None:
    for words in (["results", "list"], ["files", "show", "花子", "--json"]):
        answer = subprocess.run(
            [sys.executable, "-m", "pipeline.cli", *words, "-c", str(config)],
            env={**os.environ, "PYTHONIOENCODING": "ascii"},
            capture_output=True,
            check=False,
        )
        assert b"Traceback" not in answer.stderr
        assert answer.returncode == (2 if "--json" in words else 0)
    assert json.loads(answer.stdout)["errors"][0].startswith("花子")


def test_a_reader_that_goes_away_is_no_failure(config: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    words = [sys.executable, "-m", "pipeline.cli", "status", "-c", str(config)]
    answer = subprocess.run(words, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert (answer.returncode, answer.stderr) == (0, b"")


def test_what_we_keep_is_readable_for_its_owner_alone(config: Path, capsys) -> None:
    # A configuration that no `init` made: its state folder is ours to make, whatever the umask says.
    replace(config, "sqlite:///state/onshi.db", "sqlite:///other/onshi.db")
    old = os.umask(0o022)
    try:
        assert main(["check", "-c", str(config)]) == 0
    finally:
        os.umask(old)
    root = config.parent
    for path in (root / "other" / "onshi.db", root / "state" / "broker.db"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE((root / "other").stat().st_mode) == 0o700


def test_the_reason_of_a_discard_is_sealed_and_shown_to_staff_only(config: Path, capsys) -> None:
    park(config, "p1")
    park(config, "p2", clinic=None)
    assert main(["parked", "discard", "p1", "p2", "--reason", CANARY, "-c", str(config)]) == 0
    kept = b"".join(path.read_bytes() for path in config.parent.joinpath("state").glob("onshi.db*"))
    assert CANARY.encode() not in kept
    capsys.readouterr()
    for name in ("p1", "p2"):
        assert main(["parked", "show", name, "--json", "-c", str(config)]) == 0
        assert json.loads(capsys.readouterr().out)["discard_reason"] == CANARY
    replace(config, "os_user = ", 'os_user = "x-" # ')
    assert main(["parked", "show", "p1", "--json", "-c", str(config)]) == 0
    assert json.loads(capsys.readouterr().out)["discard_reason"] is None


def test_a_slow_replay_that_is_broken_off_has_its_access_row(config: Path, monkeypatch) -> None:
    park(config, "p1", "p2", "p3")

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("pipeline.cli.parked.time.sleep", interrupted)
    assert main(["parked", "replay", "--all", "--rate", "1", "-c", str(config)]) == 1
    assert accesses(config) == [("parked.replay", "parsing unreadable: 3", "done")]


@pytest.mark.parametrize(
    ("words", "action"),
    [
        (["results", "confirm", "x", "--reason", "y"], "results.confirm"),
        (["results", "reopen", "x", "--reason", "y"], "results.reopen"),
        (["hold", "add", "x", "--reason", "y"], "hold.add"),
        (["hold", "remove", "x", "--reason", "y"], "hold.remove"),
        (["parked", "replay", "x"], "parked.replay"),
        (["parked", "discard", "x", "--reason", "y"], "parked.discard"),
    ],
)
def test_who_is_not_listed_is_refused_and_written_down(config: Path, capsys, words: list[str], action: str) -> None:
    replace(config, "os_user = ", 'os_user = "x-" # ')
    assert main([*words, "-c", str(config)]) == 1
    assert accesses(config) == [(action, "x", "refused")]


def test_looking_at_consents_is_written_down(config: Path, capsys) -> None:
    assert main(["consents", "list", "-c", str(config)]) == 0
    assert accesses(config) == [("consents.list", "0 answers", "done")]


@pytest.mark.parametrize(
    "words", [["results", "confirm", "x", "--reason", "y", "--patient", ""], ["hold", "add", "x", "--reason", ""]]
)
def test_a_variable_that_was_not_set_is_no_patient_and_no_reason(config: Path, capsys, words: list[str]) -> None:
    assert main([*words, "-c", str(config)]) == 2
    assert "is empty" in capsys.readouterr().err
