"""What is published of the measurement? Reads its JSON lines and writes the tables of `docs/sizing.md`.

`python -m benchmarks --publish RESULTS…` keeps the lines beside the page and replaces what stands between its markers.
Of several rounds the median is told, and every ratio is between medians.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from benchmarks import rest
from benchmarks.figures import Figures, read, write
from benchmarks.load import BUSIEST_HOUR, FILES_A_DAY, FULL, centre_ms, clinics_a_core
from benchmarks.rest import Rest
from benchmarks.setups import EDGES
from tests.support.published import between

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "sizing.md"
FIGURES: Final = ROOT / "docs" / "sizing.jsonl"
BEGIN: Final = "<!-- figures:begin -->"
END: Final = "<!-- figures:end -->"
THIS: Final = "this"
PASSING: Final = ("inbox", "outbox")
"""Tables whose rows go after two weeks."""
MIB: Final = 1 << 20
GIB: Final = 1 << 30
CLINICS: Final = ((10, 300), (100, 300), (1000, 300))


def publish(results: Iterable[Path]) -> None:
    paths = list(results)
    rows = [row for path in paths for row in read(path)]
    rests = [each for path in paths for each in rest.read(path)]
    FIGURES.write_text("", encoding="utf-8")
    write(FIGURES, rows)
    rest.write(FIGURES, rests)
    PAGE.write_text(rendered(PAGE.read_text(encoding="utf-8"), rows, rests), encoding="utf-8")


def rendered(page: str, rows: Sequence[Figures], rests: Sequence[Rest]) -> str:
    return between(page, BEGIN, tables(rows, rests), END)


def tables(rows: Sequence[Figures], rests: Sequence[Rest] = ()) -> str:
    """Write everything that these runs show."""
    own = [row for row in rows if row.product == THIS]
    parts = [_machine(rows)] if rows else []
    if own:
        parts += [_speed(own), _by_role(own), _memory(own), _store(own), _broker(own), _clinics(own), _disk(own)]
    if rests:
        parts.append(_resting(rests))
    if len(own) < len(rows):
        parts.append(_comparison([row for row in rows if row.product != THIS]))
    return "\n".join(parts)


def _machine(rows: Sequence[Figures]) -> str:
    machines = sorted({f"{row.cores} cores, {row.memory_gib} GiB" for row in rows})
    sizes = sorted({row.bytes_a_file for row in rows})
    bursts = ", ".join(f"{count:,}" for count in sorted({row.files for row in rows}))
    loads = [row.load for row in rows]
    return (
        f"Machine: {'; '.join(machines)}. Bursts of {bursts} eligibility files of {sizes[0]:,} bytes on average;"
        f" {len(rows)} runs. Load of the machine in the minute before a run: {min(loads):.1f} to {max(loads):.1f}.\n"
    )


def _setups(rows: Sequence[Figures]) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {}
    for row in rows:
        found.setdefault(row.setup, []).append(row)
    return found


def _middle(runs: Sequence[Figures], of: Callable[[Figures], float]) -> float:
    return median(of(run) for run in runs)


def _table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [list(head), ["---"] * len(head), *map(list, lines)]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in rows)


def _speed(rows: Sequence[Figures]) -> str:
    setups = _setups(rows)
    first = _middle(next(iter(setups.values())), lambda run: run.files_a_second)
    lines = []
    for name, runs in setups.items():
        rate, cpu = _middle(runs, lambda run: run.files_a_second), _middle(runs, lambda run: run.cpu_ms)
        rates = [run.files_a_second for run in runs]
        lines.append(
            [
                name,
                str(len(runs)),
                f"{rate:.0f} ({min(rates):.0f}–{max(rates):.0f})",
                f"{rate / first:.2f}",
                f"{_middle(runs, lambda run: run.files / run.seconds_to_chart):.0f}",
                f"{cpu:.2f}",
                f"{2000 / cpu:.0f}",
                f"{median(wait for run in runs for wait in run.waits_ms) / 1000:.1f}",
            ]
        )
    head = ["on", "runs", "files/s, to the certificate", "ratio", "files/s, to the chart", "CPU ms a file"]
    return _table([*head, "files/s that two full cores could do", "one file to the idle chart, s"], lines)


def _by_role(rows: Sequence[Figures]) -> str:
    setups = _setups(rows)
    roles = list(dict.fromkeys(role for row in rows for role in row.cpu_ms_a_file))

    def cell(runs: Sequence[Figures], role: str) -> str:
        own = [run.cpu_ms_a_file[role] for run in runs if role in run.cpu_ms_a_file]
        return f"{median(own):.2f}" if own else ""

    lines = [[role, *(cell(runs, role) for runs in setups.values())] for role in roles]
    lines.append(["all", *(f"{_middle(runs, lambda run: run.cpu_ms):.2f}" for runs in setups.values())])
    return _table(["CPU ms a file", *setups], lines)


def _memory(rows: Sequence[Figures]) -> str:
    lines = []
    for role in dict.fromkeys(role for row in rows for role in row.memory_bytes):
        own = [row for row in rows if role in row.memory_bytes]
        most = max(row.memory_bytes[role] for row in own)
        idle = median(row.idle_cpu_ms_a_second[role] for row in own)
        written = median(row.written_bytes_a_file[role] for row in own)
        lines.append([role, f"{most / MIB:.0f}", f"{idle / 10:.1f}", f"{written / 1024:.0f}"])
    head = ["process", "most memory, MiB", "of one core while nothing arrives, %", "written to disk, KiB a file"]
    return _table(head, lines)


def _store(rows: Sequence[Figures]) -> str:
    lines = []
    for name, runs in _setups(rows).items():
        stay = _middle(runs, lambda run: _held(run, passing=False))
        passing = _middle(runs, lambda run: _held(run, passing=True))
        lines.append(
            [
                name,
                f"{_middle(runs, lambda run: sum(run.rows_a_file.values())):.1f}",
                f"{stay / 1024:.1f}",
                f"{passing / 1024:.1f}",
                f"{_middle(runs, lambda run: run.wal_bytes_a_file) / 1024:.0f}",
            ]
        )
    head = [
        "store",
        "rows a file",
        "KiB a file that stay",
        "KiB a file for two weeks",
        "KiB a file of PostgreSQL's log",
    ]
    return _table(head, lines)


def _broker(rows: Sequence[Figures]) -> str:
    lines = []
    for name, runs in _setups(rows).items():

        def told(word: str, runs: Sequence[Figures] = runs, *, unit: float = 1) -> str:
            own = [run.broker_a_file[word] for run in runs if word in run.broker_a_file]
            return f"{median(own) / unit:.1f}" if own else ""

        sizes = (told("bytes_in", unit=1024), told("bytes_out", unit=1024))
        lines.append([name, told("published"), told("delivered"), *sizes])
    head = ["broker", "messages published a file", "messages delivered a file", "KiB a file in", "KiB a file out"]
    return _table(head, lines)


def _clinics(rows: Sequence[Figures]) -> str:
    lines = []
    for name, runs in _setups(rows).items():
        cost = _middle(runs, centre_ms)
        carried = [f"{clinics_a_core(cost, files):,}" for files in FILES_A_DAY]
        lines.append([name, f"{cost:.2f}", f"{1000 * FULL / cost:.0f}", *carried])
    head = ["one core of the centre", "CPU ms a file", f"files/s at {FULL:.0%}"]
    days = [f"clinics of {files:,} files a day" for files in FILES_A_DAY]
    said = f"\nThe busiest hour is taken to bring {BUSIEST_HOUR:.0%} of a day's files.\n"
    return _table([*head, *days], lines) + said


def _disk(rows: Sequence[Figures]) -> str:
    """Reckon with the dearest store: what a group should have room for."""
    stay = max(_middle(runs, lambda run: _held(run, passing=False)) for runs in _setups(rows).values())
    passing = max(_middle(runs, lambda run: _held(run, passing=True)) for runs in _setups(rows).values())
    through = max(_middle(runs, lambda run: run.broker_a_file.get("bytes_in", 0)) for runs in _setups(rows).values())
    lines = []
    for clinics, files in CLINICS:
        a_day = clinics * files
        sizes = (stay * a_day * 365, passing * a_day * 14, through * a_day)
        lines.append([f"{clinics:,} × {files:,}", f"{a_day:,}", *(f"{size / GIB:.1f}" for size in sizes)])
    head = ["clinics × files a day", "files a day", "store: grows a year, GiB", "store: two weeks' rows, GiB"]
    return _table([*head, "broker: through it in a day, GiB"], lines)


def _held(run: Figures, *, passing: bool) -> float:
    return sum(size for table, size in run.store_bytes_a_file.items() if (table in PASSING) is passing)


def _resting(rests: Sequence[Rest]) -> str:
    """Show groups that do nothing, and what each further clinic of them costs the centre."""
    ordered = sorted(rests, key=lambda each: each.clinics)
    lines = []
    for each in ordered:
        counts = (str(each.queues), str(each.connections), f"{each.broker_memory_bytes / MIB:.0f}")
        lines.append([f"{each.clinics} clinics", *counts, f"{_broker_cpu(each):.1f}", f"{_roles_cpu(each):.1f}"])
    first, last = ordered[0], ordered[-1]
    if more := last.clinics - first.clinics:

        def each_of(of: Callable[[Rest], float]) -> float:
            return (of(last) - of(first)) / more

        queues, links = each_of(lambda each: each.queues), each_of(lambda each: each.connections)
        memory = each_of(lambda each: each.broker_memory_bytes) / MIB
        costs = (f"{each_of(_broker_cpu):.2f}", f"{each_of(_roles_cpu):.2f}")
        lines.append(["each further clinic", f"{queues:.1f}", f"{links:.1f}", f"{memory:.1f}", *costs])
    head = ["at rest, on RabbitMQ + SQLite", "queues", "connections", "RabbitMQ's memory, MiB"]
    return _table([*head, "RabbitMQ, CPU ms a second", "centre roles, CPU ms a second"], lines)


def _broker_cpu(each: Rest) -> float:
    return each.cpu_ms_a_second["RabbitMQ"]


def _roles_cpu(each: Rest) -> float:
    return sum(cost for name, cost in each.cpu_ms_a_second.items() if name not in ("RabbitMQ", *EDGES))


def _comparison(rows: Sequence[Figures]) -> str:
    lines = []
    for setup, runs in _setups(rows).items():
        names = list(dict.fromkeys(run.product for run in runs))
        first = [run for run in runs if run.product == names[0]]
        for name in names:
            own = [run for run in runs if run.product == name]
            rate, cpu = _middle(own, lambda run: run.files_a_second), _middle(own, lambda run: run.cpu_ms)
            lines.append(
                [
                    setup,
                    name,
                    str(len(own)),
                    f"{cpu:.2f}",
                    f"{cpu / _middle(first, lambda run: run.cpu_ms):.2f}",
                    f"{rate:.0f}",
                    f"{rate / _middle(first, lambda run: run.files_a_second):.2f}",
                ]
            )
    by_role = _by_role([replace(row, setup=f"{row.setup}: {row.product}") for row in rows])
    return _table(["on", "product", "runs", "CPU ms a file", "ratio", "files/s", "ratio"], lines) + "\n" + by_role
