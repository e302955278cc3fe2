"""The first schema: everything the spine needs."""

from alembic import op

from pipeline.storage.schema import metadata

revision = "0001"
down_revision = None


def upgrade() -> None:
    # The first release makes the tables as the model has them; from the second on each change is spelled out.
    metadata.create_all(op.get_bind())


def downgrade() -> None:
    metadata.drop_all(op.get_bind())
