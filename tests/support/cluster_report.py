"""What is published of the runs on a cluster? Reads their JSON lines and writes the table of `docs/reliability.md`.

`python -m tests.support.cluster_report RESULTS… --publish` keeps the lines beside the page and replaces what stands
between its markers.
"""

from collections.abc import Sequence

from tests.support import published
from tests.support.figures import BROKEN
from tests.support.published import ROOT, Row, between, read

FIGURES = ROOT / "docs" / "cluster.jsonl"
BEGIN = "<!-- cluster:begin -->"
END = "<!-- cluster:end -->"
HEAD = (
    "| fault | led before, of the queues and streams that carry files | next file at the chart, s"
    " | a file that came after the fault, s | node whole again, s |\n|---|---|---|---|---|\n"
)


def table(runs: Sequence[Row]) -> str:
    """Write one line for each fault, with the longest times of all runs, and a summary that hides no broken one."""
    faults = list(dict.fromkeys(loss["fault"] for run in runs for loss in run["losses"]))
    lines = "".join(
        _line(name, [loss for run in runs for loss in run["losses"] if loss["fault"] == name]) for name in faults
    )
    return f"{HEAD}{lines}\n{_summary(runs)}\n"


def _line(fault: str, losses: Sequence[Row]) -> str:
    led = ", ".join(sorted({f"{loss['led']} of {loss['queues']}" for loss in losses}))
    times = [_longest(losses, key) for key in ("next_seconds", "whole_way_seconds", "back_seconds")]
    return f"| {' | '.join([fault, led, *times])} |\n"


def _longest(losses: Sequence[Row], key: str) -> str:
    known = [loss[key] for loss in losses if loss[key] is not None]
    return f"{max(known):.1f}" if known else ""


def _total(runs: Sequence[Row], key: str) -> str:
    """Add up; what a broken run could not count is not nothing."""
    known = [run[key] for run in runs if run[key] is not None]
    unknown = len(runs) - len(known)
    return f"{sum(known)} (unknown of {unknown})" if unknown else str(sum(known))


def _summary(runs: Sequence[Row]) -> str:
    broken = [run for run in runs if run["outcome"] == BROKEN]
    sums = {
        words: _total(runs, key)
        for words, key in (
            ("files", "files"),
            ("lost", "lost"),
            ("duplicate effects", "duplicates"),
            ("false certificates", "false_certificates"),
            ("wrong erasures", "wrong_erasures"),
            ("events twice in the vendor's stream, under their own ids", "told_twice"),
        )
    }
    said = [f"{len(runs)} runs, {len(broken)} broken", *(f"{count} {words}" for words, count in sums.items())]
    told = "; ".join([said[0], ", ".join(said[1:])]) + "."
    return "\n".join([told, *(f"\nBroken (seed {run['seed']}): {run['why'].splitlines()[0][:160]}" for run in broken)])


def rendered(page: str, runs: Sequence[Row]) -> str:
    return between(page, BEGIN, table(runs), END)


if __name__ == "__main__":
    published.report(__doc__, read, table, rendered, FIGURES)
