"""What does the command line say to a store of another release?"""

import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import text

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.storage import Store


def set_revision(store: Store, revision: str) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def test_every_command_and_role_refuses_a_store_of_another_release_with_exit_code_2(office) -> None:
    path = office.root / "state" / "onshi.db"
    set_revision(office.store, "0001")
    with office.store.transaction() as connection:
        connection.execute(text("DROP TABLE upgrades"))
    for words in (("status",), ("run",), ("run", "parsing"), ("files", "list")):
        code, said = office.say(*words)
        assert (code, said.count("\n")) == (2, 1), said
        assert "`onshi store upgrade`" in said
        assert "バックアップ" in said
    assert not (office.root / "state" / "broker.db").exists()
    assert office.say("store", "show")[0] == 1
    assert office.say("check")[0] == 1
    code, said = office.say("store", "upgrade")
    assert code == 0
    assert "backup" in said
    shown = office.ask("store", "show")
    assert (shown["fit"], shown["lacking"]) == ("current", [])
    assert [row["revision"] for row in shown["upgrades"]] == ["0002"]
    assert office.ask("store", "upgrade")["run"] == []
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE alembic_version SET version_num = '0999'")
        db.commit()
    for words in (("status",), ("run",), ("store", "upgrade")):
        code, said = office.say(*words)
        assert (code, "newer" in said) == (2, True), said
    assert office.say("store", "show")[0] == 1


def test_a_store_is_not_brought_up_under_roles_that_work(office) -> None:
    with closing(EmbeddedBroker(office.root / "state" / "broker.db")):
        code, said = office.say("store", "upgrade")
    assert code == 2
    assert "stop every one first" in said


@pytest.mark.parametrize("name", ["edge/c001.t1.db", "edge/c001.chart.db", "broker.db"])
def test_state_of_a_newer_release_on_this_machine_is_named_and_no_command_works_with_it(office, name: str) -> None:
    path = office.root / "state" / name
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 2")
    before = path.read_bytes()
    code, said = office.say("check")
    assert (code, said.count("newer release"), "新しい版" in said) == (1, 1, True), said
    assert office.say("run")[0] == 2
    if name != "broker.db":
        assert office.say("resend")[0] == 2
    assert path.read_bytes() == before
