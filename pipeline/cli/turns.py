"""How long does a centre role run with what it was given? Until a clinic comes to the group, changes or leaves it.

A role that was never told of a clinic sets its files aside, and a dozen more stop it for everybody. So it ends its
session, with nothing in hand, and begins anew in the same process: adding a clinic is one command.
"""

import threading
import time
from collections.abc import Callable

from pipeline.settings import Settings
from pipeline.vendor_register import Register

LOOK_SECONDS = 1.0


class Turn(threading.Event):
    """Set when the process is to stop, or when these clinics are the group's no longer."""

    def __init__(self, stop: threading.Event, register: Register, settings: Settings) -> None:
        super().__init__()
        self._stop = stop
        self._register = register
        self._settings = settings
        self._looked = time.monotonic()

    def is_set(self) -> bool:
        if time.monotonic() - self._looked >= LOOK_SECONDS:
            self._looked = time.monotonic()
            if self._register.settings().clinics != self._settings.clinics:
                self.set()
        return super().is_set() or self._stop.is_set()

    def wait(self, timeout: float | None = None) -> bool:
        self._stop.wait(timeout)
        return self.is_set()


def in_turns(settings: Settings, stop: threading.Event, work: Callable[[Settings, threading.Event], None]) -> None:
    """Do `work` until `stop`, again whenever the group's clinics are others."""
    register = Register(settings)
    while not stop.is_set():
        now = register.settings()
        work(now, Turn(stop, register, now))
