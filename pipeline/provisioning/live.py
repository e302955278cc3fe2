"""What is on the broker now, and how is it changed? Reads and writes what `rendering` names."""

from collections.abc import Sequence
from typing import Final

from pipeline.group import GroupSettings
from pipeline.provisioning.difference import Action, Change, Held
from pipeline.provisioning.management import Management, ManagementError
from pipeline.provisioning.rendering import Body, Key, Kind, Rendering, is_ours
from pipeline.provisioning.versions import (
    Version,
    abilities_of,
    demand_flags,
    disabled_flags,
    parse_version,
    password_hash,
)

_STREAM: Final = "stream"
_PLURALS: Final = {
    Kind.EXCHANGE: "exchanges",
    Kind.QUEUE: "queues",
    Kind.POLICY: "policies",
    Kind.OPERATOR_POLICY: "operator-policies",
    Kind.PERMISSION: "permissions",
    Kind.TOPIC_PERMISSION: "topic-permissions",
    Kind.VHOST_LIMIT: "vhost-limits",
}

_READ_APART: Final = ("vhost-limits", "policy", "operator_policy")
"""Kept by the broker as parameters, and read by a path of their own."""


def version_of(management: Management) -> Version:
    """Ask the broker which version it is.

    Raises:
        PermanentError: it is too old, or lacks a feature it could have.
    """
    version = parse_version(str(management.get("overview")["rabbitmq_version"]))
    abilities_of(version)
    demand_flags(management.get("feature-flags") or ())
    return version


def read(management: Management, group: GroupSettings) -> Rendering:
    """Read everything in the vhost, every user, and what stands elsewhere on the broker and may concern us."""
    vhost = group.vhost
    found = Rendering(vhost)
    _read_elsewhere(management, found, (vhost, *group.other_vhosts))
    for user in management.get("users"):
        tags = user["tags"] if isinstance(user["tags"], str) else ",".join(user["tags"])
        found.put(Kind.USER, (user["name"],), {"tags": tags, "password_hash": password_hash(user)})
    for limits in management.get("user-limits") or ():
        for name, value in limits["value"].items():
            found.put(Kind.USER_LIMIT, (limits["user"], name), {"value": value})
    if management.get("vhosts", vhost) is None:
        return found
    found.put(Kind.VHOST, (vhost,), {})
    for limits in management.get("vhost-limits", vhost) or ():
        for name, value in limits["value"].items():
            found.put(Kind.VHOST_LIMIT, (name,), {"value": value})
    _read_rights(management, found)
    _read_topology(management, found)
    return found


def _read_elsewhere(management: Management, found: Rendering, known: Sequence[str]) -> None:
    for row in management.get("vhosts"):
        if row["name"] not in known:
            found.put(Kind.OTHER_VHOST, (row["name"],), {})
    for row in management.get("permissions"):
        if row["vhost"] != found.vhost and is_ours(row["user"]):
            found.put(Kind.PERMISSION_ELSEWHERE, (row["user"], row["vhost"]), {})
    for row in management.get("parameters") or ():
        # A shovel or a federation link may take messages away from anywhere. Its value may hold a password.
        if row["component"] not in _READ_APART:
            found.put(Kind.PARAMETER, (row["component"], row["name"], row["vhost"]), {})
    for name in disabled_flags(management.get("feature-flags") or ()):
        found.put(Kind.FEATURE_FLAG, (name,), {})


def _read_rights(management: Management, found: Rendering) -> None:
    for row in management.get("permissions"):
        if row["vhost"] == found.vhost:
            found.put(Kind.PERMISSION, (row["user"],), {name: row[name] for name in ("configure", "write", "read")})
    for row in management.get("topic-permissions"):
        if row["vhost"] == found.vhost:
            key = (row["user"], row["exchange"])
            found.put(Kind.TOPIC_PERMISSION, key, {name: row[name] for name in ("write", "read")})


def _read_topology(management: Management, found: Rendering) -> None:
    for row in management.get("exchanges", found.vhost):
        if row["name"] and not row["name"].startswith("amq."):
            body = {name: row[name] for name in ("type", "durable", "auto_delete", "internal", "arguments")}
            found.put(Kind.EXCHANGE, (row["name"],), body)
    for row in management.get("queues", found.vhost):
        if row.get("exclusive"):
            # An exclusive queue ends with its connection, and never holds what our exchanges carry: see bindings.
            continue
        found.put(Kind.QUEUE, (row["name"],), {name: row[name] for name in ("durable", "auto_delete", "arguments")})
        # The broker's own count is some seconds old, and may be switched off altogether.
        found.messages[row["name"]] = row.get("messages")
    for row in management.get("bindings", found.vhost):
        if row["source"]:
            found.put(Kind.BINDING, (row["source"], row["destination"], row["routing_key"]), {})
    for row in management.get("policies", found.vhost):
        body = {name: row[name] for name in ("pattern", "definition", "apply-to", "priority")}
        found.put(Kind.POLICY, (row["name"],), body)
    for row in management.get("operator-policies", found.vhost) or ():
        found.put(Kind.OPERATOR_POLICY, (row["name"],), {})


