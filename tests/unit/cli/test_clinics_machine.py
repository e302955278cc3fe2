"""What the commands say on a clinic's machine of a group, whose store is at the centre."""

import fcntl
import json
import os
import socket
import sqlite3
import threading
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pipeline.cli import edge_status
from pipeline.cli import status as status_of_centre
from pipeline.cli.main import main
from pipeline.cli.run import _all_roles
from pipeline.health import HealthServer
from pipeline.key_bundle import hand_over
from pipeline.keyring import issue
from pipeline.pulse import Pulse
from pipeline.settings import HttpSettings, load
from pipeline.topology import Edge, Role
from producers.chart import ledger_path as chart_ledger
from producers.chart.ledger import Ledger as ChartLedger
from producers.terminal import ledger_path
from producers.terminal.ledger import Ledger
from tests.support.ports import free_port

TERMINAL = '[[clinics.terminals]]\nid = "t1"\nface = "oqs/face"\nres = "oqs/res"\nreq = "oqs/req"\n'
CHART = '[clinics.chart]\ninbox = "inbox"\npatients = "patients.csv"\n'


def machine(tmp_path: Path, edge: str = TERMINAL) -> Path:
    """Write what `onshi terminals enrol` makes, but for the certificates."""
    now = datetime.now(UTC)
    name = Edge("c001", "t1" if edge is TERMINAL else "chart")
    issue(tmp_path / "centre", ["c001"], [name], now)
    at = tmp_path / "machine"
    hand_over(tmp_path / "centre", name, at / "keys")
    text = f'[broker]\nurl = "amqp://127.0.0.1:{free_port()}/"\ndeclare = false\n'
    text += '[keys]\ndir = "keys"\n[edge]\nstate = "state"\n'
    text += f'[http]\nport = {free_port()}\n[[clinics]]\nid = "c001"\ninstitution_codes = ["9919000011"]\n{edge}'
    (at / "onshi.toml").write_text(text)
    for folder in ("oqs/face", "oqs/res", "oqs/req", "inbox"):
        (at / folder).mkdir(parents=True)
    return at


def say(at: Path, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    capsys.readouterr()
    code = main([*words, "-c", str(at / "onshi.toml")])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def status(at: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    code, text = say(at, capsys, "status", "--json")
    assert code == 0
    return json.loads(text)


def test_a_machine_that_is_right_but_for_its_broker_has_one_fault_and_gets_no_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = machine(tmp_path)
    code, text = say(at, capsys, "check", "--json")
    (fault,) = json.loads(text)["faults"]
    assert code == 1
    assert "nothing listens at this port" in fault
    status(at, capsys)
    assert not list(at.rglob("onshi.db"))


def test_what_only_the_centre_knows_is_null_and_never_zero(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    state = status(machine(tmp_path), capsys)
    assert (state["outcomes"], state["parked"], state["certificates"], state["not_ready"]) == (None, None, None, None)
    assert state["terminals"]["c001/t1"]["running"] is False


def test_the_machine_says_what_its_own_ledger_holds_and_who_works_on_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = machine(tmp_path)
    ledger = Ledger(ledger_path(at / "state", "c001", "t1"))
    seen = int((datetime.now(UTC) - timedelta(minutes=3)).timestamp() * 1_000_000)
    with ledger.transaction() as db:
        db.execute(
            "INSERT INTO copies (copy_id, file_id, folder, sealed_name, name_mac, n, kind, dev, ino, size,"
            " mtime_ns, mac, state, seen_at, captured_at, next_publish_at) VALUES"
            " ('c', 'f', 'face', x'', '', 1, 'face', '', '', 0, 0, '',"
            " 'captured', ?, ?, 0)",
            (seen, seen),
        )
    found = status(at, capsys)
    assert found["files"]["captured"] == 1
    terminal = found["terminals"]["c001/t1"]
    assert (terminal["running"], terminal["backlog"]) == (True, 1)
    assert 180 <= terminal["oldest_waiting_seconds"] < 240
    ledger.close()
    text = say(at, capsys, "status")[1]
    assert "NOT RUNNING" in text
    assert "the centre does not have 1 files yet, the oldest for 18" in text


def test_a_ledger_of_a_newer_release_is_named_and_not_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = machine(tmp_path)
    path = ledger_path(at / "state", "c001", "t1")
    Ledger(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.executescript("ALTER TABLE copies RENAME COLUMN damaged TO harmed; PRAGMA user_version = 99")
    code, said = say(at, capsys, "status")
    assert (code, "newer release" in said) == (2, True), said


def test_a_charts_machine_counts_its_deliveries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at = machine(tmp_path, CHART)
    path = chart_ledger(at / "state", "c001")
    ChartLedger(path).close()
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO deliveries (file_id, revision, state, cause, traceparent, wanted_at)"
            " VALUES (?, 1, ?, '', '', '')",
            [("f1", "done"), ("f2", "done"), ("f3", "wanted")],
        )
    lock = os.open(path.with_suffix(".lock"), os.O_CREAT | os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    chart = status(at, capsys)["charts"]["c001/chart"]
    assert chart == {"running": True, "deliveries": {"done": 2, "wanted": 1}}
    os.close(lock)
    assert status(at, capsys)["charts"]["c001/chart"]["running"] is False


def test_what_the_running_process_waits_for_is_asked_of_it() -> None:
    pulse = Pulse("terminal c001/t1")
    pulse.not_ready("broker_away")
    server = HealthServer("127.0.0.1", 0, [pulse])
    server.start()
    try:
        assert edge_status.not_ready(HttpSettings(port=server.port)) == {"terminal c001/t1": "broker_away"}
    finally:
        server.stop()


def test_a_role_of_the_centre_is_refused_before_it_issues_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = machine(tmp_path)
    before = (at / "keys/keyring.json").read_bytes()
    code, text = say(at, capsys, "run", "terminal", "parsing")
    assert code == 2
    assert "parsing: not on a clinic's machine" in text
    assert (at / "keys/keyring.json").read_bytes() == before


@pytest.mark.parametrize(("edge", "role"), [(TERMINAL, Role.TERMINAL), (CHART, Role.CHART)])
def test_without_a_role_a_machine_runs_what_it_is_set_up_for(tmp_path: Path, edge: str, role: Role) -> None:
    assert _all_roles(load(machine(tmp_path, edge) / "onshi.toml", {})) == (role,)


def test_a_strange_program_at_the_port_is_none_of_ours() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            caller, _ = server.accept()
            with caller:
                caller.sendall(b"SSH-2.0-OpenSSH\r\n")
                caller.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        assert edge_status.not_ready(HttpSettings(port=server.getsockname()[1])) is None
        thread.join()


@pytest.mark.parametrize(
    "words",
    [
        ("files", "list"),
        ("parked", "list"),
        ("verify",),
        ("results", "list"),
        ("store", "show"),
        ("store", "upgrade"),
    ],
)
def test_what_needs_the_store_says_where_to_ask(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    at = machine(tmp_path)
    code, text = say(at, capsys, *words)
    assert code == 1
    assert "ask at the centre" in text
    assert not list(at.rglob("onshi.db"))


@pytest.mark.parametrize(("offset", "said"), [(3600.0, "CLOCK 3600 s ahead"), (-61.0, "CLOCK 61 s behind"), (59.0, "")])
def test_the_centre_names_a_terminal_whose_clock_is_off(offset: float, said: str) -> None:
    assert status_of_centre._clock({"clock_offset_seconds": offset}).strip() == said
    assert not status_of_centre._clock({"clock_offset_seconds": None})
