"""The first release's schema, as it was: in words of its own, because the model goes on changing."""

from pathlib import Path

from alembic import op

revision = "0001"
down_revision = None

_NAMES = {"postgresql": {" BLOB": " BYTEA", " DATETIME": " TIMESTAMP WITH TIME ZONE"}}


def upgrade() -> None:
    connection = op.get_bind()
    script = Path(__file__).with_suffix(".sql").read_text(encoding="utf-8").partition("\n")[2]
    for word, name in _NAMES.get(connection.dialect.name, {}).items():
        script = script.replace(word, name)
    for statement in script.split(";\n"):
        if statement.strip():
            connection.exec_driver_sql(statement)
