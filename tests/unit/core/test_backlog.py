"""Do the gauges and histograms of the store say what waits, and how long files took?"""

from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from pipeline import durations, edge_reports, outbox
from pipeline.backlog import Backlog
from pipeline.durations import Durations
from pipeline.events import RecordParsed
from pipeline.metrics import REGISTRY
from pipeline.storage import Store
from pipeline.topology import Edge, Role
from tests.support.answering import NOW
from tests.support.edge_report import edge_report, hear
from tests.support.line import Line
from tests.unit.reconciliation.people import row

FACE = sorted((Path(__file__).parents[2] / "samples/face").iterdir())


def value(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def test_a_settled_file_is_observed_once(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    line.patients(row())
    backlog = Backlog(line.now)
    before = value("onshi_erasure_seconds_count", clinic="c1") or 0
    line.capture(FACE[0])
    for _ in range(2):
        with line.centre.store.reading() as connection:
            backlog.show(connection, line.now)
    assert value("onshi_erasure_seconds_count", clinic="c1") == before + 1
    line.now += timedelta(minutes=1)
    line.capture(FACE[1])
    with line.centre.store.reading() as connection:
        backlog.show(connection, line.now)
    assert value("onshi_erasure_seconds_count", clinic="c1") == before + 2


def test_what_is_on_its_way_does_not_wait(store: Store) -> None:
    backlog = Backlog(NOW)
    events = [RecordParsed(clinic="c1", file_id=name, revision=1, kind="face", terminal="t1") for name in ("f1", "f2")]
    with store.transaction() as connection:
        for event, at in zip(events, (NOW - timedelta(seconds=6), NOW), strict=True):
            outbox.add(connection, Role.PARSING, [(event, None)], at, timedelta(minutes=15))
        backlog.show(connection, NOW)
        assert value("onshi_outbox_unsent_events", consumer="parsing") == 1
        outbox.mark_sent(connection, [events[0].id], NOW)
        backlog.show(connection, NOW)
    assert value("onshi_outbox_unsent_events", consumer="parsing") == 0


def test_a_crowd_that_settles_at_once_is_observed_to_the_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durations, "MOST", 2)
    line = Line(tmp_path / "line")
    line.patients(row())
    observer = Durations(line.now - timedelta(minutes=1))
    for path in FACE[:3]:
        line.capture(path)
    with line.centre.store.reading() as connection:
        assert [observer.observe(connection) for _ in range(3)] == [2, 1, 0]


def test_what_a_chart_does_not_take_waits_and_is_over_when_it_does(tmp_path: Path) -> None:
    line = Line(tmp_path / "line", has_chart=False)
    line.patients(row())
    backlog, came_at = Backlog(line.now), line.now
    line.capture(FACE[0])
    with line.centre.store.reading() as connection:
        backlog.show(connection, came_at + timedelta(minutes=3))
    assert value("onshi_oldest_open_seconds", clinic="c1") == 180
    assert value("onshi_chart_backlog_files", clinic="c1") == 1
    line.has_chart = True
    line.run(*line.said)
    with line.centre.store.reading() as connection:
        backlog.show(connection, line.now)
    assert value("onshi_oldest_open_seconds", clinic="c1") == 0
    assert value("onshi_chart_backlog_files", clinic="c1") == 0


def test_of_a_machine_that_left_the_group_nobody_is_told_that_it_is_silent(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    there, gone = Edge("c1", "t1"), Edge("c9", "t1")
    with line.centre.store.transaction() as connection:
        for each in (there, gone):
            said = edge_report(line.now, clinic=each.clinic, faults=("share_away",))
            edge_reports.write(connection, said, line.now)
        Backlog(line.now, [there, gone]).show(connection, line.now)
        shown = value("onshi_edge_last_seen_timestamp_seconds", clinic="c9", terminal="t1")
        assert shown == line.now.timestamp()
        Backlog(line.now, [there]).show(connection, line.now)
    for name in ("last_seen_timestamp_seconds", "backlog_files", "clock_offset_seconds", "free_bytes"):
        assert value(f"onshi_edge_{name}", clinic="c9", terminal="t1") is None
        assert value(f"onshi_edge_{name}", clinic="c1", terminal="t1") is not None
    assert value("onshi_edge_faults", clinic="c9", terminal="t1", fault="share_away") is None


def test_an_edge_is_shown_as_it_last_reported(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    report = edge_report(line.now - timedelta(seconds=90), backlog=2, clock_reliable=False, faults=("share_away",))
    with line.centre.store.transaction() as connection:
        edge_reports.write(connection, report, line.now)
        Backlog(line.now).show(connection, line.now)
    where = {"clinic": "c1", "terminal": "t1"}
    assert value("onshi_edge_last_seen_timestamp_seconds", **where) == report.reported_at.timestamp()
    assert value("onshi_edge_clock_offset_seconds", **where) == -90
    assert value("onshi_edge_clock_reliable", **where) == 0
    assert value("onshi_edge_backlog_files", **where) == 2
    assert value("onshi_edge_faults", **where, fault="share_away") == 1
    assert value("onshi_parked_events", consumer="parsing") == 0
    assert value("onshi_unerased_oldest_seconds", clinic="c1") == 0


def test_no_word_that_an_edge_made_up_becomes_a_label_and_what_is_over_is_shown_as_none(tmp_path: Path) -> None:
    line = Line(tmp_path / "line")
    where = {"clinic": "c1", "terminal": "t1"}
    said = [
        {"custody": {"stored": 2, "mihon_hanako": 1}, "faults": ("mihon_hanako", "spool_damaged")},
        {"custody": {"erased": 2}, "faults": ("spool_damaged",)},
    ]
    for seconds, report in enumerate(said):
        hear(line.centre.store, line.now + timedelta(seconds=seconds), **report)
        with line.centre.store.reading() as connection:
            Backlog(line.now).show(connection, line.now)
        assert "mihon" not in generate_latest(REGISTRY).decode()
        assert value("onshi_edge_faults", **where, fault="spool_damaged") == 1
        assert value("onshi_edge_faults", **where, fault="other") == ("mihon_hanako" in report["faults"])
        for custody in ("stored", "erased", "seen"):
            assert value("onshi_edge_copies", **where, custody=custody) == report["custody"].get(custody, 0)
