"""Which figures do the rounds of a sweep give, and which planted defect is caught by what? Written as tables."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.support import published
from tests.support.published import Row
from tests.support.sweep.defects import SEEN_IN_ORDER, SEEN_IN_SWEEP
from tests.support.sweep.points import ROLES, WHOLE

BEGIN = "<!-- sweep:begin -->"
END = "<!-- sweep:end -->"


def read(paths: Iterable[Path]) -> list[Row]:
    """Read the rounds; what a soak wrote into the same file before them is not ours."""
    return [row for row in published.lines(paths) if "scenario" not in row]


def tables(rows: Sequence[Row]) -> str:
    """Write the tables of kill points, of errors and of planted defects."""
    parts = [_points("kill points", [row for row in rows if not row["fault"]])]
    parts += [_points(name, [row for row in rows if row["fault"] == name]) for name in ("ENOSPC", "EIO", "EACCES")]
    head = "| what | role | points | held | broken | system calls | longest round, s |\n|---|---|---|---|---|---|---|"
    return f"{head}\n{''.join(parts)}\n{_summary(rows)}\n\n{_defects()}"


def _points(what: str, rows: Sequence[Row]) -> str:
    lines = ""
    for role in ROLES:
        own = [row for row in rows if row["role"] == role and row["outcome"] != "not_reached"]
        if not own:
            continue
        ends = Counter(row["outcome"] for row in own)
        calls = ", ".join(f"{call} {count}" for call, count in Counter(row["call"] for row in own).most_common())
        name = "all roles in one process (embedded broker)" if role == WHOLE else role
        longest = max(row["seconds"] for row in own)
        lines += f"| {what} | {name} | {len(own)} | {ends['held']} | {ends['broken']} | {calls} | {longest:.1f} |\n"
    return lines


def _summary(rows: Sequence[Row]) -> str:
    reached = [row for row in rows if row["outcome"] != "not_reached"]
    broken = [row for row in reached if row["outcome"] == "broken"]
    seeds = ", ".join(str(seed) for seed in sorted({row["seed"] for row in rows}))
    return (
        f"{len(reached)} points were reached, {len(broken)} broke an invariant; {len(rows) - len(reached)} more rounds"
        f" ended before their point came, with every invariant held. Seeds: {seeds}."
    )


def _defects() -> str:
    lines = ["| planted defect | in | caught by |", "|---|---|---|"]
    for name, (role, check) in SEEN_IN_ORDER.items():
        lines.append(f"| {name.replace('_', ' ')} | {role} | order check: {check} |")
    for name, (role, point, _) in SEEN_IN_SWEEP.items():
        lines.append(f"| {name.replace('_', ' ')} | {role} | sweep, killed at `{point}` |")
    return "\n".join(lines) + "\n"
