"""`onshi verify` over a real installation: folders, inbox, ledger, spool, broker and logs. Each damage is named."""

import csv
import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline.broker.open import EMBEDDED_FILE
from pipeline.cli import verify as module
from pipeline.cli.main import main
from pipeline.keyring import Keyring
from producers.terminal import ledger_path
from tests.support.site import Site, site

pytestmark = pytest.mark.xdist_group("verify")

COUNT = 6
FACE = (
    Path(__file__).parents[1]
    / "samples"
    / "face"
    / "OQSsiquc01res_face_9919000011d7419b20ce864f1793aa_20260512101544.xml"
)
Damage = Callable[[Site], Any]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A finished run; while it ran, `verify` and `check` found nothing."""
    with site(tmp_path_factory.mktemp("verify") / "whole") as made:
        made.simulate(COUNT)
        process = made.start()
        made.wait_until_final(COUNT)
        live = made.say("verify")
        assert live.returncode == 0, live.stdout
        checked = made.say("check")
        assert checked.returncode == 0, checked.stdout
        assert made.stop(process) == 0
        yield made


@pytest.fixture
def damaged(whole: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """The same installation, put back as it was afterwards."""
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.0)
    aside = tmp_path / "aside"
    shutil.copytree(whole.root, aside)
    yield whole
    shutil.rmtree(whole.root)
    shutil.copytree(aside, whole.root)


def broken(made: Site, capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, list[str]]:
    capsys.readouterr()
    code = main(["verify", *words, "--json", "-c", str(made.config)])
    found = json.loads(capsys.readouterr().out)["invariants"]
    assert [row["invariant"] for row in found] == [f"I{number}" for number in range(1, 18)]
    assert all(row["says"] for row in found)
    named = {row["invariant"]: row["broken"] for row in found if not row["held"]}
    assert code == (1 if named else 0)
    return named


def records(made: Site) -> list[Path]:
    return sorted(made.inbox.glob("*.json"))


def rewrite(made: Site, **changes: object) -> None:
    path = records(made)[0]
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


def unknown_record(made: Site) -> None:
    (made.inbox / "00000000-0000-0000-0000-000000000000.json").write_text('{"revision": 1}')


def left_in_inbox(made: Site) -> None:
    path = made.inbox / ".onshi-00ff.tmp"
    path.touch()
    os.utime(path, (1, 1))


def ledger(made: Site, *statements: tuple[str, tuple[object, ...]]) -> None:
    path = ledger_path(made.settings.edge.state, "c001", "t1")
    with closing(sqlite3.connect(path)) as db:
        for statement, values in statements:
            assert db.execute(statement, values).rowcount >= 1
        db.commit()


def called_erased(made: Site) -> None:
    shutil.copy(FACE, made.face / FACE.name)
    status = (made.face / FACE.name).stat()
    mac = Keyring(made.settings.keys.dir).identity("c001").mac("content", FACE.read_bytes())
    statement = "UPDATE copies SET dev = ?, ino = ?, mtime_ns = ?, mac = ?, gone_at = ? WHERE number = 1"
    later = int((status.st_ctime + 60) * 1e6)
    ledger(made, (statement, (str(status.st_dev), str(status.st_ino), status.st_mtime_ns, mac, later)))


def damaged_spool(made: Site) -> None:
    ledger(made, ("UPDATE copies SET state = 'captured', stored_at = NULL WHERE number = 1", ()))
    for segment in made.settings.edge.state.glob("*.spool/*.seg"):
        segment.write_bytes(bytes(segment.stat().st_size))


def broker(made: Site, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(made.settings.state / EMBEDDED_FILE)) as db:
        assert db.execute(statement, values).rowcount == 1
        db.commit()


def message(made: Site, queue: str) -> None:
    columns = "queue, message_id, routing_key, content_type, headers, body"
    broker(made, f"INSERT INTO message ({columns}) VALUES (?, 'm', 'k', 'j', '{{}}', '')", queue)


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (lambda made: rewrite(made, revision=7), "I4"),
        (lambda made: rewrite(made, kind="other"), "I4"),
        (lambda made: records(made)[0].write_text("{"), "I4"),
        (lambda made: records(made)[0].with_suffix(".xml").write_text("other"), "I4"),
        (unknown_record, "I4"),
        (left_in_inbox, "I4"),
        (called_erased, "I9"),
        (damaged_spool, "I3"),
        (lambda made: broker(made, "DELETE FROM queue WHERE name = 'consent'"), "I13"),
        (lambda made: message(made, "unrouted"), "I13"),
        (lambda made: message(made, "parsing.parked"), "I11"),
    ],
    ids=[
        "other-revision", "other-bytes", "half-a-record", "other-original", "record-never-wanted", "temporary-left",
        "called-erased", "spool-damaged", "queue-missing", "unrouted", "parked-transit",
    ],
)  # fmt: skip
def test_damage_outside_the_store_is_named(
    damaged: Site, capsys: pytest.CaptureFixture[str], damage: Damage, expected: str
) -> None:
    assert broken(damaged, capsys) == {}
    damage(damaged)
    assert list(broken(damaged, capsys)) == [expected]


def test_what_the_chart_took_away_is_no_fault(damaged: Site, capsys: pytest.CaptureFixture[str]) -> None:
    for number, path in enumerate(sorted(damaged.inbox.iterdir())):
        if number % 3:
            path.unlink()
    assert broken(damaged, capsys) == {}


def test_a_file_without_custody_is_named_by_its_id_once_it_lies_too_long(
    damaged: Site, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copy(FACE, damaged.face / FACE.name)
    (damaged.face / ".onshi-00ff.erasing").touch()
    assert broken(damaged, capsys) == {}, "it came only now"
    found = broken(damaged, capsys, "--limit-seconds", "0.001")
    assert list(found) == ["I1", "I13"]
    assert FACE.name not in json.dumps(found)
    assert found["I13"] == ["t1: .onshi-00ff.erasing left over"]


def test_an_erased_name_that_came_again_is_a_new_copy(damaged: Site, capsys: pytest.CaptureFixture[str]) -> None:
    row = damaged.ask("files", "list")[0]
    shutil.copy(damaged.inbox / f"{row['file_id']}.xml", damaged.face / row["name"])
    assert broken(damaged, capsys) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "utf-16-le"])
def test_a_name_in_a_log_is_found_and_not_told(
    damaged: Site, capsys: pytest.CaptureFixture[str], encoding: str
) -> None:
    logs = sorted(damaged.root.glob("run-*.log"))
    words = ("--logs", *map(str, logs), str(damaged.settings.state))
    assert broken(damaged, capsys, *words) == {}
    with damaged.patients.open(encoding="utf-8-sig", newline="") as source:
        name = next(row["name"] for row in csv.DictReader(source) if len(row["name"]) > 3)
    with logs[0].open("ab") as out:
        out.write(f"\nx{name}x".encode(encoding))
    assert broken(damaged, capsys, *words) == {"I8": [str(logs[0])]}


def test_what_cannot_be_looked_at_is_said(damaged: Site, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.rmtree(damaged.inbox)
    shutil.rmtree(damaged.face)
    (damaged.settings.state / EMBEDDED_FILE).unlink()
    assert main(["verify", "-c", str(damaged.config)]) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("no inbox here", "t1: not looked at", "broker not asked"))
