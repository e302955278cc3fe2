"""What is said again when nothing came of it, and when is it forgotten?"""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import insert, select, update
from sqlalchemy.event import listen, remove

from pipeline import outbox
from pipeline.events import FileStored, RecordParsed, RecordReconciled
from pipeline.storage import Store
from pipeline.storage.schema import deliveries, files, receipts
from pipeline.storage.schema import outbox as outbox_table
from pipeline.topology import Role
from tests.support.answering import NOW, file_row

HOUR = timedelta(hours=1)
QUARTER = timedelta(minutes=15)


@pytest.mark.parametrize(
    ("outcome", "revision", "done", "is_repeated"),
    [
        ("pending", 1, None, True),
        ("pending", 1, 0, True),
        ("delivered", 1, 1, False),
        ("delivered", 2, 1, True),
        ("delivered", 2, 2, False),
        ("delivered", 2, None, False),
        ("rejected", 1, None, False),
    ],
    ids=["open", "wanted", "done", "newer-revision", "newer-done", "not-wanted-by-its-chart", "rejected"],
)
def test_a_fact_is_said_again_until_its_newest_revision_is_done(
    store: Store, outcome: str, revision: int, done: int | None, *, is_repeated: bool
) -> None:
    about = {"clinic": "c1", "terminal": "t1", "kind": "face", "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}
    event = RecordReconciled(clinic="c1", file_id="f", revision=revision, needs_review=False)
    with store.transaction() as connection:
        connection.execute(insert(files).values(file_id="f", outcome=outcome, revision=revision, **about))
        heard = {"file_id": "f", "consumer": "consent", "result": "done", "at": NOW}
        connection.execute(insert(receipts).values(**heard))
        if done is not None:
            wanted = {"wanted_revision": revision, "done_revision": done, "state": "wanted", "wanted_at": NOW}
            connection.execute(insert(deliveries).values(file_id="f", clinic="c1", **wanted))
        outbox.add(connection, Role.RECONCILIATION, [(event, None)], NOW, HOUR)
        outbox.mark_sent(connection, [event.id], NOW)
    with store.transaction() as connection:
        again = outbox.to_repeat(connection, Role.RECONCILIATION, NOW + HOUR, HOUR)
    assert [one.id for one in again] == ([event.id] if is_repeated else [])


def test_an_open_file_is_spoken_of_again_and_a_finished_one_is_not(store) -> None:
    events = [
        RecordParsed(clinic="c001", file_id=name, revision=1, kind="face", terminal="t1") for name in ("open", "done")
    ]
    with store.transaction() as connection:
        connection.execute(files.insert(), [file_row("open", "pending"), file_row("done", "delivered")])
        connection.execute(receipts.insert().values(file_id="done", consumer="consent", result="done", at=NOW))
        outbox.add(connection, Role.PARSING, [(event, None) for event in events], NOW, QUARTER)
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=14), QUARTER) == []
        again = outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=16), QUARTER)
        assert [event.correlation for event in again] == ["open"]
        assert outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=30), QUARTER) == []
        assert len(outbox.to_repeat(connection, Role.PARSING, NOW + timedelta(minutes=80), QUARTER)) == 1


def test_a_clock_that_was_set_back_a_day_delays_neither_the_unsent_nor_the_repetitions(store) -> None:
    event = RecordParsed(clinic="c001", file_id="open", revision=1, kind="face", terminal="t1")
    yesterday = NOW - timedelta(hours=25)
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("open", "pending")))
        outbox.add(connection, Role.PARSING, [(event, None)], NOW, QUARTER)
        assert len(outbox.claim_unsent(connection, yesterday)) == 1
        assert outbox.claim_unsent(connection, yesterday) == []
        outbox.mark_sent(connection, list(connection.scalars(select(outbox_table.c.event_id))), yesterday)
        assert len(outbox.to_repeat(connection, Role.PARSING, yesterday, QUARTER)) == 1
        assert outbox.to_repeat(connection, Role.PARSING, yesterday, QUARTER) == []


