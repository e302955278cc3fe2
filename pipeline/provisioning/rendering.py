"""What must stand on the broker for this configuration, and for this version of it?

Every object is named by a kind and a key and described by the body the management API takes; no secret is in it.
Clients are known by their certificates (EXTERNAL), so their users have no password with which anything else could be
entered. Who has no row of topic permissions may publish every key, so every user has one for every topic exchange.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pipeline.broker.definitions import Arguments, definitions, stream_arguments
from pipeline.group import CENTRE_USER, GroupSettings, edge_user, vendor_user
from pipeline.provisioning.versions import Abilities, Version, abilities_of
from pipeline.settings import Settings
from pipeline.topology import (
    CENTRE_ROLES,
    CHART_EDGE,
    LISTENS,
    UNROUTED_QUEUE,
    Edge,
    Exchange,
    Reader,
    StreamSpec,
    Topology,
    build,
    orders_queue,
    parked_queue,
    vendor_stream,
    work_queue,
)
from pipeline.vendors import Vendor

NOTHING: Final = "^$"
_OURS: Final = re.compile(r"^(edge|vendor|service)\.[a-z0-9_.-]+$")
_TOPIC_EXCHANGES: Final = (Exchange.INTAKE, Exchange.EVENTS, Exchange.PUBLIC)
_OF_BOTH: Final = "edge."
_OF_CHARTS: Final = ("patients.", "delivery.")
_NO_PASSWORD: Final = ""


class Kind(StrEnum):
    """In the order in which they are made: a topic permission stands before the permission that needs it.

    From `PERMISSION_ELSEWHERE` on nothing is ever wanted: an audit shows what is there.
    """

    VHOST = "vhost"
    VHOST_LIMIT = "vhost limit"
    EXCHANGE = "exchange"
    QUEUE = "queue"
    BINDING = "binding"
    POLICY = "policy"
    USER = "user"
    USER_LIMIT = "user limit"
    TOPIC_PERMISSION = "topic permission"
    PERMISSION = "permission"
    PERMISSION_ELSEWHERE = "permission elsewhere"
    OPERATOR_POLICY = "operator policy"
    PARAMETER = "parameter"
    OTHER_VHOST = "other vhost"
    FEATURE_FLAG = "feature flag"


Key = tuple[str, ...]
Body = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rendering:
    """Every object by kind and key, wanted or found."""

    vhost: str
    objects: dict[tuple[Kind, Key], Body] = field(default_factory=dict)
    messages: dict[str, int | None] = field(default_factory=dict)
    """Found only: how much lies in a queue; None where the broker does not say."""

    def put(self, kind: Kind, key: Key, body: Body) -> None:
        self.objects[kind, key] = body


@dataclass(frozen=True, slots=True)
class Rights:
    """What one user may do in the vhost: patterns of names, and of routing keys by exchange."""

    user: str
    write: str
    read: str
    write_keys: dict[str, str]
    connections: int | None = None


def is_ours(name: str) -> bool:
    """Say whether a user or queue bears a name of ours, so that who is not configured may be removed."""
    return bool(_OURS.match(name)) or name in {UNROUTED_QUEUE, *(work_queue(role) for role in CENTRE_ROLES)}


def render(settings: Settings, version: Version) -> Rendering:
    """Say what must stand on a broker of this version. Pure."""
    abilities = abilities_of(version)
    group = settings.group or GroupSettings()
    wanted = Rendering(group.vhost)
    wanted.put(Kind.VHOST, (group.vhost,), {})
    for name, limit in (("max-connections", group.max_connections), ("max-queues", group.max_queues)):
        wanted.put(Kind.VHOST_LIMIT, (name,), {"value": limit})
    _topology(wanted, settings)
    for vendor in settings.vendors:
        _retention(wanted, vendor, abilities)
    for rights in _all_rights(settings, group):
        _user(wanted, rights, group)
    return wanted


def _topology(wanted: Rendering, settings: Settings) -> None:
    # A vendor that is disabled keeps its stream and what is in it, and loses whoever could read it.
    readers = [Reader(vendor.id, vendor.retention) for vendor in settings.vendors]
    made = definitions(build(settings.edges, readers), wanted.vhost)
    for exchange in made["exchanges"]:
        body = {key: exchange[key] for key in ("type", "durable", "auto_delete", "internal", "arguments")}
        wanted.put(Kind.EXCHANGE, (exchange["name"],), body)
    for queue in made["queues"]:
        body = {key: queue[key] for key in ("durable", "auto_delete", "arguments")}
        wanted.put(Kind.QUEUE, (queue["name"],), body)
    for binding in made["bindings"]:
        wanted.put(Kind.BINDING, (binding["source"], binding["destination"], binding["routing_key"]), {})


def _retention(wanted: Rendering, vendor: Vendor, abilities: Abilities) -> None:
    """A policy can shorten a stream that stands already; of two ages the broker takes the shorter."""
    arguments: Arguments = stream_arguments(StreamSpec(vendor_stream(vendor.id), vendor.retention))
    body: Body = {
        "pattern": f"^{re.escape(vendor_stream(vendor.id))}$",
        "definition": {"max-age": arguments["x-max-age"]},
        "apply-to": abilities.stream_policies,
        "priority": 0,
    }
    wanted.put(Kind.POLICY, (vendor_stream(vendor.id),), body)


def _all_rights(settings: Settings, group: GroupSettings) -> Iterator[Rights]:
    yield _centre_rights(settings.vendors)
    for edge in settings.edges:
        yield _edge_rights(edge, group)
    for vendor in settings.vendors:
        if not vendor.disabled:
            yield Rights(
                vendor_user(vendor.id),
                write=NOTHING,
                read=_names(vendor_stream(vendor.id)),
                write_keys={},
                connections=group.vendor_connections,
            )


def _centre_rights(vendors: Sequence[Vendor]) -> Rights:
    writes = (Exchange.EVENTS, Exchange.PUBLIC, Exchange.RETRY, Exchange.RETURN, Exchange.DEAD)
    queues = [name for role in CENTRE_ROLES for name in (work_queue(role), parked_queue(role))]
    return Rights(
        CENTRE_USER,
        write=_names(*writes),
        # The streams too: `onshi vendors tail` shows an operator what a vendor was told.
        read=_names(*queues, UNROUTED_QUEUE, *(vendor_stream(vendor.id) for vendor in vendors)),
        write_keys={Exchange.EVENTS: ".*", Exchange.PUBLIC: ".*"},
    )


def _edge_rights(edge: Edge, group: GroupSettings) -> Rights:
    keys = [key.replace("*.*", f"{edge.clinic}.{edge.edge}", 1) for key in intake_keys(edge)]
    return Rights(
        edge_user(edge),
        write=_names(Exchange.INTAKE),
        read=_names(orders_queue(edge)),
        write_keys={Exchange.INTAKE: _names(*keys)},
        connections=group.edge_connections,
    )


def within_reach(settings: Settings) -> Topology:
    """Pick what this machine's broker user has any right to: the centre's where a group is configured, else its edges'.

    Of all else a broker from 4.2.6 on does not even say whether it is there.
    """
    users = (
        [_centre_rights(settings.vendors)]
        if settings.group
        else [_edge_rights(edge, GroupSettings()) for edge in settings.edges]
    )
    rights = re.compile("|".join([NOTHING, *(pattern for user in users for pattern in (user.write, user.read))]))
    whole = build(settings.edges)
    return Topology(
        tuple(spec for spec in whole.exchanges if rights.match(spec.name)),
        tuple(spec for spec in whole.queues if rights.match(spec.name)),
    )


def intake_keys(edge: Edge) -> list[str]:
    """List what this end of a clinic says, as bindings name it: a chart speaks of patients and deliveries only."""
    heard = sorted({key for listens in LISTENS.values() for exchange, key in listens if exchange is Exchange.INTAKE})
    is_chart = edge.edge == CHART_EDGE
    return [key for key in heard if key.startswith(_OF_BOTH) or key.startswith(_OF_CHARTS) == is_chart]


def _user(wanted: Rendering, rights: Rights, group: GroupSettings) -> None:
    wanted.put(Kind.USER, (rights.user,), {"tags": "", "password_hash": _NO_PASSWORD})
    if rights.connections is not None:
        wanted.put(Kind.USER_LIMIT, (rights.user, "max-connections"), {"value": rights.connections})
        wanted.put(Kind.USER_LIMIT, (rights.user, "max-channels"), {"value": group.channels})
    for exchange in _TOPIC_EXCHANGES:
        keys = {"write": rights.write_keys.get(exchange, NOTHING), "read": NOTHING}
        wanted.put(Kind.TOPIC_PERMISSION, (rights.user, str(exchange)), keys)
    named = {"configure": NOTHING, "write": rights.write, "read": rights.read}
    wanted.put(Kind.PERMISSION, (rights.user,), named)


def _names(*names: str) -> str:
    """Write the pattern that is these names and nothing else."""
    return f"^({'|'.join(re.escape(str(name)) for name in names)})$"
