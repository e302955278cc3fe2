"""How do the JSON lines of many runs become the tables of a page? What every report of them shares.

A report is run as `python -m tests.support.… RESULTS… [--publish]`: without the word it prints its tables.
"""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.support.figures import BEGUN, BROKEN, NOT_RUN

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reliability.md"
Row = dict[str, Any]


def lines(paths: Iterable[Path]) -> Iterator[Row]:
    """Read every line as it was written."""
    return (json.loads(line) for path in paths for line in path.read_text(encoding="utf-8").splitlines() if line)


def read(paths: Iterable[Path]) -> list[Row]:
    """Read every line, and settle what began and did not end."""
    return settled(lines(paths))


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


def between(page: str, begin: str, text: str, end: str) -> str:
    """Replace what stands between two markers."""
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    assert found, f"the page has no {begin}"
    assert closed, f"the page has no {end}"
    return f"{before}{begin}\n{text}{end}{after}"


def report(
    description: str | None,
    read: Callable[[Iterable[Path]], list[Row]],
    tables: Callable[[Sequence[Row]], str],
    rendered: Callable[[str, Sequence[Row]], str],
    figures: Path,
) -> None:
    """Print the tables of the files that the command line names, or keep their lines and put them into the page."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("results", type=Path, nargs="+")
    parser.add_argument("--publish", action="store_true")
    arguments = parser.parse_args()
    rows = read(arguments.results)
    if not arguments.publish:
        print(tables(rows))  # noqa: T201
        return
    figures.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), rows), encoding="utf-8")
