"""`onshi run [ROLE …]`: keep the product running until SIGTERM or SIGINT, then finish the work in hand."""

import signal
import threading
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pipeline import logs
from pipeline.cli.fitness import require_fit
from pipeline.cli.supervise import run_processes
from pipeline.settings import Settings
from pipeline.topology import Role


def run(settings: Settings, arguments: Namespace) -> int:
    logs.set_up()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    roles = tuple(dict.fromkeys(Role(name) for name in arguments.roles)) or _all_roles(settings)
    return run_roles(settings, Path(arguments.config).resolve(), roles, stop)


def _all_roles(settings: Settings) -> tuple[Role, ...]:
    """Leave out publication where it has nobody to tell."""
    return tuple(role for role in Role if role is not Role.PUBLICATION or settings.vendors)


def run_roles(settings: Settings, config: Path, roles: Sequence[Role], stop: threading.Event) -> int:
    """Run roles until `stop`: as threads on the embedded broker, as processes where there are several on RabbitMQ.

    Raises:
        UnfitStateError: store, ledger or broker file is of another release. Nothing was begun.
    """
    require_fit(settings, roles)
    if len(roles) > 1 and not settings.broker.url.startswith("embedded:"):
        run_processes(config, roles, stop, lambda: require_fit(settings, roles))
        return 0
    # The process that only keeps others running has no need of what they work with.
    from pipeline.cli.session import work  # noqa: PLC0415

    work(settings, roles, stop)
    return 0
