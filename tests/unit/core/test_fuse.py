"""The fuse: many parked in a row stop a consumer; the same one many times does not."""

from pipeline.fuse import MOST_IN_A_ROW, Fuse


def test_it_blows_after_many_different_events_without_a_success() -> None:
    fuse = Fuse()
    for number in range(MOST_IN_A_ROW):
        assert not fuse.is_blown
        fuse.parked(f"e{number}")
    assert fuse.is_blown


def test_a_success_between_them_starts_the_count_anew() -> None:
    fuse = Fuse()
    for number in range(MOST_IN_A_ROW - 1):
        fuse.parked(f"e{number}")
    fuse.passed()
    fuse.parked("another")
    assert not fuse.is_blown


def test_one_event_that_is_decided_again_and_again_counts_once() -> None:
    fuse = Fuse()
    for _ in range(MOST_IN_A_ROW * 2):
        fuse.parked("same")
    assert not fuse.is_blown


def test_once_blown_it_stays_blown_until_a_restart() -> None:
    fuse = Fuse(most=1)
    fuse.parked("e")
    fuse.passed()
    assert fuse.is_blown
