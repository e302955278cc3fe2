"""When a request file is placed, and that it is placed once."""

import contextlib
import sqlite3
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from pipeline.events import RequestPlaced, RequestRefused, RequestWithdrawn
from producers.terminal import requests
from producers.terminal.handles import Stamp
from producers.terminal.requests import RefusedError, Requests
from tests.support.eventually import eventually
from tests.support.terminal import BenchMaker, SteppingClock, content

FREE = "abcdefabcdef"
NAME = f"OQSsiquc01req_{FREE}.xml"


def now() -> datetime:
    return datetime.now(UTC)


def test_a_request_is_placed_under_its_name_and_told(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE))
    terminal.wait_for(RequestPlaced)
    assert [path.name for path in terminal.terminal.req.iterdir()] == [NAME]
    assert (terminal.terminal.req / NAME).read_bytes() == content(1)


def test_the_same_request_ordered_again_after_the_service_took_it_is_answered_but_not_placed(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, request_id="r1"))
    first = terminal.wait_for(RequestPlaced)[0]
    (terminal.terminal.req / NAME).unlink()
    terminal.stop()
    terminal.start()
    terminal.order(terminal.request(FREE, request_id="r1"))
    assert terminal.wait_for(RequestPlaced, 2) == [first, first]
    assert not list(terminal.terminal.req.iterdir())


def test_an_answer_that_lies_there_already_refuses_the_request(bench: BenchMaker) -> None:
    terminal = bench()
    (terminal.terminal.res / NAME.replace("req", "RES").replace(".xml", ".pdf")).write_bytes(b"%PDF-1.4")
    (terminal.terminal.res / f"OQSsiquc01res_{FREE}.XML").write_bytes(content(1))
    terminal.order(terminal.request(FREE))
    assert terminal.wait_for(RequestRefused)[0].reason == "answer_exists"


def test_a_foreign_file_of_that_name_is_left_alone(bench: BenchMaker) -> None:
    terminal = bench()
    (terminal.terminal.req / NAME.upper()).write_bytes(b"theirs")
    terminal.order(terminal.request(FREE))
    assert terminal.wait_for(RequestRefused)[0].reason == "name_taken"
    assert [path.read_bytes() for path in terminal.terminal.req.iterdir()] == [b"theirs"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"window_until": timedelta(seconds=59)}, "window"),
        ({"withdraw_at": timedelta(seconds=-1)}, "expired"),
    ],
    ids=["consent runs out within the margin", "time-out has passed"],
)
def test_a_request_outside_its_times_is_refused(bench: BenchMaker, changed: dict[str, timedelta], reason: str) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, **{key: now() + value for key, value in changed.items()}))
    assert terminal.wait_for(RequestRefused)[0].reason == reason
    assert not list(terminal.terminal.req.iterdir())


def test_a_request_whose_lease_has_run_out_is_dropped_in_silence(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request("000000000000", until=now() - timedelta(seconds=1)), terminal.request(FREE))
    terminal.wait_for(RequestPlaced)
    assert not terminal.of(RequestRefused)
    assert [path.name for path in terminal.terminal.req.iterdir()] == [NAME]


def test_an_unreliable_clock_places_nothing(bench: BenchMaker) -> None:
    clock = SteppingClock()
    terminal = bench(clock)
    terminal.drop(1)
    terminal.captured()
    clock.shift = timedelta(hours=-25)
    terminal.order(terminal.request(FREE))
    assert terminal.wait_for(RequestRefused)[0].reason == "clock"
    assert not list(terminal.terminal.req.iterdir())


def test_a_request_refused_for_the_clock_is_placed_once_the_clock_is_right_again(bench: BenchMaker) -> None:
    clock = SteppingClock()
    terminal = bench(clock)
    terminal.drop(1)
    terminal.captured()
    clock.shift = timedelta(hours=-25)
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestRefused)
    terminal.stop()
    clock.shift = timedelta(0)
    terminal.start()
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestPlaced)
    assert [path.name for path in terminal.terminal.req.iterdir()] == [NAME]


