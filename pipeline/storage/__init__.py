"""The centre's store: one schema on SQLite or PostgreSQL."""

from pipeline.storage.engine import Store, StoreAwayError, open_store

__all__ = ["Store", "StoreAwayError", "open_store"]
