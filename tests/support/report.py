"""What is published of a soak? Reads its JSON lines and writes the tables of `docs/reliability.md`.

`python -m tests.support.report RESULTS… --publish` keeps the lines beside the page and replaces what stands between
its markers. A scenario that broke stands there as broken, one that was not run as not run.
"""

import argparse
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tests.support.figures import BEGUN, BROKEN, NOT_RUN
from tests.support.matrix import EXPECTED
from tests.support.sweep import report as sweep

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
FIGURES = ROOT / "docs" / "reliability.jsonl"
BEGIN = "<!-- matrix:begin -->"
END = "<!-- matrix:end -->"
HEAD = (
    "| fault | what was expected | on | runs | broken | files | faults | lost | duplicate effects | false certificates"
    " | wrong erasures | longest drain, s |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n"
)
Row = dict[str, Any]


def read(paths: Iterable[Path]) -> list[Row]:
    """Read every line, of matrix and sweep, and settle what began and did not end."""
    lines = (line for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line)
    return settled(json.loads(line) for line in lines)


def is_scenario(row: Row) -> bool:
    return "scenario" in row


def settled(rows: Iterable[Row]) -> list[Row]:
    """Return what came of every run: one that began and never ended is broken."""
    ended: list[Row] = []
    begun: dict[str, list[Row]] = {}
    for row in rows:
        if row.get("outcome") == BEGUN:
            begun.setdefault(row["scenario"], []).append(row)
            continue
        if is_scenario(row) and begun.get(row["scenario"]):
            begun[row["scenario"]].pop()
        if row["outcome"] != NOT_RUN:
            ended.append(row)
    return ended + [{**row, "outcome": BROKEN} for left in begun.values() for row in left]


def tables(rows: Sequence[Row]) -> str:
    """Write everything: the matrix, and the sweep if there was one."""
    points = [row for row in rows if not is_scenario(row)]
    return matrix(rows) + (f"\n{sweep.tables(points)}" if points else "")


def matrix(rows: Sequence[Row]) -> str:
    """Write the table of scenarios, one line for each name and installation."""
    runs = [row for row in rows if is_scenario(row)]
    lines = [
        _line(name, expected, [row for row in runs if row["scenario"] == name]) for name, expected in EXPECTED.items()
    ]
    return f"{HEAD}{''.join(lines)}\n{_summary(runs)}\n"


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
        page = sweep.between(page, BEGIN, matrix(rows), END)
    if points:
        page = sweep.between(page, sweep.BEGIN, sweep.tables(points), sweep.END)
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    rows = read(arguments.results)
    if not arguments.publish:
        print(tables(rows))  # noqa: T201
        return
    FIGURES.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")


if __name__ == "__main__":
    main()
