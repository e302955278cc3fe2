"""A centre whose clock is wrong waits with what depends on it; an edge whose clock is wrong is that edge's affair."""

from datetime import UTC, datetime, timedelta
from typing import ClassVar

from sqlalchemy import func, select

from consumers.consent import Consent
from pipeline import edge_reports
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.fuse import MOST_IN_A_ROW
from pipeline.storage import Store
from pipeline.storage.schema import edges, inbox, parked
from tests.support.answering import Answering, captured, count, running, send
from tests.support.edge_report import hear
from tests.support.eventually import eventually

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
DAY = timedelta(hours=25)
AHEAD = "dated_ahead"


def doubts(store: Store, now: datetime = NOW) -> bool:
    with store.reading() as connection:
        return edge_reports.doubts_centre(connection, now)


def test_nobody_heard_is_no_doubt(store: Store) -> None:
    assert not doubts(store)


def test_one_edge_of_three_that_is_ahead_is_its_own_affair_and_two_are_ours(store: Store) -> None:
    for edge, ahead in (("t1", DAY), ("t2", timedelta()), ("t3", timedelta())):
        hear(store, NOW + ahead, NOW, clinic="c001", edge=edge)
    assert not doubts(store)
    hear(store, NOW + DAY, NOW, clinic="c001", edge="t2")
    assert doubts(store)


def test_edges_that_lost_trust_in_their_own_clock_are_a_doubt(store: Store) -> None:
    hear(store, NOW, NOW, clinic="c001", edge="t1", clock_reliable=False)
    assert doubts(store)


def test_what_was_said_long_ago_counts_no_more(store: Store) -> None:
    hear(store, NOW + DAY, NOW, clinic="c001", edge="t1")
    assert not doubts(store, NOW + timedelta(minutes=6))
    # And what seems to have been heard in our future was heard by the clock before it was set back.
    assert not doubts(store, NOW - timedelta(minutes=6))


class Dated(Answering):
    clock_reasons: ClassVar[frozenset[str]] = frozenset({AHEAD})


def test_what_seems_to_come_from_tomorrow_waits_while_our_clock_is_in_doubt_and_is_handled_afterwards(
    store: Store, broker: EmbeddedBroker
) -> None:
    now = datetime.now(UTC)
    hear(store, now + DAY, now, clinic="c001", edge="t1")
    consumer = Dated(park={"c1": AHEAD})
    send(broker, captured("c1"))
    with running(consumer, store, broker) as runner:
        eventually(lambda: runner.pulse.why_not_ready == "away")
        assert count(store, select(func.count()).select_from(parked)) == 0
        consumer.park.clear()
        with store.transaction() as connection:
            connection.execute(edges.delete())
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 1)


def test_what_is_parked_for_a_wrong_clock_does_not_blow_the_fuse(store: Store, broker: EmbeddedBroker) -> None:
    names = [f"c{n}" for n in range(MOST_IN_A_ROW + 5)]
    consumer = Dated(park=dict.fromkeys(names, AHEAD))
    send(broker, *(captured(name) for name in names))
    with running(consumer, store, broker):
        eventually(lambda: count(store, select(func.count()).select_from(parked)) == len(names), 30)
        consumer.park.clear()
        send(broker, captured("another"))
        eventually(lambda: count(store, select(func.count()).select_from(inbox)) == 1)


def test_consent_names_the_reason_that_a_wrong_clock_gives() -> None:
    assert Consent.clock_reasons == {"consent_in_future"}
