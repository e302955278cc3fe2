"""The keys of a group are tended as the group is now, not as it was when the process began."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline.cli import key_care
from pipeline.clock import SystemClock
from pipeline.keyring import Keyring
from pipeline.settings import load
from pipeline.storage.schema import outbox
from tests.support.centre import make_store
from tests.support.eventually import eventually

MAIN = '[broker]\nurl = "amqps://broker/onshi"\ndeclare = false\n[group]\nadmin = "admin"\n'
CLINIC = '[[clinics]]\nid = "{0}"\ninstitution_codes = ["{1}"]\n[clinics.chart]\ninbox = "{0}/in"\n'
CLINIC += 'patients = "{0}/patients.csv"\n'


def test_a_machine_that_came_since_the_start_is_told_what_to_seal_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(key_care, "FIRST_SECONDS", 0.01)
    (tmp_path / "onshi.toml").write_text(MAIN)
    (tmp_path / "clinic.c001.toml").write_text(CLINIC.format("c001", "9919000011"))
    settings, store = load(tmp_path, {}), make_store(f"sqlite:///{tmp_path}/onshi.db")
    key_care.issue_keys(settings, datetime.now(UTC))
    run = key_care.caretaker(settings, Keyring(settings.keys.dir), store, SystemClock())
    (tmp_path / "clinic.c002.toml").write_text(CLINIC.format("c002", "9919000029"))
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(stop,))
    thread.start()

    def told() -> set[str]:
        with store.reading() as connection:
            return {key.split(".")[1] for key in connection.scalars(select(outbox.c.routing_key))}

    try:
        eventually(lambda: told() == {"c001", "c002"})
    finally:
        stop.set()
        thread.join(20)
        store.close()
