"""Whom does a consumer still believe, and who is told when it is somebody no more? The fuse, with what people see."""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from pipeline.envelope import Envelope
from pipeline.event import NOWHERE, Event
from pipeline.fuse import Fuse, Origin
from pipeline.metrics import DOUBTED, FUSE
from pipeline.topology import Role, Tier

LOG = logging.getLogger("onshi.runner")

PUT_OFF: Final = Tier.MINUTES_10
"""Where a message of a doubted edge waits, byte for byte, until it is looked at again."""


def origin_of(event: Event) -> Origin:
    """Name the edge an event goes back to; an event of the centre names the terminal its file came from, if any."""
    if event.edge != NOWHERE:
        # What an edge says of other terminals is its own word.
        return Origin(event.clinic, event.edge)
    terminal = getattr(event, "terminal", None)
    return Origin(event.clinic, terminal if isinstance(terminal, str) else NOWHERE)


class Guard:
    """The fuse of one runner. Not thread-safe."""

    def __init__(self, role: Role, *, is_shared: bool, seconds: Callable[[], float] = time.monotonic) -> None:
        self._role = role
        self._fuse = Fuse(is_shared=is_shared)
        self._seconds = seconds
        self._doubted: set[Origin] = set()
        FUSE.labels(role).set(0)
        # A role that begins anew in its process believes everybody again.
        for metric in DOUBTED.collect():
            for sample in metric.samples:
                if sample.labels["consumer"] == role:
                    DOUBTED.labels(**sample.labels).set(0)

    @property
    def is_blown(self) -> bool:
        return self._fuse.is_blown

    def blow(self) -> None:
        """Tell everybody that the consumer has stopped."""
        FUSE.labels(self._role).set(1)
        LOG.critical("fuse blown", extra={"consumer": self._role})

    def passed(self, envelopes: Iterable[Envelope]) -> None:
        """Note what was handled without being parked."""
        for origin in {origin_of(envelope.event) for envelope in envelopes}:
            self._fuse.passed(origin)
            if origin in self._doubted:
                self._doubted.discard(origin)
                self._show(origin, is_doubted=False)

    def parked(self, envelope: Envelope) -> None:
        """Note what was set aside for a person."""
        origin = origin_of(envelope.event)
        if self._fuse.parked(envelope.id, origin, self._seconds()):
            self._doubted.add(origin)
            self._show(origin, is_doubted=True)

    def doubts(self, envelope: Envelope) -> bool:
        """Say whether an event is to be put off, unread, because of whom it comes from."""
        origin = origin_of(envelope.event)
        return origin in self._doubted and self._fuse.doubts(origin, envelope.id, self._seconds())

    def sent_round(self, envelopes: Iterable[Envelope]) -> None:
        """Note what was put off once the broker has it."""
        for envelope in envelopes:
            self._fuse.sent_round(origin_of(envelope.event), envelope.id, self._seconds())

    def goes_round(self, envelope: Envelope) -> bool:
        """Say whether what is put off comes again of itself: an edge says again whatever nobody answers."""
        return self._fuse.goes_round(origin_of(envelope.event), envelope.id, self._seconds())

    def _show(self, origin: Origin, *, is_doubted: bool) -> None:
        DOUBTED.labels(self._role, origin.clinic, origin.edge).set(is_doubted)
        log = LOG.error if is_doubted else LOG.warning
        what = "doubted" if is_doubted else "believed again"
        log(what, extra={"consumer": self._role, "clinic": origin.clinic, "terminal": origin.edge})
