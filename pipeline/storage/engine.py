"""How is the store opened, and what is a transaction in it?

SQLite: WAL, synchronous FULL, `BEGIN IMMEDIATE`, secure_delete. PostgreSQL: read committed, rows locked by the
queries that need it, for as long as somebody works. Anything that says the store is away becomes `StoreAwayError`;
the consumer then pauses.
"""

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, Table, create_engine, event, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError, IntegrityError, InterfaceError, OperationalError

from pipeline.errors import AwayError, TransientError
from pipeline.private import make_private
from pipeline.storage.schema import metadata
from pipeline.storage.standing import Fit, look

BUSY_SECONDS = 30
_NAME = "onshi"
IDLE_SECONDS = 60.0
"""How long a writer may stand still in a transaction on PostgreSQL before the server ends it.

Its machine may be asleep, or gone without a word: other instances would wait for its rows for hours.
"""
_SCHEMA_LOCK = 0x0A51  # one migration at a time on PostgreSQL


class StoreAwayError(AwayError):
    """The store cannot be reached, is locked or full. Nothing was written."""


class Store:
    """The centre's store. Thread-safe; every transaction has its own connection."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def transaction(self) -> Iterator[Connection]:
        """Open a writing transaction, committed when the block ends without an exception.

        Raises:
            StoreAwayError: nothing was written.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            if _sqlstate(error) in _READ_ONLY:
                # Every connection that is kept may lead to the same server; a new one asks for the way anew.
                self.engine.dispose()
            raise _translated(error) from None

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Open a transaction for reading only; it never waits for a writer."""
        try:
            with self.engine.connect().execution_options(onshi_read=True) as connection:
                if self.is_postgresql:
                    # A reader mostly holds nobody up, and may have much to do with what it was given.
                    _end_when_idle(connection, 0)
                yield connection
                connection.rollback()
        except DBAPIError as error:
            raise _translated(error) from None

    def make_schema(self) -> None:
        """Make every table in an empty store; several processes may call it at once.

        Raises:
            SchemaError: the store is of another release. It is left as it is.
        """
        with self.reading() as connection:
            if look(connection).fit is Fit.CURRENT:
                return
        # Alembic is slow to import, and needed once.
        from pipeline.storage.migrate import make  # noqa: PLC0415

        with self._changing_schema() as connection:
            make(connection)

    def upgrade_schema(self) -> list[str]:
        """Bring the schema up to this program's, in one transaction; returns the revisions that were run.

        Raises:
            SchemaError: it is newer, or no release's. It is left as it is.
        """
        from pipeline.storage.migrate import upgrade  # noqa: PLC0415

        with self._changing_schema() as connection:
            return upgrade(connection)

    @contextmanager
    def _changing_schema(self) -> Iterator[Connection]:
        with self.transaction() as connection:
            if self.is_postgresql:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_SCHEMA_LOCK})"))
            yield connection

    def takes_writes(self) -> bool:
        """Say whether anything can be written here; on a standby of PostgreSQL nothing can."""
        if not self.is_postgresql:
            return True
        with self.reading() as connection:
            return bool(connection.scalar(text("SHOW transaction_read_only")) == "off")

    def sessions(self) -> int:
        """Count the other processes of ours that have this store open; SQLite knows none."""
        if not self.is_postgresql:
            return 0
        query = (
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = :name AND datname = current_database()"
            " AND pid <> pg_backend_pid()"
        )
        with self.reading() as connection:
            return int(connection.scalar(text(query), {"name": _NAME}) or 0)

    def close(self) -> None:
        self.engine.dispose()


class StoreConflictError(TransientError):
    """Another instance wrote the same at the same time; nothing was written, and once more will do."""


class StoreFaultError(Exception):
    """The store refused a statement: a bug of ours. Carries the kind of error only."""


_CONFLICTS = frozenset({"40001", "40P01", "55P03", "23505"})
"""PostgreSQL: serialization failure, deadlock, lock not available, unique violation."""
_READ_ONLY = frozenset({"25006"})
"""PostgreSQL: a standby, or a primary that was demoted. It can be written again where, and when, one is promoted."""


def _sqlstate(error: DBAPIError) -> str | None:
    return getattr(error.orig, "sqlstate", None)


def _translated(error: DBAPIError) -> Exception:
    """Say what a database error means, without its text: PostgreSQL quotes the values it was given."""
    kind = type(error.orig).__name__
    if _sqlstate(error) in _CONFLICTS or isinstance(error, IntegrityError):
        return StoreConflictError(kind)
    is_away = isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated
    if is_away or _sqlstate(error) in _READ_ONLY:
        return StoreAwayError(f"the store is away ({kind})")
    return StoreFaultError(kind)


def open_store(url: str) -> Store:
    """Open `sqlite:///path` or `postgresql+psycopg://…`. Connects when first used.

    Raises:
        StoreAwayError: the folder of an SQLite store cannot be written.
    """
    parsed = make_url(url)
    if parsed.get_backend_name() == "postgresql":
        engine = create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_size=4,
            hide_parameters=True,
            connect_args={"connect_timeout": 5, "application_name": _NAME},
        )
        event.listen(engine, "connect", _prepare_postgresql)
        event.listen(engine, "after_cursor_execute", _watch_again)
        return Store(engine)
    if parsed.database and parsed.database != ":memory:":
        try:
            make_private(Path(parsed.database))
        except OSError as error:
            raise StoreAwayError(f"the store cannot be made ({type(error).__name__})") from None
    engine = create_engine(parsed, hide_parameters=True, connect_args={"timeout": BUSY_SECONDS})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_immediate)
    return Store(engine)


def before_locking(connection: Connection) -> None:
    """Say that a transaction is about to lock rows: from then on it holds others up, though it only reads."""
    if connection.dialect.name == "postgresql" and connection.get_execution_options().get("onshi_read", False):
        _end_when_idle(connection, IDLE_SECONDS)


def _end_when_idle(connection: Connection, seconds: float) -> None:
    connection.execute(text(f"SET LOCAL idle_in_transaction_session_timeout = {round(seconds * 1000)}"))


def _prepare_postgresql(raw: Any, _record: object) -> None:
    raw.execute(f"SET idle_in_transaction_session_timeout = {round(IDLE_SECONDS * 1000)}")
    raw.commit()


def _watch_again(_c: Connection, cursor: Any, _statement: str, _rows: Any, _context: Any, executemany: bool) -> None:  # noqa: FBT001 - called by SQLAlchemy
    # psycopg sends many rows as a pipeline and a flush after it, at which the server forgets that it counts.
    if executemany:
        cursor.connection.execute("SELECT 1")


def _prepare_sqlite(raw: sqlite3.Connection, _record: object) -> None:
    raw.isolation_level = None  # transactions are begun by _begin_immediate, not guessed by the driver
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "foreign_keys=ON"):
        raw.execute(f"PRAGMA {pragma}").close()


def _begin_immediate(connection: Connection) -> None:
    reading = connection.get_execution_options().get("onshi_read", False)
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def insert_new(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert rows; one whose primary key is there already is left as it is."""
    if rows:
        statement = insert_into(connection, table).on_conflict_do_nothing()
        connection.execute(statement, list(rows))


