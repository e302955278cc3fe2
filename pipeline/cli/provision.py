"""`onshi provision plan|apply|audit`: does the group's broker stand as configured, and who else is on it?"""

import json
from argparse import Namespace
from collections.abc import Sequence
from typing import Any

from pipeline.group import GroupSettings
from pipeline.provisioning.difference import Action, Change, Held
from pipeline.provisioning.work import apply, plan
from pipeline.settings import Settings


def provision(settings: Settings, arguments: Namespace) -> int:
    """Plan shows, apply makes, audit judges: 1 when the broker is not as configured."""
    if arguments.action == "apply":
        return apply_now(settings, arguments, force="" if arguments.force else None, prune=arguments.prune)
    version, changes = plan(settings)
    show(arguments, version, changes, [])
    return 1 if arguments.action == "audit" and changes else 0


def apply_now(settings: Settings, arguments: Namespace, *, force: str | None = None, prune: bool = False) -> int:
    """Apply the configuration and say what was done; 1 when something was left that an option would do."""
    applied = apply(settings, force=force, prune=prune)
    show(arguments, applied.version, applied.made, applied.held, done=True)
    return int(any(change.held is not Held.SHOWN for change in applied.held))


def tell(arguments: Namespace, *lines: str) -> None:
    """Say to a person what is to be done next; a program reads the changes alone."""
    if not arguments.json:
        print("\n".join(lines))


def copy_list(group: GroupSettings, user: str | None = None) -> str:
    """Name the steps that nobody but a person can take after a revocation. `user`: who stays, with another pair."""
    said = f"copy {group.ca_dir}/crl to every node of the broker now: until then a revoked certificate still lets in"
    return said if user is None else f"{said}\nthen end what it has open: onshi ca disconnect {user}"


def show(
    arguments: Namespace, version: str, changes: Sequence[Change], held: Sequence[Change], *, done: bool = False
) -> None:
    """Print changes; a configured password hash is never among them."""
    if arguments.json:
        rows = [_row(change) for change in changes]
        print(json.dumps({"version": version, "changes": rows, "held": [_row(change) for change in held]}))
        return
    print(
        f"RabbitMQ {version}: "
        + (f"{len(changes)} {'made' if done else 'differences'}" if changes else "as configured")
    )
    for change in changes:
        print(f"  {_SIGNS[change.action]} {change.kind} {change.name}{_why(change)}")
    for change in held:
        print(f"  ! {change.kind} {change.name}{_why(change)}")


_SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-", Action.REPLACE: "="}


def _why(change: Change) -> str:
    if change.held is not None:
        return f" ({change.held})"
    if change.action is Action.CHANGE and change.found is not None and change.wanted is not None:
        names = sorted(name for name in change.wanted if change.found.get(name) != change.wanted[name])
        return f" ({', '.join(names)})"
    return ""


def _row(change: Change) -> dict[str, Any]:
    return {
        "action": change.action.value,
        "kind": change.kind.value,
        "name": change.name,
        "held": change.held.value if change.held else None,
    }
