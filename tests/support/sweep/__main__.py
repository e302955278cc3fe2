"""`python -m tests.support.sweep --minutes N --seed S`: sweep as long as there is time; ends with 1 if anything broke.

`--point role:thread:call:k[:fault]` (one or more, of different roles) replays one round instead.
"""

import argparse
import itertools
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from tests.support.rabbit import RabbitNode
from tests.support.sweep.clinic import clinic
from tests.support.sweep.drive import Drive, Outcome
from tests.support.sweep.points import WHOLE, Point, draw
from tests.support.sweep.report import read, tables

SITE_ROUNDS = 30
"""After so many rounds a new clinic is opened, so that rounds stay as quick as the first."""
STOP_AFTER_BROKEN = 3


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 30))
    parser.add_argument("--point", type=Point.read, action="append", default=[])
    parser.add_argument("--results", type=Path, default=Path("build/sweep.jsonl"))
    parser.add_argument("--keep", action="store_true", help="leave the clinics' folders for a look")
    arguments = parser.parse_args(words)
    arguments.results.parent.mkdir(parents=True, exist_ok=True)
    say(f"SEED={arguments.seed}")
    until = time.monotonic() + arguments.minutes * 60
    broken = 0
    with ExitStack() as stack:
        root = Path(tempfile.mkdtemp(prefix="onshi-sweep-"))
        node = stack.enter_context(RabbitNode())
        for number in itertools.count():
            seed = arguments.seed + number
            is_whole = arguments.point[0].role == WHOLE if arguments.point else number % 2 == 1
            broker = "embedded:" if is_whole else node.url(node.add_vhost())
            with clinic(root / str(number), broker=broker, seed=seed) as made:
                drive = Drive(made, seed, arguments.results)
                broken += sweep(drive, arguments.point or None, made.role_names(), until, seed)
            if arguments.point or broken >= STOP_AFTER_BROKEN or time.monotonic() > until:
                break
    say(tables(read([arguments.results])))
    return 1 if broken else 0


def sweep(drive: Drive, asked: Sequence[Point] | None, roles: Sequence[str], until: float, seed: int) -> int:
    """Run the points of one clinic; returns how many rounds broke something, at most one."""
    drive.settle()
    rounds: Iterator[Sequence[Point]] = iter([asked]) if asked else draw(drive, roles, random.Random(seed))
    for points in itertools.islice(rounds, SITE_ROUNDS):
        outcomes = drive.at(*points)
        for outcome in outcomes:
            say(f"{outcome.result:<11} {outcome.seconds:6.1f} s  {outcome.point}")
        if any(outcome.is_broken for outcome in outcomes):
            # What is lost stays lost, so every later round of this clinic would tell of it again.
            tell(outcomes, seed)
            return 1
        if time.monotonic() > until:
            break
    return 0


def tell(outcomes: Sequence[Outcome], seed: int) -> None:
    words = " ".join(f"--point '{outcome.point}'" for outcome in outcomes)
    for why in outcomes[0].why:
        say(f"  {why}")
    say(f"  again: python -m tests.support.sweep --seed {seed} {words}")


def say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
