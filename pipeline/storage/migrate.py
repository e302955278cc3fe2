"""How is a store's schema made, and brought up from an older release?

Alembic, run inside a given connection, without an ini file.
"""

import os
import pwd
from datetime import UTC, datetime
from importlib.metadata import version

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, create_engine, insert, inspect

from pipeline.storage import standing as standings
from pipeline.storage.standing import Fit, SchemaError, Standing, look, revisions
from pipeline.storage.upgrades import upgrades


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(standings.MIGRATIONS))
    return config


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
