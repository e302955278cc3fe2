"""What does a process do from its start to its end? Every part of its roles, and what others may ask of them."""

import gc
import logging
import threading
from collections.abc import Sequence

from pipeline.cli.main import USUAL
from pipeline.cli.roles import Assembly
from pipeline.cli.supervise import run_threads
from pipeline.health import HealthServer
from pipeline.settings import Settings
from pipeline.topology import Role

LOG = logging.getLogger("onshi.supervisor")


def work(settings: Settings, roles: Sequence[Role], stop: threading.Event) -> None:
    """Run roles as threads of this process until `stop`.

    Raises:
        UnfitStateError: a part met what another release wrote.
    """
    assembly = Assembly(settings, roles)
    parts = assembly.parts()
    health = HealthServer(settings.http.host, settings.http.port, assembly.pulses)
    health.start()
    LOG.info("started", extra={"count": len(parts)})
    # A failed attempt leaves its batch, up to 32 MiB, to be found as rubbish, and that is hardly a hundred objects.
    gc.set_threshold(*USUAL)
    try:
        run_threads(parts, stop)
    finally:
        health.stop()
        assembly.close()
    LOG.info("stopped")
