"""What is read of a message whose headers were made to break their reader?

pika raises in the midst of a connection's bytes (a time beyond every calendar, tables in tables), and the connection
ends. The broker sends the same message to the next one, and to whoever empties the parked queue: one client could
stop a role of the whole group. So headers that cannot be read are none, and the message goes the way of its kind.
"""

import struct
from collections.abc import Mapping
from typing import Any

from pika import data
from pika.exceptions import InvalidFieldTypeException

from pipeline.broker.port import Headers

COUNT_HEADERS = ("x-delivery-count", "x-acquired-count")
"""Written by the broker on what it hands out again: the first until 4.2 at every return, then at failures only; the
second from 4.3. What follows from either differs, so our own count goes with the message instead."""

_UNREADABLE = (ArithmeticError, ValueError, OSError, RecursionError, struct.error, InvalidFieldTypeException)
_decode_table = data.decode_table


def _forgiving(encoded: bytes, offset: int) -> tuple[dict[str, Any], int]:
    try:
        found: tuple[dict[str, Any], int] = _decode_table(encoded, offset)
    except _UNREADABLE:
        return {}, offset + 4 + int(struct.unpack_from(">I", encoded, offset)[0])
    return found


def forgive() -> None:
    """Let pika skip the headers that it cannot read. Repeatable."""
    data.decode_table = _forgiving


def scalars(headers: Mapping[str, object]) -> Headers:
    """Take what a header of ours can be; pika gives a name or text that is none as bytes."""
    # The broker adds some of its own, whose meaning changed between versions: the nested x-death and its counts.
    return {
        key: value
        for key, value in headers.items()
        if isinstance(key, str) and isinstance(value, str | int) and key not in COUNT_HEADERS
    }


def text(value: object) -> str:
    """Take a property that should be text; nothing where it is none."""
    return value if isinstance(value, str) else ""
