"""Tables beside the consent ledger: what was made of each grant, and which answers could be tied to nobody."""

from sqlalchemy import Column, Index, Integer, String, Table

from pipeline.storage.columns import Moment, identifier, metadata

fetch_runs = Table(
    "fetch_runs",
    metadata,
    identifier("grant_id", primary_key=True),
    Column("result", String(20), primary_key=True),  # asked|stored|postponed|closed|validity|no_subject|unwritable
    Column("clinic", String(31), nullable=False),
    Column("at", Moment, nullable=False),
    Index("fetch_runs_by_clinic", "clinic", "at"),
)
"""What was decided under a grant, append-only: that requests were wanted, or why none; the first time counts."""

unheld_answers = Table(
    "unheld_answers",
    metadata,
    identifier("file_id", primary_key=True),
    Column("result", Integer, primary_key=True),
    Column("clinic", String(31), nullable=False),
    Column("terminal", String(31), nullable=False),
    Column("reason", String(20), nullable=False),  # thin: too little is told to know the person again
    Column("granted", Integer, nullable=False),  # how many categories were granted
    Column("recorded_at", Moment, nullable=False),
    Index("unheld_answers_by_clinic", "clinic", "recorded_at"),
)
"""Consents of a person whom nobody could tell from another: they grant nothing, and are seen in `consents missed`."""
