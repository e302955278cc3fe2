"""What is said again, when nothing came of it?"""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import insert

from pipeline import outbox
from pipeline.events import RecordReconciled
from pipeline.storage import Store
from pipeline.storage.schema import deliveries, files, receipts
from pipeline.topology import Role

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)


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
