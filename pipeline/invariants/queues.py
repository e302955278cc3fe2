"""Does anything lie in the broker where nobody takes it? I11 and I13, as its queues show them."""

from collections.abc import Iterator, Mapping

from pipeline.invariants.finding import Finding
from pipeline.invariants.waiting import DRAINS, POISON
from pipeline.topology import CENTRE_ROLES, UNROUTED_QUEUE, Topology, parked_queue


def findings(topology: Topology, depths: Mapping[str, int] | None, why_not: str = "") -> Iterator[Finding]:
    """Judge how many messages are ready in each queue. `depths` lacks queues that are missing; none: not asked."""
    if depths is None:
        note = f"broker not asked: {why_not}"
        yield Finding("I11", POISON, note=note, applicable=False)
        yield Finding("I13", DRAINS, note=note, applicable=False)
        return
    # The parked queues are transit: every role empties its own into the store once a second.
    full = [(queue, depths[queue]) for role in CENTRE_ROLES if depths.get(queue := parked_queue(role), 0) > 0]
    yield Finding("I11", POISON, tuple(f"queue {queue}: {depth} not taken into the store" for queue, depth in full))
    missing = [f"queue {spec.name}: missing" for spec in topology.queues if spec.name not in depths]
    astray = depths.get(UNROUTED_QUEUE, 0)
    lost = [f"queue {UNROUTED_QUEUE}: {astray} messages that no binding takes"] if astray else []
    yield Finding("I13", DRAINS, (*missing, *lost))
