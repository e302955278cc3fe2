"""`python -m benchmarks`: every setup in turn, several rounds, a table and one JSON line for each run.

With `--product before=TREE after=TREE` the roles of several trees are run alternately: what does a change bring?
"""

import argparse
import sys
import tempfile
from pathlib import Path

from benchmarks import report, rest
from benchmarks.burst import measure
from benchmarks.figures import Figures, write
from benchmarks.rest import Rest
from benchmarks.setups import SETUPS, Setup


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=2000, help="how many arrive at once")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", type=int, nargs="*", help="numbers of the setups, from 1")
    parser.add_argument("--product", nargs="*", default=[], metavar="NAME=TREE", help="trees whose roles are run")
    parser.add_argument("--results", type=Path, default=Path("build/bench.jsonl"))
    parser.add_argument("--publish", type=Path, nargs="+", help="write docs/sizing.md from these results, and no more")
    arguments = parser.parse_args()
    if arguments.publish:
        report.publish(arguments.publish)
        return 0
    chosen = [SETUPS[number - 1] for number in arguments.only] if arguments.only else list(SETUPS)
    products = [_named(words) for words in arguments.product] or [(report.THIS, None)]
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    arguments.results.write_text("", encoding="utf-8")
    done: list[Figures] = []
    for number in range(1, arguments.rounds + 1):
        for setup in chosen:
            for product in products:
                figures = _one(setup, product, arguments.files, number)
                write(arguments.results, [figures])
                done.append(figures)
                say(
                    f"{figures.setup} [{figures.product}, round {number}]: {figures.files_a_second:.0f} files/s,"
                    f" {figures.cpu_ms:.2f} ms of CPU a file {dict(figures.cpu_ms_a_file)}"
                )
    rests: list[Rest] = []
    for clinics in rest.GROUPS if not products[0][1] else ():
        with tempfile.TemporaryDirectory(prefix="onshi-bench-") as folder:
            rests.append(rest.measure(clinics, Path(folder)))
    rest.write(arguments.results, rests)
    say(report.tables(done, rests))
    return 0


def _named(words: str) -> tuple[str, Path | None]:
    name, _, tree = words.partition("=")
    return name, Path(tree).resolve()


def _one(setup: Setup, product: tuple[str, Path | None], files: int, number: int) -> Figures:
    with tempfile.TemporaryDirectory(prefix="onshi-bench-") as folder:
        return measure(setup, Path(folder), files, number=number, product=product)


def say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
