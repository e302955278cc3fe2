"""Content ends with its month also where a terminal, or its whole clinic, has left; and who came is reckoned with."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from pipeline import standing_keys
from pipeline.cli import key_care
from pipeline.cli.key_care import caretaker, tend
from pipeline.keyring import Keyring
from pipeline.settings import KeysSettings, Settings, load
from pipeline.standing_keys import OVERLAP
from pipeline.storage.schema import files, outbox
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.edge_report import hear
from tests.support.retained import MAY, add, row_of

DUE = datetime(2027, 7, 20, 1, 0, tzinfo=UTC)
"""When May's content has had its twelve months, and there is no key of this month for who left in May."""


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path)
    settings = settings.model_copy(update={"keys": KeysSettings(dir=tmp_path / "keys")})
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, MAY), store)
    store.close()


def without_clinic(settings: Settings) -> Settings:
    return settings.model_copy(update={"clinics": settings.clinics[1:]})


def without_terminal(settings: Settings) -> Settings:
    clinic, *others = settings.clinics
    left = clinic.model_copy(update={"terminals": clinic.terminals[1:]})
    return settings.model_copy(update={"clinics": (left, *others)})


def test_a_clinic_that_left_takes_its_content_with_it_when_its_months_end(centre: Centre) -> None:
    add(centre)
    hear(centre.store, MAY)
    assert tend(without_clinic(centre.settings), centre.keyring, centre.store, DUE) > 0
    assert row_of(centre, files)["sealed_original"] == b""


def test_a_terminal_that_was_taken_out_keeps_no_month_for_ever(centre: Centre) -> None:
    add(centre)
    hear(centre.store, MAY)
    hear(centre.store, DUE, edge="t2")
    tend(centre.settings, centre.keyring, centre.store, DUE)
    assert row_of(centre, files)["sealed_original"] != b""
    assert tend(without_terminal(centre.settings), centre.keyring, centre.store, DUE) > 0
    assert row_of(centre, files)["sealed_original"] == b""


# Who came


GROUP = '[keys]\ndir = "keys"\n[[clinics]]\nid = "c1"\ninstitution_codes = ["9919000011"]\n'
ADDED = """
[[clinics]]
id = "c2"
institution_codes = ["9919000029"]
[clinics.chart]
inbox = "elsewhere/inbox"
patients = "elsewhere/patients.csv"
"""


class Later:
    """A clock a day after the replacement."""

    def now(self) -> datetime:
        return MAY + OVERLAP

    def monotonic(self) -> float:
        return 0.0


class Once(threading.Event):
    """Lets a part do its work once."""

    def wait(self, timeout: float | None = None) -> bool:
        del timeout
        was_set = self.is_set()
        self.set()
        return was_set


def test_the_key_of_a_clinic_that_came_since_the_start_stands_until_its_edges_have_spoken(tmp_path: Path) -> None:
    group = tmp_path / "group"
    group.mkdir()
    (group / "onshi.toml").write_text(GROUP)
    at_the_start = load(group)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    (group / "clinic.c2.toml").write_text(ADDED)
    now = load(group)
    key_care.issue_keys(now, MAY)
    keys = Keyring(now.keys.dir)
    standing_keys.rotate(now.keys.dir, ["c2"], MAY)
    caretaker(at_the_start, keys, store, Later())(Once())
    (former,) = standing_keys.replaced(keys)
    assert former.is_usable
    with store.reading() as connection:
        assert "keys.c2.chart.published.v1" in set(connection.scalars(select(outbox.c.routing_key)))
    store.close()
