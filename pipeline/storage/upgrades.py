"""Which release made this store, and which ones brought it up? Written with the change itself; `onshi store show`."""

from sqlalchemy import Column, String, Table

from pipeline.storage.columns import Moment, metadata

upgrades = Table(
    "upgrades",
    metadata,
    Column("revision", String(32), primary_key=True),
    Column("program", String(32), nullable=False),  # version of Onshi
    Column("os_user", String(64), nullable=False),
    Column("at", Moment, nullable=False),
)
