"""Does anything lie in the broker where nobody takes it? I11 and I13, as its queues show them."""

from collections.abc import Iterator, Mapping, Sequence

from pipeline.invariants.finding import Finding
from pipeline.invariants.waiting import DRAINS, POISON
from pipeline.topology import CENTRE_ROLES, UNROUTED_QUEUE, Topology, parked_queue


def findings(topology: Topology, depths: Mapping[str, int | None] | None, why_not: str = "") -> Iterator[Finding]:
    """Judge how many messages are ready in each queue.

    `depths` lacks queues that are missing, and says None of those that the broker tells us nothing of; None: not asked.
    """
    if depths is None:
        note = f"broker not asked: {why_not}"
        yield Finding("I11", POISON, note=note, applicable=False)
        yield Finding("I13", DRAINS, note=note, applicable=False)
        return
    # The parked queues are transit: every role empties its own into the store once a second.
    parked = [parked_queue(role) for role in CENTRE_ROLES]
    full = tuple(f"queue {queue}: {depth} not taken into the store" for queue in parked if (depth := depths.get(queue)))
    yield _finding("I11", POISON, full, parked, depths)
    everyone = [spec.name for spec in topology.queues]
    missing = [f"queue {queue}: missing" for queue in everyone if queue not in depths]
    astray = depths.get(UNROUTED_QUEUE)
    lost = [f"queue {UNROUTED_QUEUE}: {astray} messages that no binding takes"] if astray else []
    yield _finding("I13", DRAINS, (*missing, *lost), everyone, depths)


def _finding(
    name: str, says: str, broken: tuple[str, ...], queues: Sequence[str], depths: Mapping[str, int | None]
) -> Finding:
    untold = [queue for queue in queues if depths.get(queue, 0) is None]
    note = f"the broker tells us nothing of {len(untold)} queues" if untold else None
    return Finding(name, says, broken, note, applicable=len(untold) < len(queues))
