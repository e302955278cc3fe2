"""What is published of a soak? Reads its JSON lines and writes the tables of `docs/reliability.md`.

`python -m tests.support.report RESULTS… --publish` keeps the lines beside the page and replaces what stands between
its markers. A scenario that broke stands there as broken, one that was not run as not run.
"""

from collections.abc import Sequence

from tests.support import published
from tests.support.figures import BROKEN
from tests.support.matrix import EXPECTED
from tests.support.published import ROOT, Row, between, is_scenario, read
from tests.support.sweep import report as sweep

FIGURES = ROOT / "docs" / "reliability.jsonl"
BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"
HEAD = (
    "| fault | what was expected | on | runs | broken | files | faults | lost | duplicate effects | false certificates"
    " | wrong erasures | longest drain, s |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)


def tables(rows: Sequence[Row]) -> str:
    """Write everything: the matrix, and the sweep if there was one."""
    points = [row for row in rows if not is_scenario(row)]
    return matrix(rows) + (f"\n{sweep.tables(points)}" if points else "")


def matrix(rows: Sequence[Row]) -> str:
    """Write the table of scenarios, one line for each name and installation."""
    runs = [row for row in rows if is_scenario(row)]
    told = [
        _line(name, expected, [row for row in runs if row["scenario"] == name]) for name, expected in EXPECTED.items()
    ]
    return f"{HEAD}{''.join(told)}\n{_summary(runs)}\n"


def _line(name: str, expected: str, runs: Sequence[Row]) -> str:
    if not runs:
        return f"| {name} | {expected} | | **not run** | | | | | | | | |\n"
    on = ", ".join(sorted({f"{run['broker']} + {run['store']}" for run in runs}))
    broken = sum(run["outcome"] == BROKEN for run in runs)
    counts = [_total(runs, key) for key in ("files", "faults", "lost", "duplicates", "false_certificates")]
    counts.append(_total(runs, "wrong_erasures"))
    drains = [run["drain_seconds"] for run in runs if run["drain_seconds"] is not None]
    cells = [name, expected, on, str(len(runs)), f"**{broken}**" if broken else "0", *counts]
    return f"| {' | '.join(cells)} | {f'{max(drains):.1f}' if drains else '?'} |\n"


def _total(runs: Sequence[Row], key: str) -> str:
    """Add up; what a broken run could not count makes the sum unknown."""
    values = [run[key] for run in runs]
    return "?" if None in values else str(sum(values))


def _summary(runs: Sequence[Row]) -> str:
    broken = [run for run in runs if run["outcome"] == BROKEN]
    absent = len(EXPECTED) - len({run["scenario"] for run in runs})
    seeds = ", ".join(str(seed) for seed in sorted({run["seed"] for run in runs}))
    said = (
        f"{len(EXPECTED)} scenarios, {absent} of them not run; {len(runs)} runs, {len(broken)} broken;"
        f" {sum(run['files'] for run in runs)} files, {sum(run['faults'] for run in runs)} faults. Seeds: {seeds}."
    )
    return "\n".join(
        [said, *(f"\nBroken: {run['scenario']} (seed {run['seed']}): {_first(run['why'])}" for run in broken)]
    )


def _first(why: str) -> str:
    return (why.splitlines() or [""])[0][:160].replace("|", "/")


def rendered(page: str, rows: Sequence[Row]) -> str:
    """Return the page with the tables of these rows; tables that no row speaks of stay."""
    points = [row for row in rows if not is_scenario(row)]
    if len(points) < len(rows):
        page = between(page, BEGIN, matrix(rows), END)
    if points:
        page = between(page, sweep.BEGIN, sweep.tables(points), sweep.END)
    return page


if __name__ == "__main__":
    published.report(__doc__, read, tables, rendered, FIGURES)
