"""`onshi status`: the whole state at a glance."""

from argparse import Namespace
from collections import Counter
from datetime import datetime
from typing import Any

from sqlalchemy import Column, Connection, func, select

from pipeline import parking
from pipeline.cli.desk import Desk, ahead_or_behind, as_text
from pipeline.cli.edge_status import edge_status
from pipeline.clock import DRIFT_LIMIT
from pipeline.custody import Custody, FileOutcome
from pipeline.events import EdgeReported
from pipeline.settings import Settings
from pipeline.storage.schema import certificates, copies, edges, files
from producers.terminal import custody_counts, ledger_path

_EDGE_STATES = (Custody.SEEN, Custody.SPOOLED, Custody.CAPTURED)


def status(settings: Settings, arguments: Namespace) -> int:
    with Desk(settings, arguments).closing() as desk:
        if not settings.has_centre:
            return edge_status(desk)
        state = gather(desk)
        desk.say(state, _lines(state))
    return 0


def gather(desk: Desk) -> dict[str, Any]:
    """Count everything; see design section 12 for the meaning of each key."""
    with desk.store.reading() as connection:
        custody = _count_by(connection, copies.c.custody)
        outcomes = _count_by(connection, files.c.outcome)
        parked = parking.counts(connection)
        certified = connection.scalar(select(func.count()).select_from(certificates)) or 0
        waiting = connection.scalar(
            select(func.min(files.c.captured_at)).where(files.c.outcome == FileOutcome.PENDING.value)
        )
        unsettled = connection.scalar(
            select(func.min(copies.c.seen_at)).where(copies.c.custody == Custody.STORED.value)
        )
        reports = {(r.clinic, r.edge): r for r in connection.execute(select(edges))}
    terminals = _terminals(desk, reports)
    for each in terminals.values():
        for name, count in each.pop("states").items():
            custody[name] = custody.get(name, 0) + count
    oldest = min((at for at in (waiting, unsettled) if at), default=None)
    ages = [each.pop("oldest") for each in terminals.values()]
    if oldest:
        ages.append((desk.now - oldest).total_seconds())
    return {
        "files": {state.value: custody.get(state.value, 0) for state in Custody},
        "outcomes": {outcome.value: outcomes.get(outcome.value, 0) for outcome in FileOutcome},
        "parked": parked,
        "certificates": certified,
        "oldest_waiting_seconds": round(max(ages, default=0.0), 1),
        "terminals": terminals,
    }


def _count_by(connection: Connection, column: Column[str]) -> dict[str, int]:
    rows = connection.execute(select(column, func.count()).group_by(column))
    return {str(value): int(count) for value, count in rows}


def _terminals(desk: Desk, reports: dict[tuple[str, str], Any]) -> dict[str, dict[str, Any]]:
    """Ask each terminal's own ledger where it lies on this machine, else its last report.

    By terminal id, or by clinic and terminal where two clinics call theirs the same.
    """
    ids = Counter(terminal.id for clinic in desk.settings.clinics for terminal in clinic.terminals)
    found: dict[str, dict[str, Any]] = {}
    for clinic in desk.settings.clinics:
        for terminal in clinic.terminals:
            row = reports.get((clinic.id, terminal.id))
            report = EdgeReported.model_validate_json(row.report) if row else None
            path = ledger_path(desk.settings.edge.state, clinic.id, terminal.id)
            counted = custody_counts(path) if path.exists() else (report.custody if report else {})
            states = {state.value: counted.get(state.value, 0) for state in _EDGE_STATES}
            found[terminal.id if ids[terminal.id] == 1 else f"{clinic.id}/{terminal.id}"] = {
                "last_seen": row.last_seen if row else None,
                "backlog": sum(states.values()),
                "faults": list(report.known_faults) if report else [],
                "clock_offset_seconds": float(row.clock_offset_seconds) if row and row.clock_offset_seconds else None,
                "ballast_bytes": report.ballast_bytes if report else 0,
                "states": states,
                "oldest": report.oldest_seconds if report and any(states.values()) else 0.0,
            }
    return found


def _lines(state: dict[str, Any]) -> list[str]:
    lines = ["files      " + _counts(state["files"]), "outcomes   " + _counts(state["outcomes"])]
    parked = state["parked"]
    lines.append("parked     " + (_counts(parked) + "   → onshi parked list" if parked else "none"))
    lines.append(f"certificates {state['certificates']}")
    lines.append(f"oldest waiting {state['oldest_waiting_seconds']:.0f} s")
    for name, terminal in state["terminals"].items():
        seen: datetime | None = terminal["last_seen"]
        since = as_text(seen) + " JST" if seen else "never"
        faults = "   FAULT " + ", ".join(terminal["faults"]) if terminal["faults"] else ""
        lines.append(
            f"terminal {name}: last seen {since}, backlog {terminal['backlog']} files{_clock(terminal)}{faults}"
        )
    return lines


def _clock(terminal: dict[str, Any]) -> str:
    """Name a clock that is off, as the centre measured it when the last report arrived."""
    offset: float = terminal["clock_offset_seconds"] or 0.0
    if abs(offset) <= DRIFT_LIMIT.total_seconds():
        return ""
    return f"   CLOCK {ahead_or_behind(offset)}"


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in counts.items())


__all__ = ["gather", "status"]
