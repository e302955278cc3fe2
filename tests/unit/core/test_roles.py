"""What do the parts of a process keep up, beside the roles themselves?"""

import threading
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.embedded_tables import Tables
from pipeline.broker.port import TopologyError
from pipeline.cli import roles
from pipeline.cli.roles import Assembly
from pipeline.topology import Role, build, work_queue
from tests.support.centre import make_settings
from tests.support.eventually import eventually


def test_a_queue_that_is_deleted_while_we_run_is_declared_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DECLARE_EVERY_SECONDS", "MISSED_EVERY_SECONDS", "FIRST_PAUSE_SECONDS"):
        monkeypatch.setattr(roles, name, 0.05)
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
