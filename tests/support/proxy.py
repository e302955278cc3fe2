"""A TCP proxy whose line a test can cut, reset, slow down, or let go dead without a word."""

import contextlib
import selectors
import socket
import struct
import threading
import time
from typing import Self

from tests.support.ports import free_port

CHUNK = 65536
RESET = struct.pack("ii", 1, 0)
LOOK_SECONDS = 0.05


class Line:
    """One connection: two sockets and a thread."""

    def __init__(self, proxy: "Proxy", client: socket.socket) -> None:
        self._proxy = proxy
        self.client = client
        self.server = socket.create_connection(proxy.target, 5)
        self.is_dead = False
        self._ended = threading.Event()
        self.thread = threading.Thread(target=self._carry, daemon=True, name="proxy line")
        self.thread.start()

    def _carry(self) -> None:
        peers = {self.client: self.server, self.server: self.client}
        with selectors.DefaultSelector() as selector:
            for end in peers:
                selector.register(end, selectors.EVENT_READ)
            while not self._ended.is_set():
                for key, _ in selector.select(LOOK_SECONDS):
                    source: socket.socket = key.fileobj  # type: ignore[assignment]
                    if not self._pass_on(source, peers[source]):
                        self.end()
                        return

    def _pass_on(self, source: socket.socket, target: socket.socket) -> bool:
        if self.is_dead:
            # Nothing is read any more: the sender's window fills, and nobody tells it why.
            time.sleep(LOOK_SECONDS)
            return True
        try:
            block = source.recv(CHUNK)
            if not block:
                return False
            time.sleep(self._proxy.delay_seconds)
            self.deliver(block, source, target)
        except OSError:
            return False
        return True

    def deliver(self, block: bytes, source: socket.socket, target: socket.socket) -> None:
        """Pass on what came from `source`; a proxy that changes what is said has lines of another class."""
        del source
        target.sendall(block)

    def end(self, *, reset: bool = False) -> None:
        self._ended.set()
        for end in (self.client, self.server):
            with contextlib.suppress(OSError):
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                else:
                    end.shutdown(socket.SHUT_RDWR)
                end.close()


class Proxy:
    """Listens on `port` and carries every connection to `target`. `restore` ends every fault."""

    line: type[Line] = Line

    def __init__(self, port: int) -> None:
        self.target = ("127.0.0.1", port)
        self.port = free_port()
        self.delay_seconds = 0.0
        self._refuses = False
        self._is_black_hole = False
        self._lines: list[Line] = []
        self._turn = threading.Lock()
        self._closed = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", self.port))
        self._listener.settimeout(LOOK_SECONDS)
        self._thread = threading.Thread(target=self._accept, daemon=True, name="proxy")

    @property
    def lines(self) -> int:
        """How many connections there are now."""
        with self._turn:
            return sum(line.thread.is_alive() for line in self._lines)

    def cut(self, *, refuse: bool = False) -> None:
        """End every connection as a peer does that goes; with `refuse`, nobody may come back either."""
        self._refuses = refuse
        self._end_all(reset=False)

    def reset(self) -> None:
        """End every connection with RST."""
        self._end_all(reset=True)

    def slow(self, seconds: float) -> None:
        """Hold every block of bytes back for so long."""
        self.delay_seconds = seconds

    def blackhole(self) -> None:
        """Carry nothing any more, on old and new connections, and say nothing."""
        self._is_black_hole = True
        self.half_open()

    def half_open(self) -> None:
        """Let the connections of now go dead; new ones work."""
        with self._turn:
            for line in self._lines:
                line.is_dead = True

    def restore(self) -> None:
        """End every fault; dead connections stay dead, as a forgotten state in a firewall does."""
        self._refuses = self._is_black_hole = False
        self.delay_seconds = 0.0

    def _end_all(self, *, reset: bool) -> None:
        with self._turn:
            lines, self._lines = self._lines, []
        for line in lines:
            line.end(reset=reset)

    def _accept(self) -> None:
        while not self._closed.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                continue
            if self._refuses:
                client.close()
                continue
            try:
                line = self.line(self, client)
            except OSError:
                client.close()
                continue
            line.is_dead = self._is_black_hole
            with self._turn:
                self._lines.append(line)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._thread.join()
        self._listener.close()
        self._end_all(reset=True)
