"""What would have to change, and what stands there that nobody configured? Pure: two renderings in, changes out.

What bears one of our names and is not configured is removed. What does not is somebody else's: it is shown, and
removed only when asked (`--prune`), except bindings of our exchanges, which carry what is ours to whoever made them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from pipeline.group import GroupSettings
from pipeline.provisioning.rendering import Body, Key, Kind, Rendering, is_ours
from pipeline.topology import Exchange


class Action(StrEnum):
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    REPLACE = "replace"
    """Its arguments can only be changed by deleting it first."""


class Held(StrEnum):
    """Why a change is not made by `apply` as it is."""

    MESSAGES = "it holds messages, or may: --force deletes them"
    OTHERS = "not ours: --prune removes it"
    SHOWN = "only shown: nothing changes it from here"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference. `held` says that `apply` leaves it alone, and which option would not."""

    action: Action
    kind: Kind
    key: Key
    found: Body | None = None
    wanted: Body | None = None
    held: Held | None = None

    @property
    def name(self) -> str:
        return " ".join(part or '""' for part in self.key)


_FIXED = (Kind.EXCHANGE, Kind.QUEUE)
_OF_USERS = (Kind.PERMISSION, Kind.TOPIC_PERMISSION, Kind.USER_LIMIT, Kind.PERMISSION_ELSEWHERE)
_LAST = list(Kind)


def compare(wanted: Rendering, found: Rendering, group: GroupSettings) -> list[Change]:
    """List what differs, in the order in which it may safely be changed: rights end first, and begin last."""
    made = [change for change in _wanted(wanted, found) if change.action is not Action.REPLACE]
    replaced = [change for change in _wanted(wanted, found) if change.action is Action.REPLACE]
    removed = sorted(_stale(wanted, found, group), key=lambda c: -_LAST.index(c.kind))
    removed.sort(key=lambda c: c.kind is not Kind.USER)
    return [*removed, *replaced, *sorted(made, key=lambda c: _LAST.index(c.kind))]


def _wanted(wanted: Rendering, found: Rendering) -> Iterator[Change]:
    replaced = {
        key[0]
        for (kind, key), body in wanted.objects.items()
        if kind in _FIXED and found.objects.get((kind, key), body) != body
    }
    for (kind, key), body in wanted.objects.items():
        there = found.objects.get((kind, key))
        if there is None:
            yield Change(Action.CREATE, kind, key, None, body)
        elif kind is Kind.BINDING and replaced.intersection(key[:2]):
            # The broker deletes it with the queue or exchange that it ties.
            yield Change(Action.CREATE, kind, key, there, body, Held.MESSAGES)
        elif there != body and kind in _FIXED:
            yield Change(Action.REPLACE, kind, key, there, body, Held.MESSAGES)
        elif there != body:
            yield Change(Action.CHANGE, kind, key, there, body)


def _stale(wanted: Rendering, found: Rendering, group: GroupSettings) -> Iterator[Change]:
    spared = {group.admin, *group.others}
    ending = {key[0] for kind, key in found.objects if kind is Kind.USER and (kind, key) not in wanted.objects}
    for (kind, key), body in found.objects.items():
        if (kind, key) in wanted.objects or kind is Kind.VHOST:
            continue
        if kind in _OF_USERS and key[0] in ending and is_ours(key[0]):
            # The broker ends these, and the user's connections, with the user.
            continue
        if kind in (Kind.USER, *_OF_USERS) and key[0] in spared:
            continue
        yield Change(Action.DELETE, kind, key, body, None, _why_held(kind, key, found))


def _why_held(kind: Kind, key: Key, found: Rendering) -> Held | None:
    if kind is Kind.BINDING:
        return None if key[0] in tuple(Exchange) else Held.OTHERS
    if kind in (Kind.VHOST_LIMIT, Kind.PERMISSION_ELSEWHERE):
        return None
    if kind in (Kind.OTHER_VHOST, Kind.FEATURE_FLAG) or (kind is Kind.PARAMETER and key[2] != found.vhost):
        return Held.SHOWN
    if kind in (Kind.OPERATOR_POLICY, Kind.PARAMETER):
        return Held.OTHERS
    if kind is Kind.QUEUE and is_ours(key[0]):
        return None if found.messages.get(key[0]) == 0 else Held.MESSAGES
    return None if is_ours(key[0]) else Held.OTHERS
