"""What waits for a vendor that cannot be told now, and in which order does it leave?

While a vendor's key or secret cannot be used, whatever that vendor would have been told waits here, so that its
events keep their order; everybody else's flow on. Kept is the event from inside, which says nothing of a patient.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, func, select

from consumers.publication.notices import Heard
from pipeline.events import BY_TYPE
from pipeline.storage.engine import insert_new
from pipeline.storage.schema import vendor_held

MOST = 200


@dataclass(frozen=True, slots=True)
class Hold:
    """Write: this vendor hears of it later."""

    vendor: str
    heard: Heard
    reason: str


@dataclass(frozen=True, slots=True)
class Release:
    """Write: it waits no longer."""

    vendor: str
    event_id: str


def apply(connection: Connection, writes: Sequence[object], now: datetime) -> None:
    holds = [write for write in writes if isinstance(write, Hold)]
    # Counted on from what waits: another instance, or another clock, may have held it.
    last = (connection.scalar(select(func.max(vendor_held.c.number))) if holds else None) or 0
    rows = [
        {
            "vendor": write.vendor,
            "event_id": write.heard.event.id,
            "number": last + place,
            "type": write.heard.event.type_name(),
            "reason": write.reason,
            "body": write.heard.event.model_dump_json().encode(),
            "said_at": write.heard.at,
            "held_at": now,
        }
        for place, write in enumerate(holds, 1)
    ]
    insert_new(connection, vendor_held, rows)
    for write in writes:
        if isinstance(write, Release):
            same = (vendor_held.c.vendor == write.vendor) & (vendor_held.c.event_id == write.event_id)
            connection.execute(delete(vendor_held).where(same))


def oldest(connection: Connection, vendor: str) -> list[Heard]:
    """Claim the oldest that wait for a vendor, in the order in which they came."""
    query = select(vendor_held).where(vendor_held.c.vendor == vendor).order_by(vendor_held.c.number).limit(MOST)
    return [
        Heard(BY_TYPE[row.type].model_validate_json(row.body), row.said_at)
        for row in connection.execute(query.with_for_update())
    ]


def waiting(connection: Connection) -> list[str]:
    """Name the vendors for whom something waits."""
    return sorted(connection.scalars(select(vendor_held.c.vendor).distinct()))


def forget(connection: Connection, vendors: Collection[str]) -> None:
    """Drop what waits for vendors that are none any more."""
    if vendors:
        connection.execute(delete(vendor_held).where(vendor_held.c.vendor.in_(sorted(vendors))))
