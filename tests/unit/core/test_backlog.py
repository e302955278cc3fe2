"""Do the gauges tell what is held back, and fall to nothing when it has drained?"""

from datetime import UTC, datetime, timedelta

from sqlalchemy import delete, insert, update

from pipeline import backlog
from pipeline.metrics import REGISTRY
from pipeline.storage import Store
from pipeline.storage.schema import deliveries, files, outbox, parked

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


def gauges() -> dict[str, float | None]:
    return {
        "unsent": REGISTRY.get_sample_value("onshi_outbox_unsent_events", {"consumer": "parsing"}),
        "parked": REGISTRY.get_sample_value("onshi_parked_events", {"consumer": "consent"}),
        "oldest": REGISTRY.get_sample_value("onshi_oldest_open_seconds", {"clinic": "c009"}),
        "chart": REGISTRY.get_sample_value("onshi_chart_backlog_files", {"clinic": "c009"}),
    }


def hold_back(store: Store) -> None:
    about = {"terminal": "t1", "kind": "face", "revision": 1, "suffix": ".xml", "clinic": "c009"}
    with store.transaction() as connection:
        for number, outcome in enumerate(("pending", "pending", "delivered")):
            at = NOW - timedelta(minutes=number + 1)
            row = {"file_id": f"f{number}", "outcome": outcome, "captured_at": at, "stored_at": at}
            connection.execute(insert(files).values(**about, **row))
            wanted = {"wanted_revision": 1, "state": "done" if outcome == "delivered" else "wanted", "wanted_at": NOW}
            connection.execute(insert(deliveries).values(file_id=f"f{number}", clinic="c009", **wanted))
        message = {"routing_key": "k", "body": b"", "type": "file.stored"}
        sending = {"exchange": "x", "batched": False, "traceparent": "", "at": NOW, "left_at": NOW}
        for number in range(3):
            named = {"event_id": f"e{number}", "cause": "c", "correlation": "f", "number": number}
            sent = {"consumer": "parsing", "sent_at": NOW if number == 0 else None}
            connection.execute(insert(outbox).values(**message, **sending, **named, **sent))
        kept = {"reason": "r", "state": "parked", "attempts": 1, "content_type": "j", "headers": "{}"}
        connection.execute(
            insert(parked).values(parked_id="p", consumer="consent", event_id="e", parked_at=NOW, **message, **kept)
        )


def test_what_is_held_back_is_shown_and_falls_to_nothing_when_it_has_drained(store: Store) -> None:
    hold_back(store)
    with store.reading() as connection:
        backlog.show(connection, NOW)
    assert gauges() == {"unsent": 2, "parked": 1, "oldest": 120, "chart": 2}
    with store.transaction() as connection:
        connection.execute(update(outbox).values(sent_at=NOW))
        connection.execute(update(files).values(outcome="delivered"))
        connection.execute(update(deliveries).values(state="done"))
        connection.execute(delete(parked))
    with store.reading() as connection:
        backlog.show(connection, NOW)
    assert gauges() == {"unsent": 0, "parked": 0, "oldest": 0, "chart": 0}
