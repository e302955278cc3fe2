"""`onshi run [ROLE …]`: keep the product running until SIGTERM or SIGINT, then finish the work in hand."""

import signal
import threading
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

from pipeline import logs
from pipeline.cli.fitness import require_fit
from pipeline.cli.main import WrongUseError
from pipeline.cli.supervise import run_processes
from pipeline.settings import Settings
from pipeline.topology import CENTRE_ROLES, Role


def run(settings: Settings, arguments: Namespace) -> int:
    logs.set_up()
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    roles = tuple(dict.fromkeys(Role(name) for name in arguments.roles)) or _all_roles(settings)
    if not settings.has_centre and (strange := [role for role in roles if role in CENTRE_ROLES]):
        # A centre's role issues keys, and nobody could open what this machine sealed to its own.
        raise WrongUseError(
            f"{', '.join(strange)}: not on a clinic's machine (neither [store] nor [group] is configured)"
        )
    return run_roles(settings, Path(arguments.config).resolve(), roles, stop)


def _all_roles(settings: Settings) -> tuple[Role, ...]:
    """Leave out publication where it has nobody to tell, and on a clinic's machine all that it is not set up for."""
    if not settings.has_centre:
        terminal, chart = (any(c.terminals for c in settings.clinics), any(c.chart for c in settings.clinics))
        return tuple(role for role, is_here in ((Role.TERMINAL, terminal), (Role.CHART, chart)) if is_here)
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
