"""`python -m tests.support.soak --minutes N --seed S`: the fault matrix, then the sweep; ends with 1 if anything broke.

Everything is written as JSON lines into `--results`; `python -m tests.support.report` makes the published tables of it.
"""

import argparse
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from tests.support.matrix import EXPECTED
from tests.support.published import is_scenario, read
from tests.support.report import tables
from tests.support.soak.plan import UNTIL
from tests.support.sweep.__main__ import main as sweep

ROOT = Path(__file__).parents[3]
LEAST_SWEEP_MINUTES = 0.5
NOTHING_CHOSEN = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--results", type=Path, default=Path("build/soak.jsonl"))
    parser.add_argument("--only", default="", help="scenarios whose test has this in its name, as pytest's -k")
    arguments = parser.parse_args()
    results: Path = arguments.results.absolute()
    results.parent.mkdir(parents=True, exist_ok=True)
    results.write_text("")
    until = time.monotonic() + arguments.minutes * 60
    say(f"SEED={arguments.seed}")
    is_held = matrix(arguments.seed, until, results, arguments.only)
    ran = {row["scenario"] for row in read([results]) if is_scenario(row)}
    for name in [name for name in EXPECTED if name not in ran]:
        say(f"not run: {name}")
    minutes = (until - time.monotonic()) / 60
    if minutes < LEAST_SWEEP_MINUTES:
        say("not run: the sweep; there is no time left")
    elif sweep(["--minutes", f"{minutes:.2f}", "--seed", str(arguments.seed), "--results", str(results)]):
        is_held = False
    say(tables(read([results])))
    return 0 if is_held else 1


def matrix(seed: int, until: float, results: Path, only: str) -> bool:
    """Run the scenarios, two at a time, the cheapest first; say whether none broke."""
    files = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "tests" / "fault").glob("test_matrix_*.py"))
    choice = ["-m", "soak or not soak", *(["-k", only] if only else [])]
    two_at_once = ["-n", "2", "--dist", "load", "--maxschedchunk", "1"]
    plan = ["-v", "-p", "tests.support.soak.plan", "-p", "no:cacheprovider", *two_at_once, *choice, *files]
    environment = {**os.environ, "ONSHI_SEED": str(seed), "ONSHI_FIGURES": str(results), UNTIL: str(until)}
    done = subprocess.run([sys.executable, "-m", "pytest", *plan], cwd=ROOT, env=environment, check=False)
    if done.returncode not in (0, NOTHING_CHOSEN):
        say(f"again: ONSHI_SEED={seed} pytest -m 'soak or not soak' and the names above")
    return done.returncode in (0, NOTHING_CHOSEN)


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
