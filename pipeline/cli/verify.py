"""`onshi verify`: every invariant over store, folders, inboxes, broker, spools and certificates; changes nothing."""

import os
import sqlite3
import time
from argparse import Namespace
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pipeline import invariants
from pipeline.broker import look
from pipeline.cli.desk import Desk
from pipeline.clinic_settings import Clinic
from pipeline.errors import OnshiError
from pipeline.invariants import Finding, canaries, inbox, queues
from pipeline.provisioning.rendering import within_reach
from pipeline.settings import Settings
from pipeline.topology import build
from producers.terminal import find_faults

AGAIN_SECONDS = 2.0
"""After which a second look tells damage from movement."""
_SHOWN = 20


def verify(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        findings = check(desk, arguments)
        if any(invariants.broken(findings)):
            time.sleep(AGAIN_SECONDS)
            findings = invariants.lasting(findings, check(desk, arguments))
        desk.say({"invariants": [_shown(finding) for finding in findings]}, list(_lines(findings)))
        return 1 if any(invariants.broken(findings)) else 0


def check(desk: Desk, arguments: Namespace) -> list[Finding]:
    """Look once at everything."""
    return invariants.joined(_looks(desk, arguments))


def _looks(desk: Desk, arguments: Namespace) -> Iterator[Finding]:
    now, limit = datetime.now(UTC), timedelta(seconds=arguments.limit_seconds)
    with desk.store.reading() as connection:
        yield from invariants.verify(connection, desk.keyring, now, limit)
    with desk.store.reading() as connection:
        for clinic in desk.settings.clinics:
            yield inbox.finding(connection, desk.keyring, clinic, now, limit)
        yield canaries.finding(connection, desk.keyring, [Path(name) for name in arguments.logs])
    for clinic in desk.settings.clinics:
        yield from _terminals(desk, clinic, now - limit)
    yield from _broker(desk.settings)


def _terminals(desk: Desk, clinic: Clinic, before: datetime) -> Iterator[Finding]:
    for terminal in clinic.terminals:
        where = f"{clinic.id}/{terminal.id}"
        try:
            found = find_faults(desk.settings.edge.state, clinic.id, terminal, desk.keyring, before)
            if found is None:
                yield Finding("I1", "", note=f"{where}: not of this machine", applicable=False)
                continue
            for fault in found:
                yield Finding(fault.invariant, "", (fault.what,))
        except (OSError, sqlite3.Error) as error:
            why = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else type(error).__name__
            yield Finding("I1", "", note=f"{where}: not looked at ({why})", applicable=False)


def _broker(settings: Settings) -> Iterator[Finding]:
    topology = build(settings.edges)
    first = within_reach(settings).queues
    asked = (*first, *(spec for spec in topology.queues if spec not in first))
    try:
        depths = look.depths(
            settings.broker.url,
            settings.state,
            [spec.name for spec in asked],
            settings.broker.certificates,
        )
    except OnshiError as error:
        yield from queues.findings(topology, None, str(error))
    else:
        yield from queues.findings(topology, depths)


def _shown(finding: Finding) -> dict[str, object]:
    return {
        "invariant": finding.name,
        "says": finding.says,
        "held": finding.is_held,
        "broken": list(finding.broken),
        "applicable": finding.applicable,
        "note": finding.note,
    }


def _lines(findings: list[Finding]) -> Iterator[str]:
    for finding in findings:
        word = "BROKEN" if finding.broken else "held" if finding.applicable else "-"
        yield f"{word:<7}{finding.name:<4} {finding.says}" + (f"  [{finding.note}]" if finding.note else "")
    for finding in invariants.broken(findings):
        yield from (f"         {finding.name}: {what}" for what in finding.broken[:_SHOWN])
        if len(finding.broken) > _SHOWN:
            yield f"         {finding.name}: and {len(finding.broken) - _SHOWN} more (--json shows all)"
