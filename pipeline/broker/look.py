"""How much lies in each queue, without disturbing whoever works with them?"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from pipeline.broker.open import EMBEDDED_FILE, open_broker
from pipeline.broker.port import BrokerAwayError, TopologyError
from pipeline.broker.tls import Certificates


def depths(
    url: str, state_dir: Path, queues: Iterable[str], certificates: Certificates | None = None
) -> dict[str, int]:
    """Count the messages ready in each queue; a queue that is missing is left out.

    The embedded broker's file is only read, so that a running `onshi run` is not disturbed.

    Raises:
        BrokerAwayError: it cannot be asked.
    """
    if url.startswith("embedded:"):
        return _embedded(state_dir / EMBEDDED_FILE, queues)
    broker = open_broker(url, state_dir, certificates)
    found: dict[str, int] = {}
    try:
        for queue in queues:
            try:
                found[queue] = broker.depth(queue)
            except TopologyError:
                continue
    finally:
        broker.close()
    return found


def _embedded(path: Path, queues: Iterable[str]) -> dict[str, int]:
    if not path.exists():
        raise BrokerAwayError("the embedded broker has never run here")
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
            made = {name for (name,) in db.execute("SELECT name FROM queue")}
            ready = dict(
                db.execute(
                    "SELECT queue, count(*) FROM message LEFT JOIN attempt USING (seq)"
                    " WHERE dead_reason IS NULL AND coalesce(held, 0) = 0 GROUP BY queue"
                )
            )
    except sqlite3.Error as fault:
        raise BrokerAwayError(f"the broker's file cannot be read ({type(fault).__name__})") from None
    return {queue: ready.get(queue, 0) for queue in queues if queue in made}