def look_into(management: Management, wanted: Rendering, found: Rendering) -> None:
    """Look into queues that are to go and whose count the broker does not say, as for those made a moment ago.

    Only into these: a look counts as a delivery.
    """
    for name, messages in found.messages.items():
        key = (Kind.QUEUE, (name,))
        is_stream = found.objects[key]["arguments"].get("x-queue-type") == _STREAM
        if messages is None and key not in wanted.objects and is_ours(name) and not is_stream:
            found.messages[name] = int(_has_messages(management, found.vhost, name))


def _has_messages(management: Management, vhost: str, name: str) -> bool:
    ask = {"count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1}
    return bool(management.post("queues", vhost, name, "get", body=ask))


class Writer:
    """Makes changes, one at a time."""

    def __init__(self, management: Management, vhost: str, *, force: str | None = None, prune: bool = False) -> None:
        """`force`: how the names of those queues begin that may be deleted with what they hold; none without it."""
        self._management = management
        self._vhost = vhost
        self._force = force
        self._prune = prune

    def may(self, change: Change) -> bool:
        """Say whether this change is to be made, given what was allowed."""
        if change.held is Held.SHOWN:
            return False
        if change.held is Held.OTHERS:
            return self._prune
        return change.held is None or self._is_forced(change.key[0])

    def _is_forced(self, name: str) -> bool:
        return self._force is not None and name.startswith(self._force)

    def write(self, change: Change) -> None:
        """Make one change; repeatable."""
        if change.action in (Action.DELETE, Action.REPLACE):
            self._delete(change.kind, change.key)
        if change.wanted is not None:
            self._put(change.kind, change.key, change.wanted)

    def _put(self, kind: Kind, key: Key, body: Body) -> None:
        at, vhost = self._management, self._vhost
        match kind:
            case Kind.VHOST:
                at.put("vhosts", vhost, body=body)
                self.let_in()
            case Kind.VHOST_LIMIT:
                at.put("vhost-limits", vhost, key[0], body=body)
            case Kind.USER_LIMIT:
                at.put("user-limits", *key, body=body)
            case Kind.EXCHANGE | Kind.QUEUE | Kind.POLICY:
                at.put(_PLURALS[kind], vhost, key[0], body=body)
            case Kind.BINDING:
                at.post("bindings", vhost, "e", key[0], "q", key[1], body={"routing_key": key[2], "arguments": {}})
            case Kind.USER:
                at.put("users", key[0], body=body)
            case Kind.PERMISSION:
                at.put("permissions", vhost, key[0], body=body)
            case Kind.TOPIC_PERMISSION:
                at.put("topic-permissions", vhost, key[0], body={"exchange": key[1], **body})

    def let_in(self) -> None:
        """Give the provisioning user the rights with which it declares dead-lettering queues."""
        own = str(self._management.get("whoami")["name"])
        rights = {"configure": ".*", "write": ".*", "read": ".*"}
        self._management.put("permissions", self._vhost, own, body=rights)

    def _delete(self, kind: Kind, key: Key) -> None:
        if kind is Kind.BINDING:
            self._unbind(key)
        elif kind is Kind.QUEUE and not self._is_forced(key[0]):
            self._delete_empty(key[0])
        else:
            self._management.delete(*self._place(kind, key))

    def _place(self, kind: Kind, key: Key) -> tuple[str, ...]:
        """Say where an object is deleted."""
        match kind:
            case Kind.USER_LIMIT:
                return "user-limits", *key
            case Kind.USER:
                return "users", key[0]
            case Kind.PERMISSION_ELSEWHERE:
                return "permissions", key[1], key[0]
            case Kind.PARAMETER:
                return "parameters", key[0], key[2], key[1]
        return _PLURALS[kind], self._vhost, *key

    def _unbind(self, key: Key) -> None:
        at, vhost = self._management, self._vhost
        for kind in ("q", "e"):
            for row in at.get("bindings", vhost, "e", key[0], kind, key[1]) or ():
                if row["routing_key"] == key[2]:
                    at.delete("bindings", vhost, "e", key[0], kind, key[1], row["properties_key"])

    def _delete_empty(self, name: str) -> None:
        """Look once more: the count that was compared may be older than the newest message."""
        row = self._management.get("queues", self._vhost, name)
        if row is None:
            return
        if row.get("type") != _STREAM and _has_messages(self._management, self._vhost, name):
            raise ManagementError(f"queue {name}", 409, "it holds messages now")
        self._management.delete("queues", self._vhost, name)
