"""What does the embedded broker keep on disk, and how does a message move in it?

Only the writer's thread calls these; it opens and commits the transaction around them. A message is one row per queue
it is in. What happened to it since (handed out, how often) stands in `attempt`, so that a large body is written once.
Expiry, rejection and the delivery limit all end in `_bury`, which moves the row by way of the dead exchange.
"""

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from pipeline.broker.embedded_routing import RememberedRoutes, Routes
from pipeline.broker.port import Delivery, OutMessage, TopologyError
from pipeline.budget import fitting
from pipeline.errors import UnfitStateError
from pipeline.file_format import FileFormat
from pipeline.topology import NO_DELIVERY_LIMIT, Binding, ExchangeKind, ExchangeSpec, QueueSpec, Topology

SCHEMA = """
CREATE TABLE IF NOT EXISTS exchange (name TEXT PRIMARY KEY, kind TEXT NOT NULL, alternate TEXT);
CREATE TABLE IF NOT EXISTS queue (
    name TEXT PRIMARY KEY, dead_exchange TEXT, dead_key TEXT, ttl_ms INTEGER, delivery_limit INTEGER);
CREATE TABLE IF NOT EXISTS binding (
    exchange TEXT NOT NULL, queue TEXT NOT NULL, key TEXT NOT NULL, PRIMARY KEY (exchange, queue, key));
CREATE TABLE IF NOT EXISTS message (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, queue TEXT NOT NULL, message_id TEXT NOT NULL, routing_key TEXT NOT NULL,
    content_type TEXT NOT NULL, headers TEXT NOT NULL, dead_reason TEXT, due_ms INTEGER, body BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS message_by_queue ON message (queue, seq);
CREATE INDEX IF NOT EXISTS message_by_due ON message (due_ms) WHERE due_ms IS NOT NULL;
CREATE TABLE IF NOT EXISTS attempt (seq INTEGER PRIMARY KEY, handed_out INTEGER NOT NULL, held INTEGER NOT NULL);
"""
FORMAT = FileFormat(SCHEMA)

BURY_AGAIN_MS = 5_000
"""When a dead message is tried again whose dead exchange has no queue for it: it is never dropped."""

EXPIRE_AT_ONCE = 500

REASON_HEADER = "x-first-death-reason"
QUEUE_HEADER = "x-first-death-queue"


@dataclass(frozen=True, slots=True)
class _Row:
    """What is inserted for one queue."""

    routing_key: str
    message_id: str
    body: bytes
    headers: str
    content_type: str


