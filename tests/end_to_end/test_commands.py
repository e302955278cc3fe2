"""The contract of the command line, tested from outside."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.site import Site, site

pytestmark = pytest.mark.xdist_group("commands")


def onshi(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        cwd=cwd or Path.cwd(),
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Iterator[Site]:
    with site(tmp_path_factory.mktemp("commands") / "site") as finished:
        finished.simulate(25)
        process = finished.start()
        finished.wait_until_final(25)
        assert finished.stop(process) == 0
        yield finished


def test_init_makes_a_working_configuration_and_never_overwrites(tmp_path: Path) -> None:
    target = tmp_path / "clinic"
    assert onshi("init", str(target)).returncode == 0
    assert onshi("check", "-c", str(target / "onshi.toml")).returncode == 0
    before = (target / "onshi.toml").read_bytes()
    again = onshi("init", str(target))
    assert again.returncode == 2
    assert "empty" in again.stderr
    assert (target / "onshi.toml").read_bytes() == before


def test_wrong_configuration_names_every_fault_and_exits_with_two(tmp_path: Path) -> None:
    assert onshi("init", str(tmp_path / "c")).returncode == 0
    config = tmp_path / "c" / "onshi.toml"
    text = config.read_text().replace('"9919000011"', '"1"').replace('mode = "own"', 'mode = "odd"')
    config.write_text(text.replace('kind = "folder"', 'kind = "paper"'))
    answer = onshi("status", "-c", str(config), "--json")
    assert answer.returncode == 2
    faults = " ".join(json.loads(answer.stdout)["errors"])
    assert all(part in faults for part in ("institution_codes", "mode", "kind"))


def test_check_names_folders_that_are_missing(tmp_path: Path) -> None:
    assert onshi("init", str(tmp_path / "c")).returncode == 0
    (tmp_path / "c" / "oqs" / "face").rmdir()
    (tmp_path / "c" / "chart" / "patients.csv").unlink()
    answer = onshi("check", "-c", str(tmp_path / "c" / "onshi.toml"), "--json")
    assert answer.returncode == 1
    assert len(json.loads(answer.stdout)["faults"]) == 2


@pytest.mark.parametrize("words", [[], ["fly"], ["run", "pilot"], ["results", "confirm", "x"], ["parked", "replay"]])
def test_wrong_use_exits_with_two(made: Site, words: list[str]) -> None:
    assert made.say(*words).returncode == 2


def test_options_may_stand_before_or_after_the_subcommand(made: Site) -> None:
    config = str(made.config)
    one = onshi("-c", config, "--json", "status")
    two = onshi("status", "--json", "-c", config)
    assert one.returncode == two.returncode == 0
    assert set(json.loads(one.stdout)) == set(json.loads(two.stdout))


def test_the_default_configuration_is_in_the_working_directory(made: Site) -> None:
    assert onshi("status", "--json", cwd=made.root).returncode == 0


def test_status_has_the_keys_of_the_contract(made: Site) -> None:
    state = made.ask("status")
    assert set(state) == {"files", "outcomes", "parked", "certificates", "oldest_waiting_seconds", "terminals"}
    assert state["files"]["erased"] == state["certificates"] == 25
    assert {"last_seen", "backlog"} <= set(state["terminals"]["t1"])
    assert state["terminals"]["t1"]["backlog"] == 0
    assert state["oldest_waiting_seconds"] == 0


def test_files_list_tells_custody_outcome_and_times(made: Site) -> None:
    rows = made.ask("files", "list")
    assert len(rows) == 25
    keys = {"file_id", "clinic", "terminal", "name", "kind", "custody", "outcome", "reason", "times"}
    assert all(keys <= set(row) for row in rows)
    assert {row["custody"] for row in rows} == {"erased"}
    assert all(row["name"].startswith("OQSsiquc01res_face_") for row in rows)
    shown = made.ask("files", "show", rows[0]["file_id"])
    assert set(shown["receipts"]) == {"parsing", "reconciliation", "consent", "forwarding"}


def test_results_list_has_the_columns_of_the_contract_and_the_japanese_table(made: Site) -> None:
    rows = made.ask("results", "list")
    assert set(rows[0]) >= {
        "file_id", "result", "clinic", "reference_number", "insurer_number", "symbol", "number", "branch_number",
        "name", "kana", "patient_id", "candidates", "verdicts", "needs_review", "confirmed_by", "confirmed_at",
    }  # fmt: skip
    table = made.say("results", "list").stdout
    for heading in ("資格確認結果一覧", "照会番号", "保険者番号", "氏名", "カナ", "確認結果", "要確認", "正常"):
        assert heading in table


def test_the_record_in_the_inbox_follows_the_contract(made: Site) -> None:
    rows = made.ask("results", "list")
    for row in rows:
        record = json.loads((made.inbox / f"{row['file_id']}.json").read_bytes())
        assert set(record) == {"schema", "file_id", "kind", "name", "captured_at", "revision", "results"}
        result = record["results"][row["result"]]
        assert set(result) == {"patient_id", "verdicts", "needs_review", "candidates", "compared", "record"}
        assert result["verdicts"] == row["verdicts"]
        assert result["patient_id"] == row["patient_id"]
        assert (made.inbox / f"{row['file_id']}.xml").is_file()


def test_a_person_confirms_and_reopens_and_the_record_is_replaced(tmp_path: Path) -> None:
    with site(tmp_path / "site") as own:
        own.simulate(10)
        process = own.start()
        own.wait_until_final(10)
        row = next(row for row in own.ask("results", "list") if row["verdicts"] == ["address_mismatch"])
        path = own.inbox / f"{row['file_id']}.json"
        answer = own.say("results", "confirm", row["file_id"], "--reason", "moved last month")
        assert answer.returncode == 0, answer.stderr

        def revision(number: int) -> bool:
            return json.loads(path.read_bytes())["revision"] == number

        from tests.support.eventually import eventually  # noqa: PLC0415

        eventually(lambda: revision(2), 30, "the confirmed record")
        again = next(r for r in own.ask("results", "list") if r["file_id"] == row["file_id"])
        assert again["confirmed_by"] == "s1"
        assert again["confirmed_at"]
        assert own.say("results", "reopen", row["file_id"], "--reason", "wrong").returncode == 0
        eventually(lambda: revision(3), 30, "the reopened record")
        assert own.say("results", "confirm", row["file_id"], "--patient", "nobody", "--reason", "x").returncode == 2
        assert len(list(own.inbox.glob("*.json"))) == 10
        assert own.say("audit", "verify").returncode == 0
        assert own.stop(process) == 0


def test_certificates_audit_and_invariants_are_verified(made: Site) -> None:
    assert len(made.ask("certificates", "list")) == 25
    assert made.ask("certificates", "verify")["valid"] is True
    assert made.ask("audit", "verify")["valid"] is True
    assert all(row["held"] for row in made.ask("verify")["invariants"])


def test_consents_and_requests_are_listed(made: Site) -> None:
    rows = made.ask("consents", "list")
    assert rows
    assert {"category", "granted", "until", "consented_at"} <= set(rows[0])
    assert made.ask("requests", "list") == []
    assert made.ask("parked", "list") == []
    assert made.ask("hold", "list") == []


def test_who_is_not_listed_sees_no_content_and_decides_nothing(made: Site, tmp_path: Path) -> None:
    config = made.root / "stranger.toml"
    config.write_text(
        made.config.read_text().replace(f'os_user = "{os.environ.get("USER", "root")}"', 'os_user = "x1"')
    )
    config.write_text(config.read_text().replace('os_user = "root"', 'os_user = "x1"'))
    seen = json.loads(onshi("results", "list", "--json", "-c", str(config)).stdout)
    assert {row["name"] for row in seen} == {None}
    assert {row["name"] for row in json.loads(onshi("files", "list", "--json", "-c", str(config)).stdout)} == {None}
    refused = onshi("results", "confirm", seen[0]["file_id"], "--reason", "x", "-c", str(config))
    assert refused.returncode == 1
    assert "staff" in refused.stderr


def test_simulate_never_writes_the_configured_patient_list(made: Site) -> None:
    words = ["simulate", "--terminal", "t1", "--count", "1", "--patients", str(made.patients)]
    assert made.say(*words).returncode == 2
