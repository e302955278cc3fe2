"""What waits for vendors? Imported by `pipeline.storage.schema`, which has every table."""

from sqlalchemy import BigInteger, Column, Index, LargeBinary, String, Table

from pipeline.storage.columns import Moment, identifier, metadata

vendor_held = Table(
    "vendor_held",
    metadata,
    Column("vendor", String(31), primary_key=True),
    identifier("event_id", primary_key=True),
    Column("number", BigInteger, nullable=False),  # order of holding
    Column("type", String(30), nullable=False),
    Column("reason", String(40), nullable=False),
    Column("body", LargeBinary, nullable=False),  # the event from inside, which carries handles only
    Column("said_at", Moment, nullable=False),
    Column("held_at", Moment, nullable=False),
    Index("vendor_held_in_order", "vendor", "number"),
)
"""Events that a vendor cannot be told yet, because its key or its secret cannot be used. Publication writes it."""
