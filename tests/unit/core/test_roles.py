"""What do the parts of a process keep up, beside the roles themselves?"""

import threading
from pathlib import Path

import pytest

from consumers.parsing import Parsing
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.embedded_tables import Tables
from pipeline.broker.port import TopologyError
from pipeline.cli import centre, roles
from pipeline.cli.roles import Assembly
from pipeline.cli.turns import in_turns
from pipeline.keyring import Keyring
from pipeline.pulse import Pulse
from pipeline.settings import Settings, load
from pipeline.topology import Role, build, work_queue
from tests.support.centre import make_settings
from tests.support.eventually import eventually


def test_a_queue_that_is_deleted_while_we_run_is_declared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DECLARE_EVERY_SECONDS", "MISSED_EVERY_SECONDS", "FIRST_PAUSE_SECONDS"):
        monkeypatch.setattr(roles, name, 0.05)
    # The default folders of keys and state are relative.
    monkeypatch.chdir(tmp_path)
    settings = make_settings(tmp_path)
    assembly = Assembly(settings, [Role.PARSING])
    broker = assembly._broker._broker
    assert isinstance(broker, EmbeddedBroker)
    topology, stop = assembly.parts()[0], threading.Event()
    thread = threading.Thread(target=topology.run, args=(stop,))
    thread.start()

    def is_there() -> bool:
        try:
            broker.check(build(settings.edges))
        except TopologyError:
            return False
        return True

    def delete_queue(tables: Tables) -> None:
        tables._begin()
        tables._db.execute("DELETE FROM queue WHERE name = ?", (work_queue(Role.PARSING),))
        tables.reload()

    try:
        eventually(is_there)
        broker._writer.do(delete_queue)
        eventually(is_there)
    finally:
        stop.set()
        thread.join(10)
        assembly.close()


def test_a_running_role_begins_anew_with_a_clinic_that_comes_to_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "onshi.toml").write_text('[broker]\nurl = "embedded:"\n')
    (tmp_path / "clinic.c001.toml").write_text('[[clinics]]\nid = "c001"\ninstitution_codes = ["9919000011"]\n')
    made: list[int] = []

    def parsing(settings: Settings, keyring: Keyring) -> Parsing:
        made.append(len(settings.clinics))
        return Parsing(settings, keyring)

    monkeypatch.setattr(centre, "part_of", lambda _: parsing)
    assembly, stop = Assembly(load(tmp_path, {}), [Role.PARSING]), threading.Event()
    (part,) = (part for part in assembly.parts() if part.name == Role.PARSING)
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: made == [1])
        (tmp_path / "clinic.c002.toml").write_text('[[clinics]]\nid = "c002"\ninstitution_codes = ["9919000029"]\n')
        eventually(lambda: made == [1, 2])
    finally:
        stop.set()
        thread.join(20)
        assembly.close()


def test_a_clinic_that_comes_to_a_running_group_is_served_until_it_leaves(tmp_path: Path) -> None:
    (tmp_path / "onshi.toml").write_text('[broker]\nurl = "embedded:"\n')
    (tmp_path / "clinic.c001.toml").write_text('[[clinics]]\nid = "c001"\ninstitution_codes = ["9919000011"]\n')
    stop, served = threading.Event(), list[tuple[str, ...]]()

    def work(settings: Settings, turn: threading.Event) -> None:
        served.append(tuple(clinic.id for clinic in settings.clinics))
        while not turn.wait(0.05):
            pass

    thread = threading.Thread(target=in_turns, args=(load(tmp_path, {}), stop, work))
    thread.start()
    try:
        eventually(lambda: served == [("c001",)])
        (tmp_path / "clinic.c002.toml").write_text('[[clinics]]\nid = "c002"\ninstitution_codes = ["9919000029"]\n')
        eventually(lambda: served == [("c001",), ("c001", "c002")])
        (tmp_path / "clinic.c003.toml").write_text("[[clinics")
        (tmp_path / "clinic.c002.toml").unlink()
        (tmp_path / "clinic.c003.toml").unlink()
        eventually(lambda: served[-1] == ("c001",))
    finally:
        stop.set()
        thread.join(10)
    assert not thread.is_alive()


class Idle:
    """An edge that has nothing to do."""

    def run(self, stop: threading.Event) -> None:
        stop.wait()

    def is_ready(self) -> tuple[bool, str]:
        return True, ""

    def last_tick(self) -> float:
        return 1.0


def test_an_edge_that_is_ready_says_so_long_before_its_second_look_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(roles, "READY_EVERY_SECONDS", 3600.0)
    pulse, done = Pulse("terminal c001/t1"), threading.Event()
    assert pulse.why_not_ready
    thread = threading.Thread(target=roles._watch, args=(Idle(), pulse, done))
    thread.start()
    try:
        eventually(lambda: not pulse.why_not_ready)
    finally:
        done.set()
        thread.join(10)
