"""Which node of a cluster does a new connection go to?

Any: nodes pass on what is asked of another. So connections are dealt out by chance, and a node that did not let
one in is tried last for a while.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from pika import URLParameters

from pipeline.broker.port import BrokerAwayError, TopologyError
from pipeline.broker.rabbitmq_link import OPEN_SECONDS

AWAY_SECONDS = 30.0
"""How long a node that was away is tried last. One that lost its power costs seconds each time it is tried."""

_T = TypeVar("_T")
_DICE = random.SystemRandom()


class Hosts:
    """The nodes of one broker. Thread-safe."""

    def __init__(self, hosts: Sequence[URLParameters], fresh: Callable[[int], URLParameters] | None = None) -> None:
        """`fresh` makes the parameters of one connection to the node of this number; none: they never change."""
        self._hosts = tuple(hosts)
        self._fresh = fresh or self._hosts.__getitem__
        self._turn = threading.Lock()
        self._away: dict[int, float] = {}

    def __str__(self) -> str:
        return ",".join(f"{host.host}:{host.port}" for host in self._hosts)

    def first(self, open_on: Callable[[URLParameters, float], _T], seconds: float | None = None) -> _T:
        """Return what could be opened on the first node that lets us in, within `seconds` or what each one takes.

        Every node is asked with a new `open_on`: what comes late from one that was given up must not reach the next.

        Raises:
            BrokerAwayError: every node is away; the last one's reason.
            TopologyError: a node is there, and something on it is not.
        """
        until = None if seconds is None else time.monotonic() + seconds
        order = self._order()
        for number in order:
            left = OPEN_SECONDS if until is None else until - time.monotonic()
            try:
                opened = open_on(self._fresh(number), left)
            except TopologyError:
                raise
            except BrokerAwayError:
                self._was_away(number)
                if number == order[-1] or (until is not None and time.monotonic() >= until):
                    raise
            else:
                self._was_there(number)
                return opened
        raise BrokerAwayError("the URL names no host")

    def _order(self) -> list[int]:
        with self._turn:
            late = time.monotonic() - AWAY_SECONDS
            self._away = {number: since for number, since in self._away.items() if since > late}
            away = dict(self._away)
        there = [number for number in range(len(self._hosts)) if number not in away]
        _DICE.shuffle(there)
        return there + sorted(away, key=away.__getitem__)

    def _was_away(self, number: int) -> None:
        with self._turn:
            self._away[number] = time.monotonic()

    def _was_there(self, number: int) -> None:
        with self._turn:
            self._away.pop(number, None)
