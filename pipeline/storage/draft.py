"""Which migration does the model's last change need? `make migration NAME=what_changed` writes a draft of it.

The draft brings the tables to the model; what becomes of the rows is for a person: a column that may not be null needs
a `server_default`, or a value first.
"""

import sys
from pathlib import Path
from typing import Any, Final, Literal

from alembic import command
from alembic.autogenerate import produce_migrations, render_python_code
from alembic.autogenerate.api import AutogenContext
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine

from pipeline.storage.columns import Moment
from pipeline.storage.engine import metadata
from pipeline.storage.migrate import configuration
from pipeline.storage.standing import MIGRATIONS, revisions

_TEMPLATE: Final = '''\
"""{says}: say here whom it serves."""

import sqlalchemy as sa
from alembic import op

revision = "{revision}"
down_revision = "{before}"


def upgrade() -> None:
    {code}
'''


def draft(name: str) -> str | None:
    """Write the Python of the next migration; none where tables and model agree."""
    engine = create_engine("sqlite://")
    try:
        with engine.begin() as connection:
            config = configuration()
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            options = {"render_as_batch": True, "render_item": _render, "compare_type": True}
            wanted = produce_migrations(MigrationContext.configure(connection, opts=options), metadata)
    finally:
        engine.dispose()
    if wanted.upgrade_ops is None or wanted.upgrade_ops.is_empty():
        return None
    code = render_python_code(wanted.upgrade_ops, render_as_batch=True, render_item=_render)
    lines = [line for line in code.splitlines() if not line.strip().startswith("#")]
    before = revisions()[-1]
    return _TEMPLATE.format(
        says=name.replace("_", " ").capitalize(),
        revision=following(before),
        before=before,
        code="\n".join(lines).strip(),
    )


def following(revision: str) -> str:
    return f"{int(revision) + 1:04}"


def _render(kind: str, item: Any, _: AutogenContext) -> str | Literal[False]:
    # A migration never names the model, which goes on changing.
    return "sa.DateTime(timezone=True)" if kind == "type" and isinstance(item, Moment) else False


def main(name: str) -> int:
    text = draft(name)
    if text is None:
        sys.stdout.write("the tables are what the model says\n")
        return 1
    path: Path = MIGRATIONS / "versions" / f"{following(revisions()[-1])}_{name}.py"
    path.write_text(text, encoding="utf-8")
    sys.stdout.write(f"{path}: read it, mend it, run `make format`\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
