"""Where is each role's own part?"""

from importlib import import_module
from typing import Any

from pipeline.topology import Role

PARTS: dict[Role, str] = {
    Role.TERMINAL: "producers.terminal.role:TerminalRole",
    Role.CHART: "producers.chart.role:ChartRole",
    Role.PARSING: "consumers.parsing:Parsing",
    Role.RECONCILIATION: "consumers.reconciliation:Reconciliation",
    Role.CONSENT: "consumers.consent:Consent",
    Role.FORWARDING: "consumers.forwarding:Forwarding",
    Role.DELETION: "consumers.deletion:Deletion",
    Role.PUBLICATION: "consumers.publication:Publication",
}
"""Imported when it is needed: a process that runs one role starts twice as fast."""


def part_of(role: Role) -> Any:
    """Import a role's part, and return what makes it."""
    module, _, name = PARTS[role].partition(":")
    return getattr(import_module(module), name)
