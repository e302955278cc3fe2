"""Does a hold keep a copy from its erasure, and does whoever ordered it learn whether it came in time?"""

from datetime import timedelta

import pytest

from consumers.deletion import Deletion
from pipeline import holds
from pipeline.events import (
    ErasureOrder,
    HoldReleased,
    HoldSet,
)
from tests.support.centre import Centre, types_of
from tests.support.copies import FILE, NOW, add_copy, add_file, erased
from tests.support.erasures import LEASE, SECOND, due, hold, hold_state, kept, missed, orders


def test_a_hold_ordered_by_a_clock_that_was_ahead_is_ordered_again(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold(centre)
    for now, expected in ((NOW + timedelta(hours=25), 1), (NOW, 1), (NOW + SECOND, 0)):
        assert types_of(due(centre, deletion, now)).count("hold.set") == expected


def test_held_file_is_not_ordered_from_the_moment_the_hold_is_written(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold(centre)
    assert types_of(due(centre, deletion)) == ["hold.set"]


def test_hold_is_ordered_again_until_it_is_answered(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = hold(centre)
    (first,) = due(centre, deletion)
    assert due(centre, deletion, NOW + LEASE - SECOND) == []
    (second,) = due(centre, deletion, NOW + LEASE)
    assert isinstance(second, HoldSet)
    assert second.id != first.id
    centre.handle(deletion, kept(hold_id), NOW)
    assert due(centre, deletion, NOW + 3 * LEASE) == []
    assert hold_state(centre, hold_id) == "kept"


def test_hold_is_kept_only_when_every_copy_has_answered(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b")
    hold_id = hold(centre)
    centre.handle(deletion, kept(hold_id, "a"), NOW)
    assert hold_state(centre, hold_id) == "asked"
    centre.handle(deletion, missed(hold_id, "b"), NOW)
    assert hold_state(centre, hold_id) == "kept"


def test_missed_answer_is_not_taken_back_by_a_late_kept(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = hold(centre)
    for event in (missed(hold_id), kept(hold_id)):
        centre.handle(deletion, event, NOW)
    assert hold_state(centre, hold_id) == "missed"


def test_hold_on_a_file_that_is_gone_is_missed_at_once(centre: Centre) -> None:
    add_file(centre)
    add_copy(centre, custody="erased")
    assert hold_state(centre, hold(centre)) == "missed"


def test_hold_whose_copy_is_erased_before_the_answer_is_missed(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    due(centre, deletion)
    hold_id = hold(centre)
    centre.handle(deletion, erased(), NOW)
    assert hold_state(centre, hold_id) == "missed"


def test_copy_that_comes_later_is_held_too(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    hold_id = hold(centre)
    centre.handle(deletion, kept(hold_id, "a"), NOW)
    due(centre, deletion)
    add_copy(centre, "b")
    assert orders(centre, deletion, NOW + 2 * LEASE) == []


def test_release_is_told_and_precedes_the_erasure_order(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = hold(centre)
    centre.handle(deletion, kept(hold_id), NOW)
    due(centre, deletion)
    with centre.store.transaction() as connection:
        assert holds.remove(connection, centre.keyring, file_id=FILE, reason="over", staff="s1", now=NOW) == 1
    types = types_of(due(centre, deletion))
    assert types[-1] == "erasure.order"
    assert set(types[:-1]) == {"hold.released"}
    # A terminal that lost the release is told again with the next order.
    again = due(centre, deletion, NOW + LEASE)
    assert [type(event) for event in again] == [HoldReleased, ErasureOrder]


def test_hold_of_an_unknown_file_is_refused(centre: Centre) -> None:
    with pytest.raises(holds.HoldError, match="unknown_file"):
        hold(centre)


def test_reason_of_a_hold_is_sealed_and_not_listed(centre: Centre) -> None:
    add_file(centre)
    add_copy(centre)
    hold(centre)
    with centre.store.reading() as connection:
        (row,) = holds.listing(connection)
    assert "dispute" not in str(row)
    assert (row["file_id"], row["state"], row["staff"]) == (FILE, "asked", "s1")
