"""Alembic's entry: runs on the connection it is given (`pipeline.storage.migrate`)."""

from alembic import context

from pipeline.storage.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