def test_what_was_sent_long_ago_is_purged_unless_its_file_is_still_open(store) -> None:
    events = [
        FileStored(clinic="c001", edge="t1", file_id=name, copy_id=name, stored_at=NOW) for name in ("open", "settled")
    ]
    with store.transaction() as connection:
        for name, settled_at in (("open", None), ("settled", NOW)):
            connection.execute(files.insert().values(**file_row(name, "delivered"), settled_at=settled_at))
        outbox.add(connection, Role.PARSING, [(event, None) for event in events], NOW, QUARTER)
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=30)) == 0, "never sent"
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=13)) == 0
        assert outbox.purge(connection, Role.PARSING, NOW + timedelta(days=15)) == 1
        assert connection.scalar(select(outbox_table.c.correlation)) == "open"


@pytest.mark.parametrize("outcome", ["delivered", "not_due"])
def test_a_record_that_consent_never_heard_of_is_said_again_though_the_chart_has_it(store, outcome: str) -> None:
    event = RecordParsed(clinic="c001", file_id="f1", revision=1, kind="face", terminal="t1")
    later = [NOW + timedelta(minutes=minutes) for minutes in (16, 80, 150)]
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("f1", outcome, revision=1)))
        outbox.add(connection, Role.PARSING, [(event, None)], NOW, QUARTER)
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert len(outbox.to_repeat(connection, Role.PARSING, later[0], QUARTER)) == 1
        assert len(outbox.to_repeat(connection, Role.PARSING, later[1], QUARTER)) == 1
        connection.execute(receipts.insert().values(file_id="f1", consumer="consent", result="done", at=NOW))
        assert outbox.to_repeat(connection, Role.PARSING, later[2], QUARTER) == []


def test_a_decision_that_the_chart_has_not_confirmed_is_said_again_though_an_older_one_was_delivered(store) -> None:
    event = RecordReconciled(clinic="c001", file_id="f1", revision=2, needs_review=False)
    delivery = {"file_id": "f1", "clinic": "c001", "wanted_revision": 1, "state": "done", "wanted_at": NOW}
    with store.transaction() as connection:
        connection.execute(files.insert().values(**file_row("f1", "delivered", revision=2)))
        connection.execute(receipts.insert().values(file_id="f1", consumer="consent", result="done", at=NOW))
        connection.execute(deliveries.insert().values(**delivery, done_revision=1))
        outbox.add(connection, Role.RECONCILIATION, [(event, None)], NOW, QUARTER)
        connection.execute(update(outbox_table).values(sent_at=NOW))
        assert len(outbox.to_repeat(connection, Role.RECONCILIATION, NOW + timedelta(minutes=16), QUARTER)) == 1
        connection.execute(update(deliveries).values(done_revision=2))
        assert outbox.to_repeat(connection, Role.RECONCILIATION, NOW + timedelta(minutes=80), QUARTER) == []


def test_what_can_not_be_sent_keeps_nothing_newer_from_its_turn(store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendor whose stream is away for a day has thousands of events that are tried again every few seconds."""
    monkeypatch.setattr(outbox, "CLAIMED_AT_ONCE", 2)
    stuck = [FileStored(clinic="c001", edge="t1", file_id=str(at), copy_id=str(at), stored_at=NOW) for at in range(20)]
    newer = RecordParsed(clinic="c001", file_id="open", revision=1, kind="face", terminal="t1")
    with store.transaction() as connection:
        outbox.add(connection, Role.PUBLICATION, [(event, None) for event in stuck], NOW, QUARTER)
        outbox.add(connection, Role.PARSING, [(newer, None)], NOW + timedelta(seconds=1), QUARTER)
        turns = [NOW + timedelta(seconds=at) for at in range(7, 30)]
        tried = {event.id for now in turns for event in outbox.claim_unsent(connection, now)}
    assert newer.id in tried


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_what_is_unsent_is_found_without_looking_through_what_was_sent(store: Store) -> None:
    """Publication asks before every batch; what it sent in two weeks may be a hundred thousand rows.

    On SQLite alone, for PostgreSQL plans by what the tables hold.
    """
    asked: list[tuple[str, Any]] = []
    with store.transaction() as connection:
        note = partial(_note, asked)
        listen(connection, "before_cursor_execute", note)
        assert outbox.unsent_keys(connection, Role.PUBLICATION) == set()
        remove(connection, "before_cursor_execute", note)
        ((statement, parameters),) = asked
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters)]
    assert "outbox_unsent" in plan[0]


def _note(
    asked: list[tuple[str, Any]], _connection: Any, _cursor: Any, statement: str, parameters: Any, *_: Any
) -> None:
    asked.append((statement, parameters))
