"""What does it matter which RabbitMQ it is, 3.10 to 4.x? Decision 11 lists what changed and what we need not know of.

A queue's arguments can never be changed, so none of them depends on the version: a broker that is upgraded must find
its queues as configured. Only what can be written anew may differ.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline.errors import PermanentError

OLDEST: Final = (3, 10)
"""The first that carries dead letters at least once, and streams that keep to their age."""

FIRST_WITH_TYPED_POLICIES: Final = (3, 12)
"""From here on a policy can name the type of queue it is for; before, its pattern alone must tell."""

NEEDED_FLAGS: Final = ("quorum_queue", "stream_queue", "user_limits")
"""Feature flags behind what is rendered. A cluster that came from 3.7 or 3.8 may lack them until 3.11; a version that
has graduated one no longer shows it, or shows it enabled."""

Version = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Abilities:
    """What a version can be told."""

    stream_policies: str
    """`apply-to` of a policy for a stream."""


def parse_version(text: str) -> Version:
    """Read "3.10.8" or "4.1.0-rc.1" as numbers, as far as they go."""
    return tuple(int(part) for part in re.findall(r"^\d+|(?<=\.)\d+(?=\.|$|-|\+)", text)[:3])


def abilities_of(version: Version) -> Abilities:
    """Say what a broker of this version can be told.

    Raises:
        PermanentError: it is too old.
    """
    if version < OLDEST:
        raise PermanentError("configuration", "the broker is older than RabbitMQ 3.10")
    return Abilities(stream_policies="streams" if version >= FIRST_WITH_TYPED_POLICIES else "queues")


def password_hash(row: dict[str, Any]) -> str | None:
    """Say what stands for a user's password, as the management shows it: "" for none, None where it does not say what.

    From 4.4 on it shows no hash any more, only whether there is one.
    """
    if "password_hash" in row:
        return str(row["password_hash"])
    return "" if row.get("has_password") is False else None


def disabled_flags(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Name the stable feature flags that are not enabled: an upgrade to the next series is refused until they are."""
    return sorted(row["name"] for row in rows if row["state"] == "disabled" and row.get("stability") != "experimental")


def demand_flags(rows: Sequence[dict[str, Any]]) -> None:
    """See that nothing rendered needs a feature that the cluster has not enabled.

    Raises:
        PermanentError: names the flags.
    """
    if missing := [name for name in disabled_flags(rows) if name in NEEDED_FLAGS]:
        names = ", ".join(missing)
        raise PermanentError("configuration", f"the broker's feature flags are not enabled: {names}")
