"""What do store and broker hold, and what went through them? Asked of the servers, never of the product."""

import re
import sqlite3
import urllib.request
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import create_engine, func, select, text

from benchmarks.setups import Place
from pipeline.broker.open import EMBEDDED_FILE
from pipeline.storage.schema import metadata

COUNTERS: Final = {
    "published": "rabbitmq_global_messages_received_total",
    "delivered": "rabbitmq_global_messages_delivered_total",
    "bytes_in": "rabbitmq_connection_incoming_bytes_total",
    "bytes_out": "rabbitmq_connection_outgoing_bytes_total",
}
"""What RabbitMQ counts itself, by the word it has here."""

_SIZES: Final = text(
    "SELECT relname, pg_total_relation_size(oid) FROM pg_class WHERE relkind = 'r' AND relnamespace ="
    " current_schema()::regnamespace"
)
_WAL: Final = text("SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')")


@dataclass(frozen=True, slots=True)
class Held:
    """What was there at one moment, by table; and what had gone through."""

    rows: Mapping[str, int]
    sizes: Mapping[str, int]
    wal: int
    """Bytes of PostgreSQL's log so far; 0 for SQLite."""
    counters: Mapping[str, float] = field(default_factory=dict)


def held(place: Place) -> Held:
    """Look into store and broker. Takes some tenths of a second: never while time is measured."""
    engine = create_engine(place.site.settings.store.url)
    try:
        with engine.connect() as connection:
            rows = {
                name: connection.scalar(select(func.count()).select_from(table)) or 0
                for name, table in metadata.tables.items()
            }
            wal = int(connection.scalar(_WAL) or 0) if place.postgres else 0
            sizes = {name: int(size) for name, size in connection.execute(_SIZES)} if place.postgres else {}
    finally:
        engine.dispose()
    return Held(rows, sizes or _sqlite_sizes(place), wal, _counters(place))


def certified(place: Place) -> int:
    """Count certificates: the last thing that becomes of a file."""
    engine = create_engine(place.site.settings.store.url)
    try:
        with engine.connect() as connection:
            return connection.scalar(select(func.count()).select_from(metadata.tables["certificates"])) or 0
    finally:
        engine.dispose()


def _sqlite_sizes(place: Place) -> dict[str, int]:
    """Size of each table with its indexes, in pages of the file as it is committed."""
    path = place.site.settings.store.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        sizes = dict(db.execute("SELECT name, sum(pgsize) FROM dbstat GROUP BY name"))
        owners = db.execute("SELECT name, tbl_name FROM sqlite_master WHERE type IN ('table', 'index')").fetchall()
    found: dict[str, int] = {}
    for name, table in owners:
        found[table] = found.get(table, 0) + int(sizes.get(name, 0))
    return found


def _counters(place: Place) -> dict[str, float]:
    if place.rabbit is None:
        return _embedded_counters(place)
    with urllib.request.urlopen(f"http://127.0.0.1:{place.rabbit.metrics_port}/metrics", timeout=30) as answer:
        page = answer.read().decode()
    return {word: _total(page, name) for word, name in COUNTERS.items()}


def _total(page: str, name: str) -> float:
    lines = re.findall(rf"^{name}(?:\{{[^}}]*\}})? (\S+)$", page, flags=re.MULTILINE)
    return sum(float(value) for value in lines)


def _embedded_counters(place: Place) -> dict[str, float]:
    """Only how many messages were ever entered: each queue's copy is one."""
    path = place.state / EMBEDDED_FILE
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as db:
        found = db.execute("SELECT seq FROM sqlite_sequence WHERE name = 'message'").fetchone()
    return {"delivered": float(found[0]) if found else 0.0}
