"""Which keys does this configuration need, now and as months go by, and which have had their time?"""

import logging
import os
import pwd
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from pipeline import edge_reports, keyring, outbox, retention, standing_keys
from pipeline.clock import Clock
from pipeline.errors import OnshiError
from pipeline.key_bundle import published
from pipeline.keyring import Keyring
from pipeline.settings import Settings
from pipeline.storage import Store
from pipeline.topology import Edge, Role
from pipeline.vendor_register import Register

LOG = logging.getLogger("onshi.keys")
FIRST_SECONDS: Final = 60.0
EVERY_SECONDS: Final = 3600.0


def issue_keys(settings: Settings, now: datetime | None = None) -> None:
    """Make the keys that are missing for the configured clinics, twelve months ahead."""
    clinics = [clinic.id for clinic in settings.clinics]
    keyring.issue(settings.keys.dir, clinics, settings.edges, now or datetime.now(UTC))
    keyring.issue_vendors(settings.keys.dir, [vendor.id for vendor in settings.vendors])


def caretaker(
    settings: Settings, ring: Keyring, store: Store | None, clock: Clock
) -> Callable[[threading.Event], None]:
    """Make the part that issues the keys of coming months, and with a store ends those whose time is up."""
    register = Register(settings)

    def run(stop: threading.Event) -> None:
        pause = FIRST_SECONDS
        while not stop.wait(pause):
            # As the group is now: what a machine that came since still seals to must not end.
            tend(register.settings(), ring, store, clock.now())
            pause = EVERY_SECONDS

    return run


def _finish_standing(settings: Settings, ring: Keyring, store: Store, actor: retention.Actor, now: datetime) -> int:
    ended = 0
    for key in standing_keys.replaced(ring):
        try:
            count = standing_keys.finish(store, ring, key, actor, now, configured=settings.edges)
        except OnshiError as error:
            LOG.warning("key kept", extra={"clinic": key.clinic, "reason": f"{key.key_class}: {error}"})
        else:
            LOG.info("key destroyed", extra={"clinic": key.clinic, "reason": str(key.key_class), "count": count})
            ended += 1
    return ended


def tell_edges(settings: Settings, ring: Keyring, store: Store, now: datetime) -> None:
    """Say to every edge what it may seal to, where that has not been said: monthly, as new months are issued.

    It is said again to an edge that reports another standing key a while later: what was said may be lost with the
    broker, or with the disk of a machine that was put back as it had been.
    """
    ring.reload()
    events = published(ring.ring, settings.edges)
    pause = timedelta(seconds=settings.centre.republish_seconds)
    with store.transaction() as connection:
        outbox.add(connection, Role.DELETION, [(event, None) for event in events], now, pause)
        reports = edge_reports.standing_keys(connection)
        for event in events:
            told = reports.get(Edge(event.clinic, event.edge))
            if told is not None and told.key != ring.standing_id(event.clinic):
                outbox.send_again(connection, event.id, told.at - pause, now)


def tend(settings: Settings, ring: Keyring, store: Store | None, now: datetime) -> int:
    """Do what is due; returns how many keys were destroyed. What is refused is asked again next time."""
    issue_keys(settings, now)
    if store is not None:
        tell_edges(settings, ring, store, now)
    actor = retention.Actor("-", pwd.getpwuid(os.geteuid()).pw_name)
    ended = _finish_standing(settings, ring, store, actor, now) if store else 0
    for key in retention.due(ring, settings.retention, now) if store else []:
        assert store is not None
        name = f"{key.key_class} {key.epoch}"
        try:
            made = retention.destroy(store, ring, key, actor, now, configured=settings.edges)
        except OnshiError as error:
            LOG.warning("key kept", extra={"clinic": key.clinic, "reason": f"{name}: {error}"})
        else:
            LOG.info("key destroyed", extra={"clinic": key.clinic, "reason": name, "count": made.emptied})
            ended += 1
    return ended
