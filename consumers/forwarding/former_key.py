"""Was a delivery ordered to a key that its chart no longer has, and how is it ordered anew?

A chart's machine that was replaced has a key of its own. What was ordered before, and is said again, is sealed to the
former one: the new machine refuses it, and from then on the order is sealed to the key that stands.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TypeGuard

from sqlalchemy import Connection, func, select, update

from pipeline import budget
from pipeline.edge_words import Refusal
from pipeline.events import DeliveryRefused, DeliveryWanted, Event
from pipeline.sealing import recipient_of
from pipeline.storage.schema import deliveries, outbox


@dataclass(frozen=True, slots=True)
class Again:
    """Write: the order of this revision is another now, sealed to the key that stands."""

    order: DeliveryWanted
    cause: str | None
    """The refusal's id: should the order not get out, it does when the refusal comes again.

    None where the chart would refuse the new order under the same id, and each would bring the other.
    """


def is_unopened(event: Event) -> TypeGuard[DeliveryRefused]:
    """Say whether a chart could not open what it was given."""
    return isinstance(event, DeliveryRefused) and event.reason == Refusal.KEY_MISSING


def ordered_to(connection: Connection, refusals: Sequence[DeliveryRefused]) -> dict[str, str]:
    """Name by file id the key to which a refused order stands in the outbox, as `recipient_of` does.

    Raises:
        TooHeavyError: the orders are too much to be read at once, and there is more than one.
    """
    if not refusals:
        return {}
    ids = [
        DeliveryWanted(clinic=one.clinic, file_id=one.file_id, revision=one.revision, sealed=b"").id for one in refusals
    ]
    of_these = outbox.c.event_id.in_(ids)
    budget.check(list(connection.scalars(select(func.length(outbox.c.body)).where(of_these))))
    bodies = connection.scalars(select(outbox.c.body).where(of_these))
    orders = [DeliveryWanted.model_validate_json(body) for body in bodies]
    return {order.file_id: recipient_of(order.sealed) for order in orders}


def write(connection: Connection, writes: Sequence[object], now: datetime) -> None:
    """Put the new orders where the former ones stand: whatever is said again is said in them."""
    for again in [one for one in writes if isinstance(one, Again)]:
        order = again.order
        values: dict[str, object] = {"body": order.model_dump_json().encode(), "sent_at": None, "left_at": now}
        if again.cause is not None:
            values["cause"] = again.cause
        connection.execute(update(outbox).where(outbox.c.event_id == order.id).values(**values))
        same = (deliveries.c.file_id == order.file_id) & (deliveries.c.wanted_revision == order.revision)
        connection.execute(update(deliveries).where(same).values(state="wanted", reason=None))
