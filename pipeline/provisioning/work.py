"""How do planning, applying and auditing a group's broker go, one after the other?"""

from contextlib import closing
from dataclasses import dataclass

from pipeline.errors import PermanentError
from pipeline.group import GroupSettings
from pipeline.provisioning.difference import Change, compare
from pipeline.provisioning.live import Writer, look_into, read, version_of
from pipeline.provisioning.management import Management
from pipeline.provisioning.rendering import Kind, Rendering, render
from pipeline.settings import Settings


@dataclass(frozen=True, slots=True)
class Applied:
    """What was changed, and what was left for a person to decide."""

    version: str
    made: list[Change]
    held: list[Change]


def group_of(settings: Settings) -> GroupSettings:
    """Return the table `[group]`.

    Raises:
        PermanentError: there is none, so there is nothing to provision.
    """
    if settings.group is None:
        raise PermanentError("configuration", "[group] is not set: nothing says which broker to provision")
    return settings.group


def plan(settings: Settings) -> tuple[str, list[Change]]:
    """Compare the live broker with the configuration; returns its version and every difference. Changes nothing."""
    with closing(Management(group_of(settings))) as management:
        version, _, changes = _compared(management, settings)
    return version, changes


def apply(settings: Settings, *, force: str | None = None, prune: bool = False) -> Applied:
    """Make the broker what the configuration says. Repeatable; broken off, the next one goes on.

    `force`: queues whose names begin so are deleted, or replaced, with what they hold.

    Raises:
        BrokerAwayError: it does not answer.
        ManagementError: it refused a change; those before are made.
    """
    group = group_of(settings)
    with closing(Management(group)) as management:
        version, found, changes = _compared(management, settings)
        writer = Writer(management, group.vhost, force=force, prune=prune)
        if (Kind.VHOST, (group.vhost,)) in found.objects and changes:
            writer.let_in()
        made = [change for change in changes if writer.may(change)]
        for change in made:
            writer.write(change)
        return Applied(version, made, [change for change in changes if change not in made])


def disconnect(settings: Settings, user: str) -> int:
    """End the open connections of a user, on every node; returns how many there were.

    What was revoked is read at handshakes alone. Who still has a certificate that counts comes back by itself.
    """
    with closing(Management(group_of(settings))) as management:
        count = len(management.get("connections", "username", user) or ())
        management.delete("connections", "username", user)
    return count


def _compared(management: Management, settings: Settings) -> tuple[str, Rendering, list[Change]]:
    """Return the broker's version, what stands there, and every difference from what the configuration wants."""
    group = group_of(settings)
    version = version_of(management)
    wanted, found = render(settings, version), read(management, group)
    look_into(management, wanted, found)
    return ".".join(str(part) for part in version), found, compare(wanted, found, group)
