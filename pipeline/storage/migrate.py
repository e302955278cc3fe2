"""Which revision has this store, does it fit this program, and how is it brought up?

Alembic, run inside a given connection, without an ini file. Revisions count up: `0001`, `0002`, …
"""

import os
import pwd
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, create_engine, insert, inspect

from pipeline.errors import UnfitStateError
from pipeline.storage.schema import metadata
from pipeline.storage.upgrades import upgrades

MIGRATIONS = Path(__file__).parent / "migrations"


class Fit(StrEnum):
    """How a store's tables stand to this program."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    STRANGE = "strange"
    """It has tables that no release of ours made like this."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The revision a store has (none: none of ours), and the one this program works with."""

    fit: Fit
    found: str | None
    wanted: str


class SchemaError(UnfitStateError):
    """The store's tables are not this program's. Nothing was touched."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        super().__init__(_SENTENCES[standing.fit].format(found=standing.found, wanted=standing.wanted))


_SENTENCES: Mapping[Fit, str] = {
    Fit.OLDER: (
        "the store is of an older release (revision {found}, this program works with {wanted}); nothing was touched: "
        "stop every role, make a backup, then `onshi store upgrade`"
        " (データベースが古い版 {found} のため何も変更していません。全ての役割を停止し、バックアップの後に"
        " `onshi store upgrade` を実行してください)"
    ),
    Fit.NEWER: (
        "the store is of a newer release (revision {found}, this program works with {wanted}); nothing was touched: "
        "install the release that `onshi store show` names"
        " (データベースが新しい版 {found} のため何も変更していません。`onshi store show` に表示される版の"
        "プログラムを導入してください)"
    ),
    Fit.STRANGE: (
        "the store's tables are those of no release (revision {found}: a trial before 0.1.0, or not Onshi's); nothing "
        "was touched: name an empty database in store.url, see `onshi store show`"
        " (データベースの表がどの版とも一致しないため何も変更していません。store.url に空のデータベースを"
        "指定してください。`onshi store show` で確認できます)"
    ),
}


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def revisions() -> list[str]:
    """Name every revision, oldest first; the last is this program's."""
    return [script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()][::-1]


def look(connection: Connection) -> Standing:
    """Say how a store stands to this program. Reads only."""
    known = revisions()
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None:
        ours = metadata.tables.keys() & set(inspect(connection).get_table_names())
        return Standing(Fit.STRANGE if ours else Fit.EMPTY, None, known[-1])
    if found == known[-1]:
        return Standing(Fit.CURRENT, found, known[-1])
    if found in known:
        return Standing(Fit.OLDER, found, known[-1])
    return Standing(Fit.NEWER if found.isdecimal() and found > known[-1] else Fit.STRANGE, found, known[-1])


def make(connection: Connection) -> None:
    """Make every table in an empty store; what is there must be this program's.

    Raises:
        SchemaError: it is not.
    """
    standing = look(connection)
    if standing.fit is Fit.EMPTY:
        _run(connection, standing.wanted)
        _remember(connection, [standing.wanted])
    elif standing.fit is not Fit.CURRENT:
        raise SchemaError(standing)


def upgrade(connection: Connection) -> list[str]:
    """Run every migration that is missing, in the transaction of the connection; returns their revisions.

    Raises:
        SchemaError: it is newer, or is not what its revision says.
    """
    standing = look(connection)
    if standing.fit is Fit.CURRENT:
        return []
    if standing.fit is not Fit.OLDER:
        make(connection)
        return [standing.wanted]
    assert standing.found is not None
    if lacking(connection, standing.found):
        raise SchemaError(Standing(Fit.STRANGE, standing.found, standing.wanted))
    known = revisions()
    run = known[known.index(standing.found) + 1 :]
    _run(connection, standing.wanted)
    _remember(connection, run)
    return run


def lacking(connection: Connection, revision: str) -> list[str]:
    """Name the tables and columns that a store of this revision has, and this one has not."""
    scratch = create_engine("sqlite://")
    with scratch.begin() as other:
        _run(other, revision)
        wanted = _columns(other)
    scratch.dispose()
    return sorted(wanted - _columns(connection))


def _columns(connection: Connection) -> set[str]:
    inspector = inspect(connection)
    return {f"{table}.{one['name']}" for table in inspector.get_table_names() for one in inspector.get_columns(table)}


def _run(connection: Connection, revision: str) -> None:
    config = configuration()
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


def _remember(connection: Connection, run: list[str]) -> None:
    row = {"program": version("onshi"), "os_user": pwd.getpwuid(os.geteuid()).pw_name, "at": datetime.now(UTC)}
    connection.execute(insert(upgrades), [{"revision": revision, **row} for revision in run])
