"""Was what these roles would work with written by this release? Asked before anything is begun, and touches nothing."""

from collections.abc import Sequence

from pipeline.broker.open import EMBEDDED_FILE
from pipeline.errors import AwayError, UnfitStateError
from pipeline.settings import Settings
from pipeline.topology import CENTRE_ROLES, Role


def require_fit(settings: Settings, roles: Sequence[Role]) -> None:
    """Look at the store, whose tables are made where there are none, and at the files of edges and broker.

    Raises:
        UnfitStateError: one of them is of another release.
    """
    _require_fit_files(settings, roles)
    if any(role in CENTRE_ROLES for role in roles):
        _require_fit_store(settings.store.url)


def unfit_files(settings: Settings) -> list[str]:
    """Say which file of this machine's edges or of the embedded broker is of another release, if one is."""
    try:
        _require_fit_files(settings, tuple(Role))
    except UnfitStateError as error:
        return [f"state: {error}"]
    return []


def _require_fit_files(settings: Settings, roles: Sequence[Role]) -> None:
    # Imported where there is such a file: a role of the centre starts without an edge's modules, and an edge without
    # the store's.
    for clinic in settings.clinics:
        if Role.TERMINAL in roles:
            from producers import terminal  # noqa: PLC0415

            for each in clinic.terminals:
                terminal.FORMAT.require(terminal.ledger_path(settings.edge.state, clinic.id, each.id))
        if Role.CHART in roles and clinic.chart:
            from producers import chart  # noqa: PLC0415

            chart.FORMAT.require(chart.ledger_path(settings.edge.state, clinic.id))
    if settings.broker.url.startswith("embedded:"):
        from pipeline.broker.embedded_tables import FORMAT  # noqa: PLC0415

        FORMAT.require(settings.state / EMBEDDED_FILE)


def _require_fit_store(url: str) -> None:
    from pipeline.storage import open_store  # noqa: PLC0415

    try:
        store = open_store(url)
        try:
            store.make_schema()
        finally:
            store.close()
    except AwayError:
        return  # the roles wait for it, and look then
