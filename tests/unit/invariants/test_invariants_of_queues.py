"""What do the broker's queues say of what is parked or astray, and what where the broker tells us nothing?"""

from collections.abc import Mapping

import pytest

from pipeline.invariants import Finding, queues
from pipeline.topology import CENTRE_ROLES, Edge, build, parked_queue

TOPOLOGY = build([Edge("c001", "t1")])
NAMES = [spec.name for spec in TOPOLOGY.queues]
EMPTY: Mapping[str, int | None] = dict.fromkeys(NAMES, 0)
UNTOLD: Mapping[str, int | None] = dict.fromkeys(NAMES)
PARKED = [parked_queue(role) for role in CENTRE_ROLES]


def found(depths: Mapping[str, int | None]) -> tuple[Finding, Finding]:
    poison, drains = queues.findings(TOPOLOGY, depths)
    assert (poison.name, drains.name) == ("I11", "I13")
    return poison, drains


def test_empty_queues_hold_both() -> None:
    assert all(finding.is_held and finding.applicable and finding.note is None for finding in found(EMPTY))


def test_what_is_not_taken_what_is_astray_and_what_is_missing_is_named() -> None:
    poison, drains = found({**EMPTY, "parsing.parked": 2, "unrouted": 3})
    assert poison.broken == ("queue parsing.parked: 2 not taken into the store",)
    assert drains.broken == ("queue unrouted: 3 messages that no binding takes",)
    _, drains = found({name: depth for name, depth in EMPTY.items() if name != "edge.c001.t1"})
    assert drains.broken == ("queue edge.c001.t1: missing",)


def test_what_the_broker_tells_nobody_breaks_nothing_and_proves_nothing() -> None:
    for finding, count in zip(found(UNTOLD), (len(PARKED), len(NAMES)), strict=True):
        assert finding.is_held
        assert not finding.applicable
        assert finding.note == f"the broker tells us nothing of {count} queues"


@pytest.mark.parametrize(("told", "count"), [("unrouted", None), ("parsing.parked", len(PARKED) - 1)])
def test_what_it_does_tell_is_judged(told: str, count: int | None) -> None:
    poison, drains = found({**UNTOLD, told: 1})
    assert drains.applicable
    assert drains.note == f"the broker tells us nothing of {len(NAMES) - 1} queues"
    assert bool(drains.broken) == (told == "unrouted")
    assert bool(poison.broken) == poison.applicable == (count is not None)
