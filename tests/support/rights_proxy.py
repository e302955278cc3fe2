"""How does a broker of today answer as RabbitMQ 4.2.6 and later do, which want a right for a passive declaration?

All that is said between client and broker passes as it is, except a passive declaration of what may not be asked for:
it never arrives, and the client's channel is closed with the 403 with which those versions close it.
"""

import socket
import struct
from collections.abc import Collection, Iterator
from typing import Final

from tests.support.proxy import Line, Proxy

_FRAME: Final = struct.Struct(">BHL")
_METHOD: Final = struct.Struct(">HH")
_END: Final = b"\xce"
_METHOD_FRAME: Final = 1
_QUEUE_DECLARE: Final = (50, 10)
_EXCHANGE_DECLARE: Final = (40, 10)
_CLOSE: Final = (20, 40)
_CLOSE_OK: Final = (20, 41)
_GREETING: Final = b"AMQP\x00\x00\x09\x01"
_REPLY: Final = b"ACCESS_REFUSED"


class RefusingLine(Line):
    """A connection of which each frame is looked at; what is put in stands between two whole ones."""

    def __init__(self, proxy: "RightsProxy", client: socket.socket) -> None:
        self._rights = proxy
        self._read = {True: b"", False: b""}
        self._is_greeted = False
        self._refused: set[int] = set()
        super().__init__(proxy, client)

    def deliver(self, block: bytes, source: socket.socket, target: socket.socket) -> None:
        is_asking = source is self.client
        self._read[is_asking] += block
        if is_asking and not self._is_greeted:
            if len(self._read[True]) < len(_GREETING):
                return
            target.sendall(self._take(len(_GREETING), is_asking=True))
            self._is_greeted = True
        for frame in self._frames(is_asking=is_asking):
            answer = self._answer(frame) if is_asking else None
            if answer is None:
                target.sendall(frame)
            else:
                source.sendall(answer)

    def _take(self, size: int, *, is_asking: bool) -> bytes:
        taken, self._read[is_asking] = self._read[is_asking][:size], self._read[is_asking][size:]
        return taken

    def _frames(self, *, is_asking: bool) -> Iterator[bytes]:
        while len(self._read[is_asking]) >= _FRAME.size:
            size = _FRAME.size + _FRAME.unpack_from(self._read[is_asking])[2] + len(_END)
            if len(self._read[is_asking]) < size:
                return
            yield self._take(size, is_asking=is_asking)

    def _answer(self, frame: bytes) -> bytes | None:
        """Return what the client hears in place of an answer, maybe nothing; None where the broker is to hear it."""
        kind, channel, _ = _FRAME.unpack_from(frame)
        if kind != _METHOD_FRAME:
            return None
        method = _METHOD.unpack_from(frame, _FRAME.size)
        if method == _CLOSE_OK and channel in self._refused:
            return b""
        name = _passively_declared(method, frame[_FRAME.size + _METHOD.size :])
        if name is None:
            return None
        self._rights.asked.append(name)
        if name in self._rights.allowed:
            return None
        self._refused.add(channel)
        told = _METHOD.pack(*_CLOSE) + struct.pack(">HB", 403, len(_REPLY)) + _REPLY + _METHOD.pack(*method)
        return _FRAME.pack(_METHOD_FRAME, channel, len(told)) + told + _END


def _passively_declared(method: tuple[int, ...], arguments: bytes) -> str | None:
    if method not in (_QUEUE_DECLARE, _EXCHANGE_DECLARE):
        return None
    name, rest = _short_text(arguments[2:])
    if method == _EXCHANGE_DECLARE:
        _, rest = _short_text(rest)
    return name if rest[0] & 1 else None


def _short_text(content: bytes) -> tuple[str, bytes]:
    end = 1 + content[0]
    return content[1:end].decode(), content[end:]


class RightsProxy(Proxy):
    """Refuses every passive question but those for what is `allowed`; `asked` lists the names, in order."""

    line = RefusingLine

    def __init__(self, port: int, allowed: Collection[str] = ()) -> None:
        super().__init__(port)
        self.allowed = allowed
        self.asked: list[str] = []
