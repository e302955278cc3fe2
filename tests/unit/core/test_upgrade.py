"""What becomes of a store that another release left behind?"""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Column, Connection, MetaData, String, Table, func, insert, inspect, select, text

from pipeline.storage import Store, open_store
from pipeline.storage.columns import Moment
from pipeline.storage.draft import draft, following
from pipeline.storage.migrate import configuration
from pipeline.storage.schema import metadata
from pipeline.storage.standing import MIGRATIONS, SchemaError, look, revisions
from pipeline.storage.upgrades import upgrades

OLDER = revisions()[:-1]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    is_sqlite = request.param == "sqlite"
    opened = open_store(f"sqlite:///{tmp_path}/onshi.db" if is_sqlite else request.getfixturevalue("postgresql_url"))
    yield opened
    opened.close()


def make_older(store: Store, revision: str) -> dict[str, int]:
    """Make a store as a release made it, a row in every table; returns the rows of each."""
    with store.transaction() as connection:
        config = configuration()
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
        found = tables(connection)
        for table in found.values():
            if table.name != "alembic_version":
                connection.execute(insert(table), [{column.name: some(column.type) for column in table.columns}])
        return counts(connection)


def tables(connection: Connection) -> dict[str, Table]:
    found = MetaData()
    found.reflect(connection)
    return dict(found.tables)


def some(of: Any) -> object:
    day = date(2026, 5, 12)
    moment = datetime(2026, 5, 12, tzinfo=UTC)
    values = {str: "x", int: 1, bool: True, bytes: b"sealed", date: day, datetime: moment}
    return values[of.python_type]


def counts(connection: Connection) -> dict[str, int]:
    query = {name: select(func.count()).select_from(table) for name, table in tables(connection).items()}
    return {name: connection.scalar(each) or 0 for name, each in query.items()}


def set_revision(store: Store, revision: str) -> None:
    with store.transaction() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def state_of(store: Store) -> object:
    with store.reading() as connection:
        return counts(connection), sorted(inspect(connection).get_table_names()), look(connection)


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_store_comes_up_with_every_row_and_has_the_models_tables(empty: Store, revision: str) -> None:
    before = make_older(empty, revision)
    assert empty.upgrade_schema() == revisions()[revisions().index(revision) + 1 :]
    with empty.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        after = counts(connection)
        assert {name: after[name] for name in before} == before
        assert connection.scalars(select(upgrades.c.revision)).all()[-1] == revisions()[-1]
    assert empty.upgrade_schema() == []
    empty.make_schema()


@pytest.mark.parametrize("revision", OLDER)
def test_an_older_store_is_named_with_the_command_and_left_as_it_is(empty: Store, revision: str) -> None:
    make_older(empty, revision)
    before = state_of(empty)
    with pytest.raises(SchemaError, match=rf"{revision}.*onshi store upgrade.*バックアップ"):
        empty.make_schema()
    assert state_of(empty) == before


def test_a_newer_store_is_refused_by_every_way_and_left_as_it_is(empty: Store) -> None:
    empty.make_schema()
    set_revision(empty, "0999")
    before = state_of(empty)
    for bring in (empty.make_schema, empty.upgrade_schema):
        with pytest.raises(SchemaError, match=r"newer release \(revision 0999.*新しい版"):
            bring()
    assert state_of(empty) == before


@pytest.mark.parametrize("harm", ["DROP TABLE receipts", "ALTER TABLE requests DROP COLUMN phase"])
def test_a_trials_store_that_is_not_what_its_revision_says_is_never_brought_up(empty: Store, harm: str) -> None:
    make_older(empty, "0001")
    with empty.transaction() as connection:
        connection.execute(text(harm))
    before = state_of(empty)
    with pytest.raises(SchemaError, match="those of no release"):
        empty.upgrade_schema()
    assert state_of(empty) == before


def test_tables_without_a_revision_are_nobodys_to_touch(empty: Store) -> None:
    with empty.transaction() as connection:
        connection.execute(text("CREATE TABLE files (of_somebody_else INTEGER)"))
    for bring in (empty.make_schema, empty.upgrade_schema):
        with pytest.raises(SchemaError, match="those of no release"):
            bring()


def test_several_may_bring_a_store_up_at_once_and_one_does(empty: Store) -> None:
    make_older(empty, "0001")
    done: list[list[str]] = []
    threads = [threading.Thread(target=lambda: done.append(empty.upgrade_schema())) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(map(len, done)) == [0, 0, len(OLDER)]


def test_an_upgrade_that_fails_leaves_the_older_store_whole(empty: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    make_older(empty, "0001")
    before = state_of(empty)

    def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("pipeline.storage.migrate._remember", fail)
    with pytest.raises(RuntimeError):
        empty.upgrade_schema()
    assert state_of(empty) == before


@pytest.mark.postgresql
def test_sessions_of_other_processes_are_counted(postgresql_url: str) -> None:
    one, other = open_store(postgresql_url), open_store(postgresql_url)
    with closing(one), closing(other):
        one.make_schema()
        assert one.sessions() == 0
        with other.reading():
            assert one.sessions() == 1


# Writing the next one


def test_a_changed_model_is_told_from_its_tables_and_a_draft_brings_them_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert draft("nothing") is None
    changed = MetaData()
    for table in metadata.tables.values():
        table.to_metadata(changed)
    Table("notes", changed, Column("note", String(10), primary_key=True), Column("at", Moment, nullable=False))
    changed.tables["receipts"].append_column(Column("why", String(40)))
    monkeypatch.setattr("pipeline.storage.draft.metadata", changed)
    text = draft("why_and_notes")
    assert text is not None
    assert f'down_revision = "{revisions()[-1]}"' in text
    assert "Moment" not in text
    copied = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, copied, ignore=shutil.ignore_patterns("__pycache__"))
    (copied / "versions" / f"{following(revisions()[-1])}_why.py").write_text(text)
    store = open_store(f"sqlite:///{tmp_path}/onshi.db")
    store.make_schema()
    monkeypatch.setattr("pipeline.storage.standing.MIGRATIONS", copied)
    with closing(store):
        assert len(store.upgrade_schema()) == 1
        with store.reading() as connection:
            assert compare_metadata(MigrationContext.configure(connection), changed) == []
