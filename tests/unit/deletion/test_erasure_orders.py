"""When may a copy go, and when is its erasure ordered again?"""

from datetime import timedelta

import pytest
from sqlalchemy import update

from consumers.deletion import Deletion
from pipeline import edge_reports
from pipeline.storage.schema import copies, edges, receipts
from tests.support.centre import Centre
from tests.support.copies import ALL, FILE, NOW, add_copy, add_file, copy_id
from tests.support.erasures import LEASE, SECOND, failed, orders, report


@pytest.mark.parametrize(
    ("outcome", "needed"),
    [("delivered", ALL), ("not_due", ("parsing", "consent")), ("rejected", ("parsing",))],
)
def test_copy_is_ordered_only_when_every_receipt_is_in(
    centre: Centre, deletion: Deletion, outcome: str, needed: tuple[str, ...]
) -> None:
    add_file(centre, outcome, needed[:-1])
    add_copy(centre)
    assert orders(centre, deletion) == []
    centre.insert(receipts, file_id=FILE, consumer=needed[-1], result="discarded", at=NOW)
    (order,) = orders(centre, deletion)
    assert (order.edge, order.copy_id, order.preconditions) == ("t1", copy_id("a"), ("C3", "C5", "C6"))


def test_pending_file_stays_however_many_receipts_it_has(centre: Centre, deletion: Deletion) -> None:
    add_file(centre, "pending")
    add_copy(centre)
    assert orders(centre, deletion) == []


def test_every_copy_of_a_file_is_ordered_at_its_own_terminal(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b", terminal="t2")
    assert sorted(order.edge for order in orders(centre, deletion)) == ["t1", "t2"]


def test_terminal_that_is_not_configured_gets_no_order(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, terminal="t9")
    assert orders(centre, deletion) == []


def test_order_is_a_lease_and_is_issued_again_with_another_id(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    (first,) = orders(centre, deletion)
    assert first.until == NOW + LEASE
    assert orders(centre, deletion, NOW + LEASE - SECOND) == []
    (second,) = orders(centre, deletion, NOW + LEASE)
    assert second.order_id != first.order_id


def test_two_instances_order_a_copy_once(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    other = Deletion(centre.settings, centre.keyring)
    assert len([*orders(centre, deletion), *orders(centre, other)]) == 1


def test_copy_younger_than_the_minimum_age_stays(centre: Centre) -> None:
    older = centre.settings.model_copy(
        update={"centre": centre.settings.centre.model_copy(update={"minimum_age_seconds": 60.0})}
    )
    deletion = Deletion(older, centre.keyring)
    add_file(centre)
    add_copy(centre)
    assert orders(centre, deletion, NOW + 59 * SECOND) == []
    assert len(orders(centre, deletion, NOW + 60 * SECOND)) == 1


@pytest.mark.parametrize(
    ("reliable", "ahead", "at", "sent"),
    [(True, 0, 0, 1), (False, 0, 0, 0), (True, 61, 0, 0), (True, 0, 299, 1), (True, 0, 300, 0)],
    ids=["well", "doubts its clock", "clock ahead", "just alive", "silent"],
)
def test_nothing_is_erased_where_the_terminal_or_its_clock_is_in_doubt(
    centre: Centre, deletion: Deletion, *, reliable: bool, ahead: int, at: int, sent: int
) -> None:
    add_file(centre)
    add_copy(centre)
    report(centre, deletion, reliable=reliable, ahead=ahead)
    assert len(orders(centre, deletion, NOW + at * SECOND)) == sent


def test_older_report_that_arrives_late_changes_nothing(centre: Centre, deletion: Deletion) -> None:
    report(centre, deletion)
    report(centre, deletion, reliable=False, ahead=-30)
    assert centre.row(edges)["last_seen"] == NOW


def test_clock_that_was_set_right_is_believed_again(centre: Centre, deletion: Deletion) -> None:
    report(centre, deletion, ahead=86400)
    report(centre, deletion)
    with centre.store.reading() as connection:
        (state,) = edge_reports.read(connection).values()
    assert state.has_sane_clock


def test_failed_erasure_backs_off_and_keeps_its_reason(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    now, waits = NOW, []
    for _ in range(5):
        assert len(orders(centre, deletion, now)) == 1
        centre.handle(deletion, failed(), now)
        held = centre.row(copies)["ordered_until"]
        waits.append(int((held - now).total_seconds()))
        assert orders(centre, deletion, held - SECOND) == []
        now = held
    assert waits == [10, 60, 600, 3600, 3600]
    assert centre.row(copies)["erasure_fault"] == "permission"


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(hours=25)])
def test_a_lease_written_by_a_clock_that_was_ahead_delays_no_erasure(
    centre: Centre, deletion: Deletion, ahead: timedelta
) -> None:
    add_file(centre)
    add_copy(centre)
    assert len(orders(centre, deletion, NOW + ahead)) == 1
    assert len(orders(centre, deletion, NOW)) == 1
    assert orders(centre, deletion, NOW + SECOND) == []


def test_a_copy_seen_by_a_clock_that_was_ahead_is_ordered_all_the_same(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    with centre.store.transaction() as connection:
        connection.execute(update(copies).values(seen_at=NOW + timedelta(days=30)))
    assert [order.copy_id for order in orders(centre, deletion, NOW + timedelta(hours=1))] == [copy_id("a")]
