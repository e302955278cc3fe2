"""How does a process speak? One canonical JSON line per event and per change of state, to standard error.

Only allow-listed fields are written: ids, counts, words. A record's message is a fixed word; arguments are not
interpolated, so nothing of a file or a database error can slip in.
"""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

FIELDS: Final = (
    "role",
    "event",
    "event_id",
    "correlation",
    "consumer",
    "clinic",
    "edge",
    "copy_id",
    "file_id",
    "outcome",
    "reason",
    "attempt",
    "seconds",
    "count",
    "tier",
    "fault",
    "error",
    "where",
    "port",
    "pid",
)

_QUIET = ("pika", "alembic", "sqlalchemy", "watchfiles", "urllib3")


class _Line(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "what": record.getMessage() if not record.args else str(record.msg),
            "logger": record.name,
        }
        line.update({name: record.__dict__[name] for name in FIELDS if name in record.__dict__})
        if record.exc_info and record.exc_info[1] is not None:
            line["error"] = type(record.exc_info[1]).__name__
            line["where"] = frames(record.exc_info[1])
        return json.dumps(line, ensure_ascii=False, default=str)


def frames(error: BaseException) -> str:
    """Name the frames of a failure without its text, which could quote a file."""
    names = []
    trace = error.__traceback__
    while trace is not None:
        names.append(f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}")
        trace = trace.tb_next
    return ">".join(names[-6:])


def set_up() -> None:
    """Send everything to standard error as JSON lines; libraries that print bodies at DEBUG are kept above it."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
