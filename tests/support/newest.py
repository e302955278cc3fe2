"""Is it the newest decision, and the newest patient list, that stays? What a test changes, and holds against the chart.

A file's revisions are decided, forwarded and delivered one after the other; with several instances of a role two of
them may be under way at once, and the older one may be the slower.
"""

import csv
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any

from sqlalchemy import select

from pipeline.cli.main import main
from pipeline.storage import Store
from pipeline.storage.schema import deliveries, files, patient_lists
from tests.support.site import Site, Taker

Result = dict[str, Any]
"""A row of `onshi results list --json`."""


class Revisions(Taker):
    """A chart that remembers in which order it was given the revisions of each file."""

    def __init__(self, inbox: Path) -> None:
        super().__init__(inbox)
        self.given: dict[str, list[int]] = {}

    def _take_one(self, path: Path) -> None:
        super()._take_one(path)
        if path.suffix == ".json":
            self.given.setdefault(path.stem, []).append(self.records[path.stem]["revision"])

    @property
    def newest(self) -> int:
        return max(max(order) for order in self.given.values())

    @property
    def is_in_order(self) -> bool:
        return all(earlier < later for order in self.given.values() for earlier, later in pairwise(order))


def change_list(made: Site, number: int) -> datetime:
    """Let the chart export its patients with another address for each; returns a time before that."""
    with made.patients.open(encoding="utf-8-sig", newline="") as source:
        rows = list(csv.DictReader(source))
    aside = made.root / "changed.csv"
    with aside.open("w", encoding="utf-8", newline="") as out:
        writer = csv.DictWriter(out, rows[0].keys())
        writer.writeheader()
        writer.writerows({**row, "address": f"見本県例示市{number}丁目"} for row in rows)
    before = datetime.now(UTC)
    aside.replace(made.patients)
    return before


def decide_all(made: Site, results: Sequence[Result], action: str) -> None:
    """Let a person confirm or reopen one result after the other."""
    for result in results:
        named = ["--patient", result["patient_id"]] if action == "confirm" else []
        words = ["results", action, f"{result['file_id']}#{result['result']}", *named, "--reason", "trial"]
        with redirect_stdout(StringIO()):
            assert main([*words, "-c", str(made.config)]) == 0


def is_newest_list(store: Store, changed_at: datetime) -> bool:
    """Say whether the current list was taken after this change."""
    query = select(patient_lists.c.taken_at).where(patient_lists.c.state == "current")
    with store.reading() as connection:
        (taken_at,) = connection.scalars(query)
    return bool(taken_at >= changed_at)


def is_at_rest(store: Store, chart: Revisions, count: int) -> bool:
    """Say whether the chart has confirmed, and holds, that revision of each file which the store holds."""
    query = select(files.c.file_id, files.c.revision, deliveries.c.done_revision, deliveries.c.state).join(
        deliveries, deliveries.c.file_id == files.c.file_id
    )
    with store.reading() as connection:
        rows = connection.execute(query).all()
    held = {file_id: record["revision"] for file_id, record in chart.records.items()}
    return len(rows) == count and all(
        (row.done_revision, row.state, held.get(row.file_id)) == (row.revision, "done", row.revision) for row in rows
    )


def differing(made: Site, chart: Revisions) -> list[str]:
    """Name the files of which the chart holds another decision than the store."""
    found = []
    for row in made.ask("results", "list"):
        held = chart.records[row["file_id"]]["results"][row["result"]]
        if any(held[name] != row[name] for name in ("patient_id", "verdicts", "needs_review")):
            found.append(row["file_id"])
    return found
