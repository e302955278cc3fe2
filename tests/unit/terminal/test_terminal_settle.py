"""When a file is taken, as a table."""

import pytest

from producers.terminal.handles import Stamp
from producers.terminal.settle import Reading, Rules, Step, judge, next_step

RULES = Rules(settle=1.0, unfinished=30.0)
STAMP = Stamp(1, 2, 3, 4)


def reading(at: float, mac: str = "a", stamp: Stamp = STAMP, *, is_complete: bool = True) -> Reading:
    return Reading(stamp, mac, is_complete, at)


@pytest.mark.parametrize(
    ("latest", "step"),
    [
        (reading(0.5), Step.WAIT),
        (reading(1.0), Step.TAKE),
        (reading(1.0, mac="b"), Step.RESTART),
        (reading(1.0, stamp=Stamp(1, 2, 4, 4)), Step.RESTART),
        (reading(29.9, is_complete=False), Step.WAIT),
        (reading(30.0, is_complete=False), Step.TAKE),
    ],
    ids=["too soon", "settled", "other content, same stamp", "grown", "unfinished", "unfinished for good"],
)
def test_two_readings_say_whether_a_file_is_taken(latest: Reading, step: Step) -> None:
    first = reading(0.0, is_complete=latest.is_complete)
    assert judge(first, latest, RULES) is step


def test_a_file_is_not_read_again_before_it_may_be_taken() -> None:
    assert next_step(reading(0.0), reading(0.0), STAMP, 0.9, RULES) is Step.WAIT
    assert next_step(reading(0.0), reading(0.0), STAMP, 1.0, RULES) is Step.READ
    assert next_step(reading(0.0), reading(0.0), Stamp(9, 9, 9, 9), 0.1, RULES) is Step.RESTART
