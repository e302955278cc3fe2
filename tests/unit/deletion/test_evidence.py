"""What follows when a copy was erased, vanished, or was refused?"""

from itertools import permutations

import pytest

from consumers.deletion import Deletion
from consumers.deletion.consumer import NotStoredYetError
from pipeline import holds
from pipeline.certificates import verify as certificates_of
from pipeline.contents import name_context
from pipeline.errors import PermanentError
from pipeline.events import (
    ErasureOrder,
    Event,
    FileRefused,
)
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.schema import certificates, copies, files
from tests.support.centre import Centre, events_of, make_store, types_of
from tests.support.copies import FILE, NOW, add_copy, add_file, copy_id, erased
from tests.support.erasures import due, failed, hold, hold_state, kept, missed, orders, report, vanished


def test_what_was_erased_and_what_vanished_is_written_for_a_whole_batch_at_once(
    centre: Centre, deletion: Deletion
) -> None:
    add_file(centre)
    for name in "abcd":
        add_copy(centre, name)
    assert len(orders(centre, deletion)) == 4
    centre.handle_batch(deletion, [erased("a"), vanished("b"), erased("c"), vanished("d")], NOW)
    custody = {row["copy_id"]: (row["custody"], row["orders"]) for row in centre.rows(copies)}
    told = [custody[copy_id(name)] for name in "abcd"]
    assert told == [("erased", 1), ("vanished", 1), ("erased", 1), ("vanished", 1)]
    assert len(centre.rows(certificates)) == 2


def test_erased_copy_is_certified_and_its_file_settled(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    due(centre, deletion)
    centre.handle(deletion, erased(), NOW)
    assert (centre.row(copies)["custody"], centre.row(certificates)["copy_id"]) == ("erased", copy_id("a"))
    assert types_of(due(centre, deletion)) == ["file.settled"]
    assert centre.row(files)["settled_at"] == NOW
    assert due(centre, deletion) == []


def test_file_is_settled_only_when_its_last_copy_is_gone(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b")
    centre.handle(deletion, erased("a"), NOW)
    assert "file.settled" not in types_of(due(centre, deletion))
    centre.handle(deletion, vanished("b"), NOW)
    assert types_of(due(centre, deletion)) == ["file.settled"]


def test_file_whose_copies_vanished_waits_for_its_outcome(centre: Centre, deletion: Deletion) -> None:
    add_file(centre, "pending")
    add_copy(centre)
    centre.handle(deletion, vanished(), NOW)
    assert due(centre, deletion) == []
    with centre.store.transaction() as connection:
        connection.execute(files.update().values(outcome="delivered"))
    assert types_of(due(centre, deletion)) == ["file.settled"]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_evidence_in_any_order_and_twice_ends_erased_with_one_certificate(
    centre: Centre, deletion: Deletion, order: tuple[int, ...]
) -> None:
    add_file(centre)
    add_copy(centre)
    evidence: list[Event] = [erased(), erased(), vanished(), failed()]
    for at in order:
        centre.handle(deletion, evidence[at], NOW)
    row = centre.row(copies)
    assert row["custody"] == "erased"
    assert len(centre.rows(certificates)) == 1


def test_vanished_copy_has_no_certificate(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    centre.handle(deletion, vanished(), NOW)
    assert centre.row(copies)["custody"] == "vanished"
    assert centre.rows(certificates) == []


def test_vanished_that_overtook_its_capture_is_tried_again(centre: Centre, deletion: Deletion) -> None:
    with pytest.raises(NotStoredYetError):
        centre.handle(deletion, vanished(), NOW)


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (erased(level="L9"), "unknown_level"),
        (erased(mac="cd" * 32), "evidence_differs"),
        (erased().model_copy(update={"verified_absent": False}), "evidence_incomplete"),
        (erased(edge="t2"), "foreign_copy"),
        (erased().model_copy(update={"clinic": "c2"}), "foreign_copy"),
    ],
)
def test_evidence_that_does_not_fit_is_never_certified(
    centre: Centre, deletion: Deletion, event: Event, reason: str
) -> None:
    add_file(centre)
    add_copy(centre)
    with pytest.raises(PermanentError, match=reason):
        centre.handle(deletion, event, NOW)
    assert centre.rows(certificates) == []


def test_refused_file_is_held_and_never_ordered(centre: Centre, deletion: Deletion) -> None:
    public = centre.keyring.epoch_key("c1", KeyClass.STANDING, NOW)
    name = b"OQSsiquc01res_202605120012.xml"
    sealed = Sealer().seal(public, "c1", name_context(copy_id("a")), name)
    event = FileRefused(
        clinic="c1",
        edge="t1",
        file_id=FILE,
        copy_id=copy_id("a"),
        reason="too_large",
        size=9 << 20,
        sealed_name=sealed,
        seen_at=NOW,
    )
    for _ in range(2):
        centre.handle(deletion, event, NOW)
    file, copy = centre.row(files), centre.row(copies)
    assert (file["outcome"], file["reason"], file["kind"], file["suffix"]) == (
        "rejected",
        "too_large",
        "OQSsiquc",
        ".xml",
    )
    assert (copy["custody"], copy["reason"]) == ("held", "too_large")
    assert due(centre, deletion) == []
    centre.handle(deletion, vanished(), NOW)
    assert types_of(due(centre, deletion)) == ["file.settled"]


@pytest.mark.postgresql
def test_whole_life_of_a_copy_on_postgresql(centre: Centre, postgresql_url: str) -> None:
    group = Centre(centre.settings, centre.keyring, make_store(postgresql_url))
    pair = [Deletion(group.settings, group.keyring) for _ in range(2)]
    add_file(group)
    add_copy(group, "a")
    add_copy(group, "b")
    hold_id = hold(group)
    assert types_of(due(group, pair[0])) == ["hold.set", "hold.set"]
    group.handle(pair[0], kept(hold_id, "a"), NOW)
    group.handle(pair[1], missed(hold_id, "b"), NOW)
    assert hold_state(group, hold_id) == "kept"
    with group.store.transaction() as connection:
        holds.remove(connection, centre.keyring, file_id=FILE, reason="over", staff="s1", now=NOW)
    with group.store.transaction() as one, group.store.transaction() as other:
        both = [pair[0].due(one, NOW), pair[1].due(other, NOW)]
        pair[0].apply(one, both[0], NOW)
        pair[1].apply(other, both[1], NOW)
    ordered = [event for outcomes in both for event in events_of(outcomes) if isinstance(event, ErasureOrder)]
    assert len(ordered) == 2
    for name in ("a", "b"):
        group.handle(pair[0], erased(name), NOW)
    report(group, pair[1])
    assert types_of(due(group, pair[1])) == ["file.settled"]
    with group.store.reading() as connection:
        assert certificates_of(connection, group.keyring) == []
    group.store.close()


def test_a_refused_copy_of_another_clinic_s_file_keeps_that_file_from_nothing(
    centre: Centre, deletion: Deletion
) -> None:
    add_file(centre)
    event = FileRefused(
        clinic="c2",
        edge="t1",
        file_id=FILE,
        copy_id=copy_id("strange"),
        reason="too_large",
        size=1,
        sealed_name=b"",
        seen_at=NOW,
    )
    centre.handle(deletion, event, NOW)
    assert centre.rows(copies) == []
