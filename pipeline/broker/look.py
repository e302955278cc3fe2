"""How much lies in each queue, without disturbing whoever works with them?"""

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path

from pipeline.broker.open import EMBEDDED_FILE, open_broker
from pipeline.broker.port import BrokerAwayError, NotAllowedError, TopologyError
from pipeline.broker.tls import Certificates


def depths(
    url: str, state_dir: Path, queues: Iterable[str], certificates: Certificates | None = None
) -> dict[str, int | None]:
    """Count the messages ready in each queue; a queue that is missing is left out.

    None stands for those from the first on that this user may not ask for: each further refusal would be one more
    error in the broker's log, so ask first for what is surely allowed.

    The embedded broker's file is only read, so that a running `onshi run` is not disturbed.

    Raises:
        BrokerAwayError: it cannot be asked.
    """
    if url.startswith("embedded:"):
        return _embedded(state_dir / EMBEDDED_FILE, queues)
    broker = open_broker(url, state_dir, certificates)
    found: dict[str, int | None] = {}
    asked = iter(queues)
    try:
        for queue in asked:
            try:
                found[queue] = broker.depth(queue)
            except TopologyError:
                continue
            except NotAllowedError:
                found |= dict.fromkeys((queue, *asked))
    finally:
        broker.close()
    return found


def _embedded(path: Path, queues: Iterable[str]) -> dict[str, int | None]:
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