def upsert(
    connection: Connection,
    table: Table,
    rows: Sequence[Mapping[str, Any]],
    update: Iterable[str],
    *,
    only_if_newer: str | None = None,
) -> None:
    """Insert rows, or update the named columns of those that are there.

    With `only_if_newer`, an existing row is touched only when that column of the new row is greater.
    """
    if not rows:
        return
    statement = insert_into(connection, table)
    excluded = statement.excluded
    statement = statement.on_conflict_do_update(
        index_elements=list(table.primary_key.columns),
        set_={name: excluded[name] for name in update},
        where=(table.c[only_if_newer] < excluded[only_if_newer]) if only_if_newer else None,
    )
    connection.execute(statement, list(rows))


def insert_into(connection: Connection, table: Table) -> Any:
    """Begin an insert that may say what becomes of a row that is there already; each dialect has its own."""
    # One of the two is always imported for nothing, with every driver there is for it.
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects import postgresql  # noqa: PLC0415

        return postgresql.insert(table)
    from sqlalchemy.dialects import sqlite  # noqa: PLC0415

    return sqlite.insert(table)


__all__ = [
    "Store",
    "StoreAwayError",
    "StoreConflictError",
    "StoreFaultError",
    "before_locking",
    "insert_into",
    "insert_new",
    "metadata",
    "open_store",
    "upsert",
]