def test_a_request_nobody_takes_is_taken_back(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, withdraw_at=now() + timedelta(seconds=1)))
    terminal.wait_for(RequestPlaced)
    terminal.wait_for(RequestWithdrawn)
    assert not list(terminal.terminal.req.iterdir())


def test_a_request_the_service_took_is_not_withdrawn(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, withdraw_at=now() + timedelta(seconds=1)))
    terminal.wait_for(RequestPlaced)
    (terminal.terminal.req / NAME).unlink()
    eventually(lambda: terminal.rows("SELECT state FROM requests") == [("taken",)])
    assert not terminal.of(RequestWithdrawn)


def test_a_crash_between_rename_and_ledger_places_no_second_file(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestPlaced)
    terminal.stop()
    db = sqlite3.connect(terminal.ledger)
    db.execute("UPDATE requests SET state = 'placing', placed_at = NULL")
    db.commit()
    db.close()
    (terminal.terminal.req / NAME).unlink()
    terminal.start()
    terminal.wait_for(RequestPlaced, 2)
    assert not list(terminal.terminal.req.iterdir())


def test_a_crash_of_which_it_cannot_be_seen_how_far_it_came_places_no_second_file(bench: BenchMaker) -> None:
    terminal = bench()
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestPlaced)
    terminal.stop()
    terminal.write("UPDATE requests SET state = 'placing', placed_at = NULL")
    req = terminal.terminal.req
    (req / NAME).unlink()
    away = req.with_name("away")
    req.rename(away)
    terminal.start()
    terminal.order(terminal.request(FREE, request_id="r1"), terminal.request("000000000000", request_id="r2"))
    assert terminal.wait_for(RequestRefused)[0].request_id == "r2"
    assert terminal.rows("SELECT state FROM requests WHERE request_id = 'r1'") == [("placing",)]
    away.rename(req)
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestPlaced, 2)
    assert not list(req.iterdir())
    assert [refused.request_id for refused in terminal.of(RequestRefused)] == ["r2"]


def test_a_request_is_placed_when_the_folders_that_were_away_are_there_again(bench: BenchMaker) -> None:
    terminal = bench()
    req = terminal.terminal.req
    away = req.with_name("away")
    req.rename(away)
    terminal.order(terminal.request(FREE, request_id="r1"))
    assert terminal.wait_for(RequestRefused)[0].reason == "share_away"
    away.rename(req)
    terminal.order(terminal.request(FREE, request_id="r1"))
    terminal.wait_for(RequestPlaced)
    assert [path.name for path in req.iterdir()] == [NAME]


@pytest.mark.parametrize(
    ("before", "may_go"), [(timedelta(seconds=60, microseconds=1), True), (timedelta(seconds=60), False)]
)
def test_a_minute_before_the_limit_is_too_late_to_the_microsecond(
    bench: BenchMaker, before: timedelta, *, may_go: bool
) -> None:
    at = now()
    order = bench().request(FREE, window_until=at + before)
    placing = object.__new__(Requests)
    placing._clock = SimpleNamespace(is_reliable=lambda: True)  # type: ignore[assignment]
    with contextlib.nullcontext() if may_go else pytest.raises(RefusedError, match="window"):
        placing._check_times(order, at)


def test_the_times_are_looked_at_again_when_the_file_is_written(
    bench: BenchMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SteppingClock()
    terminal = bench(clock)
    write = requests._write_new

    def slow(folder: int, name: str, inside: bytes) -> Stamp:
        clock.shift = timedelta(seconds=50)
        return write(folder, name, inside)

    monkeypatch.setattr(requests, "_write_new", slow)
    terminal.order(terminal.request(FREE, window_until=now() + timedelta(seconds=100)))
    assert terminal.wait_for(RequestRefused)[0].reason in ("window", "clock")
    assert not list(terminal.terminal.req.iterdir())
