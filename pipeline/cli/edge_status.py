"""`onshi status` on a clinic's machine of a group: what does this machine know by itself?

The store is at the centre, so only its own ledgers are counted, and its own process is asked how it is. What it may
not know is null in JSON, never zero.
"""

import json
import urllib.request
from http.client import HTTPException
from typing import Any, Final

from pipeline.cli.desk import Desk
from pipeline.cli.fitness import require_fit
from pipeline.custody import Custody
from pipeline.settings import HttpSettings, Settings
from pipeline.topology import CHART_EDGE, EDGE_ROLES
from producers.chart import delivery_counts
from producers.chart import is_at_work as chart_is_at_work
from producers.chart import ledger_path as chart_ledger
from producers.terminal import custody_counts, is_at_work, ledger_path, spool_holdings, waiting

ANSWER_SECONDS: Final = 2.0


def edge_status(desk: Desk) -> int:
    """Print what is here.

    Raises:
        UnfitStateError: a ledger is of another release.
    """
    require_fit(desk.settings, EDGE_ROLES)
    state = gather(desk)
    desk.say(state, [*_lines(state), "results, parked messages and certificates are shown at the centre"])
    return 0


def gather(desk: Desk) -> dict[str, Any]:
    """Count everything; the keys are those of `onshi status` at the centre (design section 12)."""
    settings = desk.settings
    terminals = {
        f"{clinic.id}/{terminal.id}": _terminal(desk, clinic.id, terminal.id)
        for clinic in settings.clinics
        for terminal in clinic.terminals
    }
    charts = {
        f"{clinic.id}/{CHART_EDGE}": _chart(settings, clinic.id)
        for clinic in settings.clinics
        if clinic.chart is not None
    }
    counted = [each.pop("custody") for each in terminals.values()]
    return {
        "files": {state.value: sum(each.get(state.value, 0) for each in counted) for state in Custody},
        "outcomes": None,
        "parked": None,
        "certificates": None,
        "oldest_waiting_seconds": max((each["oldest_waiting_seconds"] for each in terminals.values()), default=0.0),
        "terminals": terminals,
        "charts": charts,
        "not_ready": not_ready(settings.http),
    }


def _terminal(desk: Desk, clinic: str, terminal: str) -> dict[str, Any]:
    settings = desk.settings
    path = ledger_path(settings.edge.state, clinic, terminal)
    backlog, oldest = waiting(path)
    spool = spool_holdings(settings.edge.state, clinic, terminal, settings.edge.spool_days)
    return {
        "last_seen": None,
        "running": is_at_work(path),
        "backlog": backlog,
        "oldest_waiting_seconds": round(max(0.0, (desk.now - oldest).total_seconds()), 1) if oldest else 0.0,
        "spool_files": spool.files if spool else 0,
        "spool_bytes": spool.size if spool else 0,
        "custody": custody_counts(path),
    }


def _chart(settings: Settings, clinic: str) -> dict[str, Any]:
    path = chart_ledger(settings.edge.state, clinic)
    return {"running": chart_is_at_work(path), "deliveries": delivery_counts(path)}


def not_ready(http: HttpSettings) -> dict[str, str] | None:
    """Ask the process at the configured port what of it waits, and why; None where nothing of ours answers there."""
    host = "127.0.0.1" if http.host == "0.0.0.0" else http.host  # noqa: S104 - read, not bound
    # Never by way of a proxy, whatever the environment says: it is this machine that is asked.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}), _Unready())
    try:
        with opener.open(f"http://{host}:{http.port}/readyz", timeout=ANSWER_SECONDS) as answer:
            found = json.loads(answer.read())["waiting"]
            return {str(name): str(why) for name, why in found.items()}
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None


class _Unready(urllib.request.HTTPErrorProcessor):
    """503 is an answer, with its reasons in it."""

    def http_response(self, request: Any, response: Any) -> Any:
        del request
        return response


def _lines(state: dict[str, Any]) -> list[str]:
    lines = ["files of this machine: " + _counts(state["files"])]
    waits: dict[str, str] = state["not_ready"] or {}
    for name, terminal in state["terminals"].items():
        lines.append(f"terminal {name}: {_running(terminal['running'], 'terminal', waits.get(f'terminal {name}'))}")
        lines.append(
            f"  the centre does not have {terminal['backlog']} files yet"
            + (f", the oldest for {terminal['oldest_waiting_seconds']:.0f} s" if terminal["backlog"] else "")
            + f"; the spool keeps {terminal['spool_files']} files, {_mib(terminal['spool_bytes'])} MiB"
        )
    for name, chart in state["charts"].items():
        clinic = name.partition("/")[0]
        lines.append(f"chart {name}: {_running(chart['running'], 'chart', waits.get(f'chart {clinic}'))}")
        lines.append("  deliveries: " + (_counts(chart["deliveries"]) or "none yet"))
    return lines


def _running(running: bool, role: str, waits: str | None) -> str:  # noqa: FBT001 - what was found, not a choice
    if not running:
        return f"NOT RUNNING   → onshi run {role}, or its service; then onshi check"
    return f"running, WAITS: {waits}   → onshi check" if waits else "running"


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in counts.items())


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f}"
