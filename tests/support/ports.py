"""Which port may a test's server have, and have again after it was killed?"""

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 15_000
_HIGHEST = 31_000


def free_port() -> int:
    """Return a free port that the kernel gives to no outgoing connection.

    A port of that range may be taken while a server is away for a restart; a client that tries to reach it over the
    loopback can even be connected to itself.
    """
    outgoing = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else _HIGHEST
    dice = random.SystemRandom()
    while True:
        port = dice.randrange(_LOWEST, min(_HIGHEST, max(outgoing, _LOWEST + 1000)))
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
