"""How does an older schema become this one? Alembic, run inside a given connection, without an ini file."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

MIGRATIONS = Path(__file__).parent / "migrations"


def configuration() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def upgrade(connection: Connection) -> None:
    """Run every migration that is missing, in the transaction of the connection."""
    config = configuration()
    if (
        MigrationContext.configure(connection).get_current_revision()
        == ScriptDirectory.from_config(config).get_current_head()
    ):
        return
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