def connect(path: Path) -> sqlite3.Connection:
    """Open the file so that a commit is on the disk and what was deleted is overwritten."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    try:
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON"):
            connection.execute(f"PRAGMA {pragma}").fetchall()
        FORMAT.prepare(connection, path.name)
    except (sqlite3.Error, UnfitStateError):
        connection.close()
        raise
    return connection


class Tables:
    """The broker's state. `rung` collects the queues that got something to hand out since it was last emptied."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._db = connection
        self.rung: set[str] = set()
        self.next_due_ms: int | None = None
        self._load()

    def recover(self) -> None:
        """After a start nothing is held; what was handed out too often is dead."""
        self._begin()
        self._db.execute("UPDATE attempt SET held = 0 WHERE held = 1")
        seqs = [seq for (seq,) in self._db.execute("SELECT seq FROM attempt")]
        self._bury_over_limit(seqs)
        self.find_next_due()

    def declare(self, topology: Topology) -> None:
        if topology.streams:
            raise TopologyError("streams for vendors need RabbitMQ")
        for exchange in topology.exchanges:
            _same(exchange.name, self._exchanges.get(exchange.name), exchange)
        for queue in topology.queues:
            _same(queue.name, self._queues.get(queue.name), queue)
        self._begin()
        self._db.executemany(
            "INSERT OR IGNORE INTO exchange VALUES (?, ?, ?)",
            [
                (str(e.name), e.kind.value, None if e.alternate is None else str(e.alternate))
                for e in topology.exchanges
            ],
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO queue VALUES (?, ?, ?, ?, ?)", [_queue_row(queue) for queue in topology.queues]
        )
        self._db.executemany(
            "INSERT OR IGNORE INTO binding VALUES (?, ?, ?)",
            [(str(b.exchange), b.queue, b.key) for b in topology.bindings],
        )
        self._load()

    def check(self, topology: Topology) -> None:
        missing = [str(e.name) for e in topology.exchanges if e.name not in self._exchanges]
        missing += [q.name for q in topology.queues if q.name not in self._queues]
        if missing:
            raise TopologyError(f"missing: {', '.join(missing)}")

    def require_queue(self, queue: str) -> None:
        if queue not in self._queues:
            raise TopologyError(f"missing: {queue}")

    def depth(self, queue: str) -> int:
        self.require_queue(queue)
        (count,) = self._db.execute(
            "SELECT count(*) FROM message m LEFT JOIN attempt a USING (seq)"
            " WHERE m.queue = ? AND m.dead_reason IS NULL AND coalesce(a.held, 0) = 0",
            (queue,),
        ).fetchone()
        return int(count)

    def publish(self, batch: Sequence[OutMessage]) -> list[str]:
        """Insert each message into its queues; return the ids of the mandatory ones that have none."""
        routed = [(message, self._routes.queues(message.exchange, message.routing_key)) for message in batch]
        for message, queues in routed:
            row = _Row(
                message.routing_key,
                message.message_id,
                message.body,
                json.dumps(dict(message.headers)),
                message.content_type,
            )
            self._insert(queues, row)
        return [message.message_id for message, queues in routed if message.mandatory and not queues]

    def take(self, queue: str, most: int) -> list[Delivery]:
        """Hand out the oldest. The count is on disk before anyone sees them: a killer of processes is found out."""
        found = self._db.execute(
            "SELECT m.seq, m.routing_key, m.message_id, m.body, m.headers, m.content_type, coalesce(a.handed_out, 0)"
            " FROM message m LEFT JOIN attempt a USING (seq)"
            " WHERE m.queue = ? AND m.dead_reason IS NULL AND coalesce(a.held, 0) = 0 ORDER BY m.seq LIMIT ?",
            (queue, most),
        )
        # Row by row: the one that is too many is read and let go.
        rows = list(fitting((row, len(row[3])) for row in found))
        found.close()
        if not rows:
            return []
        self._begin()
        self._db.executemany(
            "INSERT INTO attempt VALUES (?, 1, 1)"
            " ON CONFLICT (seq) DO UPDATE SET handed_out = handed_out + 1, held = 1",
            [(row[0],) for row in rows],
        )
        return [_delivery(queue, row) for row in rows]

    def settle(self, seqs: Iterable[int]) -> None:
        self._delete([(seq,) for seq in seqs])

    def give_back(self, seqs: Sequence[int]) -> None:
        """Let the messages come again in their old places, or bury those that came too often."""
        self._begin()
        self._db.executemany("UPDATE attempt SET held = 0 WHERE seq = ?", [(seq,) for seq in seqs])
        self._bury_over_limit(seqs)
        for seq in seqs:
            row = self._db.execute("SELECT queue FROM message WHERE seq = ?", (seq,)).fetchone()
            if row is not None:
                self.rung.add(row[0])
        self.find_next_due()

    def bury(self, seqs: Iterable[int], reason: str) -> None:
        for seq in seqs:
            self._bury(seq, reason)

    def expire(self, now_ms: int) -> None:
        """Bury what is due, a bounded number at a time."""
        due = self._db.execute(
            "SELECT m.seq, coalesce(m.dead_reason, 'expired') FROM message m LEFT JOIN attempt a USING (seq)"
            " WHERE m.due_ms <= ? AND coalesce(a.held, 0) = 0 ORDER BY m.due_ms, m.seq LIMIT ?",
            (now_ms, EXPIRE_AT_ONCE),
        ).fetchall()
        for seq, reason in due:
            self._bury(seq, reason)
        self.find_next_due()

    def find_next_due(self) -> None:
        (self.next_due_ms,) = self._db.execute(
            "SELECT min(due_ms) FROM message WHERE due_ms IS NOT NULL"
            " AND seq NOT IN (SELECT seq FROM attempt WHERE held = 1)"
        ).fetchone()

    def _begin(self) -> None:
        if not self._db.in_transaction:
            self._db.execute("BEGIN IMMEDIATE")

    def _load(self) -> None:
        self._exchanges = {
            name: ExchangeSpec(name, ExchangeKind(kind), alternate)
            for name, kind, alternate in self._db.execute("SELECT name, kind, alternate FROM exchange")
        }
        self._queues = {row[0]: _queue_spec(row) for row in self._db.execute("SELECT * FROM queue")}
        bindings = [Binding(*row) for row in self._db.execute("SELECT exchange, queue, key FROM binding")]
        self._routes = RememberedRoutes(Routes.of(self._exchanges.values(), bindings))

    def reload(self) -> None:
        """Read the topology again: a transaction that changed it was rolled back."""
        self._load()

    def _insert(self, queues: Iterable[str], row: _Row) -> None:
        for queue in queues:
            self._begin()
            self._db.execute(
                "INSERT INTO message (queue, message_id, routing_key, content_type, headers, due_ms, body)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (queue, row.message_id, row.routing_key, row.content_type, row.headers, self._due_ms(queue), row.body),
            )
            self.rung.add(queue)

    def _due_ms(self, queue: str) -> int | None:
        ttl = self._queues[queue].ttl
        if ttl is None:
            return None
        due = now_ms() + round(ttl.total_seconds() * 1000)
        self.next_due_ms = due if self.next_due_ms is None else min(self.next_due_ms, due)
        return due

    def _bury_over_limit(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            row = self._db.execute(
                "SELECT a.handed_out, q.delivery_limit FROM message m JOIN attempt a USING (seq)"
                " JOIN queue q ON q.name = m.queue WHERE m.seq = ? AND m.dead_reason IS NULL",
                (seq,),
            ).fetchone()
            if row is not None and row[1] is not None and 0 <= row[1] < row[0]:
                self._bury(seq, "delivery_limit")

    def _bury(self, seq: int, reason: str) -> None:
        self._begin()
        row = self._db.execute(
            "SELECT queue, routing_key, message_id, body, headers, content_type FROM message WHERE seq = ?", (seq,)
        ).fetchone()
        if row is None:
            return
        spec = self._queues[row[0]]
        if spec.dead_exchange is not None and not self._move(spec, row, reason):
            self._keep_dead(seq, reason)
            return
        self._delete([(seq,)])

    def _move(self, spec: QueueSpec, row: tuple[str, str, str, bytes, str, str], reason: str) -> bool:
        _, routing_key, message_id, body, headers, content_type = row
        key = spec.dead_key if spec.dead_key is not None else routing_key
        try:
            queues = self._routes.queues(str(spec.dead_exchange), key)
        except TopologyError:
            return False
        died = {REASON_HEADER: reason, QUEUE_HEADER: spec.name} | json.loads(headers)
        self._insert(queues, _Row(key, message_id, body, json.dumps(died), content_type))
        return bool(queues)

    def _keep_dead(self, seq: int, reason: str) -> None:
        due = now_ms() + BURY_AGAIN_MS
        self._db.execute("UPDATE message SET dead_reason = ?, due_ms = ? WHERE seq = ?", (reason, due, seq))
        self._db.execute("UPDATE attempt SET held = 0 WHERE seq = ?", (seq,))
        self.next_due_ms = due if self.next_due_ms is None else min(self.next_due_ms, due)

    def _delete(self, seqs: Sequence[tuple[int]]) -> None:
        self._begin()
        self._db.executemany("DELETE FROM message WHERE seq = ?", seqs)
        self._db.executemany("DELETE FROM attempt WHERE seq = ?", seqs)


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def _same(name: str, held: object, wanted: object) -> None:
    if held is not None and _as_kept(held) != _as_kept(wanted):
        raise TopologyError(f"{name} exists otherwise")


def _as_kept(spec: object) -> object:
    if not isinstance(spec, QueueSpec):
        return spec
    # One file has one process, and a role one subscription: every queue is ordered. No limit is none, said or not.
    limit = None if spec.delivery_limit == NO_DELIVERY_LIMIT else spec.delivery_limit
    return replace(spec, is_ordered=False, delivery_limit=limit)


def _queue_row(spec: QueueSpec) -> tuple[str, str | None, str | None, int | None, int | None]:
    ttl_ms = None if spec.ttl is None else round(spec.ttl.total_seconds() * 1000)
    dead_exchange = None if spec.dead_exchange is None else str(spec.dead_exchange)
    return spec.name, dead_exchange, spec.dead_key, ttl_ms, spec.delivery_limit


def _queue_spec(row: tuple[str, str | None, str | None, int | None, int | None]) -> QueueSpec:
    name, dead_exchange, dead_key, ttl_ms, limit = row
    return QueueSpec(name, dead_exchange, dead_key, None if ttl_ms is None else timedelta(milliseconds=ttl_ms), limit)


def _delivery(queue: str, row: tuple[int, str, str, bytes, str, str, int]) -> Delivery:
    seq, routing_key, message_id, body, headers, content_type, handed_out = row
    return Delivery(
        queue=queue,
        routing_key=routing_key,
        message_id=message_id,
        body=body,
        headers=json.loads(headers),
        content_type=content_type,
        redelivered=handed_out > 0,
        tag=seq,
    )
