"""When may a copy go, and what follows when it has gone, stays, or was held?"""

from datetime import datetime, timedelta
from itertools import permutations

import pytest
from sqlalchemy import update

from consumers.deletion import Deletion
from consumers.deletion.consumer import NotStoredYetError
from pipeline import edge_reports, holds
from pipeline.certificates import verify as certificates_of
from pipeline.contents import name_context
from pipeline.errors import PermanentError
from pipeline.events import (
    EdgeReported,
    ErasureFailed,
    ErasureOrder,
    Event,
    FileRefused,
    FileVanished,
    HoldKept,
    HoldMissed,
    HoldReleased,
    HoldSet,
)
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage.schema import certificates, copies, edges, files, receipts
from tests.support.centre import Centre, events_of, make_store, types_of
from tests.support.copies import ALL, FILE, NOW, add_copy, add_file, copy_id, erased

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=120)


@pytest.fixture
def deletion(centre: Centre) -> Deletion:
    return Deletion(centre.settings, centre.keyring)


def _orders(centre: Centre, deletion: Deletion, now: datetime = NOW) -> list[ErasureOrder]:
    return [event for event in _due(centre, deletion, now) if isinstance(event, ErasureOrder)]


def _due(centre: Centre, deletion: Deletion, now: datetime = NOW) -> list[Event]:
    return centre.due(deletion, now)


def _vanished(name: str = "a") -> FileVanished:
    return FileVanished(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), noticed_at=NOW)


def _failed(reason: str = "permission", name: str = "a") -> ErasureFailed:
    return ErasureFailed(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), reason=reason, failed_at=NOW)


def _hold(centre: Centre) -> str:
    with centre.store.transaction() as connection:
        return holds.add(connection, centre.keyring, file_id=FILE, reason="dispute", staff="s1", now=NOW)


def _kept(hold_id: str, name: str = "a") -> HoldKept:
    return HoldKept(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), hold_id=hold_id)


def _missed(hold_id: str, name: str = "a") -> HoldMissed:
    return HoldMissed(clinic="c1", edge="t1", file_id=FILE, copy_id=copy_id(name), hold_id=hold_id)


def _state(centre: Centre, hold_id: str) -> str:
    with centre.store.reading() as connection:
        return holds.state(connection, hold_id)


def _report(centre: Centre, deletion: Deletion, *, reliable: bool = True, ahead: int = 0) -> None:
    report = EdgeReported(
        clinic="c1",
        edge="t1",
        reported_at=NOW + ahead * SECOND,
        software="1",
        custody={},
        backlog=0,
        oldest_seconds=0,
        free_bytes=1,
        clock_reliable=reliable,
    )
    centre.handle(deletion, report, NOW)


@pytest.mark.parametrize(
    ("outcome", "needed"),
    [("delivered", ALL), ("not_due", ("parsing", "consent")), ("rejected", ("parsing",))],
)
def test_copy_is_ordered_only_when_every_receipt_is_in(
    centre: Centre, deletion: Deletion, outcome: str, needed: tuple[str, ...]
) -> None:
    add_file(centre, outcome, needed[:-1])
    add_copy(centre)
    assert _orders(centre, deletion) == []
    centre.insert(receipts, file_id=FILE, consumer=needed[-1], result="discarded", at=NOW)
    (order,) = _orders(centre, deletion)
    assert (order.edge, order.copy_id, order.preconditions) == ("t1", copy_id("a"), ("C3", "C5", "C6"))


def test_pending_file_stays_however_many_receipts_it_has(centre: Centre, deletion: Deletion) -> None:
    add_file(centre, "pending")
    add_copy(centre)
    assert _orders(centre, deletion) == []


def test_every_copy_of_a_file_is_ordered_at_its_own_terminal(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b", terminal="t2")
    assert sorted(order.edge for order in _orders(centre, deletion)) == ["t1", "t2"]


def test_what_was_erased_and_what_vanished_is_written_for_a_whole_batch_at_once(
    centre: Centre, deletion: Deletion
) -> None:
    add_file(centre)
    for name in "abcd":
        add_copy(centre, name)
    assert len(_orders(centre, deletion)) == 4
    centre.handle_batch(deletion, [erased("a"), _vanished("b"), erased("c"), _vanished("d")], NOW)
    custody = {row["copy_id"]: (row["custody"], row["orders"]) for row in centre.rows(copies)}
    told = [custody[copy_id(name)] for name in "abcd"]
    assert told == [("erased", 1), ("vanished", 1), ("erased", 1), ("vanished", 1)]
    assert len(centre.rows(certificates)) == 2


def test_terminal_that_is_not_configured_gets_no_order(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, terminal="t9")
    assert _orders(centre, deletion) == []


def test_order_is_a_lease_and_is_issued_again_with_another_id(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    (first,) = _orders(centre, deletion)
    assert first.until == NOW + LEASE
    assert _orders(centre, deletion, NOW + LEASE - SECOND) == []
    (second,) = _orders(centre, deletion, NOW + LEASE)
    assert second.order_id != first.order_id


def test_two_instances_order_a_copy_once(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    other = Deletion(centre.settings, centre.keyring)
    assert len([*_orders(centre, deletion), *_orders(centre, other)]) == 1


def test_copy_younger_than_the_minimum_age_stays(centre: Centre) -> None:
    older = centre.settings.model_copy(
        update={"centre": centre.settings.centre.model_copy(update={"minimum_age_seconds": 60.0})}
    )
    deletion = Deletion(older, centre.keyring)
    add_file(centre)
    add_copy(centre)
    assert _orders(centre, deletion, NOW + 59 * SECOND) == []
    assert len(_orders(centre, deletion, NOW + 60 * SECOND)) == 1


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
    _report(centre, deletion, reliable=reliable, ahead=ahead)
    assert len(_orders(centre, deletion, NOW + at * SECOND)) == sent


def test_older_report_that_arrives_late_changes_nothing(centre: Centre, deletion: Deletion) -> None:
    _report(centre, deletion)
    _report(centre, deletion, reliable=False, ahead=-30)
    assert centre.row(edges)["last_seen"] == NOW


def test_clock_that_was_set_right_is_believed_again(centre: Centre, deletion: Deletion) -> None:
    _report(centre, deletion, ahead=86400)
    _report(centre, deletion)
    with centre.store.reading() as connection:
        (state,) = edge_reports.read(connection).values()
    assert state.has_sane_clock


def test_failed_erasure_backs_off_and_keeps_its_reason(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    now, waits = NOW, []
    for _ in range(5):
        assert len(_orders(centre, deletion, now)) == 1
        centre.handle(deletion, _failed(), now)
        held = centre.row(copies)["ordered_until"]
        waits.append(int((held - now).total_seconds()))
        assert _orders(centre, deletion, held - SECOND) == []
        now = held
    assert waits == [10, 60, 600, 3600, 3600]
    assert centre.row(copies)["erasure_fault"] == "permission"


@pytest.mark.parametrize("ahead", [timedelta(minutes=30), timedelta(hours=25)])
def test_a_lease_written_by_a_clock_that_was_ahead_delays_no_erasure(
    centre: Centre, deletion: Deletion, ahead: timedelta
) -> None:
    add_file(centre)
    add_copy(centre)
    assert len(_orders(centre, deletion, NOW + ahead)) == 1
    assert len(_orders(centre, deletion, NOW)) == 1
    assert _orders(centre, deletion, NOW + SECOND) == []


def test_a_hold_ordered_by_a_clock_that_was_ahead_is_ordered_again(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    _hold(centre)
    for now, expected in ((NOW + timedelta(hours=25), 1), (NOW, 1), (NOW + SECOND, 0)):
        assert types_of(_due(centre, deletion, now)).count("hold.set") == expected


def test_erased_copy_is_certified_and_its_file_settled(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    _due(centre, deletion)
    centre.handle(deletion, erased(), NOW)
    assert (centre.row(copies)["custody"], centre.row(certificates)["copy_id"]) == ("erased", copy_id("a"))
    assert types_of(_due(centre, deletion)) == ["file.settled"]
    assert centre.row(files)["settled_at"] == NOW
    assert _due(centre, deletion) == []


def test_file_is_settled_only_when_its_last_copy_is_gone(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b")
    centre.handle(deletion, erased("a"), NOW)
    assert "file.settled" not in types_of(_due(centre, deletion))
    centre.handle(deletion, _vanished("b"), NOW)
    assert types_of(_due(centre, deletion)) == ["file.settled"]


def test_file_whose_copies_vanished_waits_for_its_outcome(centre: Centre, deletion: Deletion) -> None:
    add_file(centre, "pending")
    add_copy(centre)
    centre.handle(deletion, _vanished(), NOW)
    assert _due(centre, deletion) == []
    with centre.store.transaction() as connection:
        connection.execute(files.update().values(outcome="delivered"))
    assert types_of(_due(centre, deletion)) == ["file.settled"]


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_evidence_in_any_order_and_twice_ends_erased_with_one_certificate(
    centre: Centre, deletion: Deletion, order: tuple[int, ...]
) -> None:
    add_file(centre)
    add_copy(centre)
    evidence: list[Event] = [erased(), erased(), _vanished(), _failed()]
    for at in order:
        centre.handle(deletion, evidence[at], NOW)
    row = centre.row(copies)
    assert row["custody"] == "erased"
    assert len(centre.rows(certificates)) == 1


def test_vanished_copy_has_no_certificate(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    centre.handle(deletion, _vanished(), NOW)
    assert centre.row(copies)["custody"] == "vanished"
    assert centre.rows(certificates) == []


def test_vanished_that_overtook_its_capture_is_tried_again(centre: Centre, deletion: Deletion) -> None:
    with pytest.raises(NotStoredYetError):
        centre.handle(deletion, _vanished(), NOW)


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
    assert _due(centre, deletion) == []
    centre.handle(deletion, _vanished(), NOW)
    assert types_of(_due(centre, deletion)) == ["file.settled"]


def test_held_file_is_not_ordered_from_the_moment_the_hold_is_written(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    _hold(centre)
    assert types_of(_due(centre, deletion)) == ["hold.set"]


def test_hold_is_ordered_again_until_it_is_answered(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = _hold(centre)
    (first,) = _due(centre, deletion)
    assert _due(centre, deletion, NOW + LEASE - SECOND) == []
    (second,) = _due(centre, deletion, NOW + LEASE)
    assert isinstance(second, HoldSet)
    assert second.id != first.id
    centre.handle(deletion, _kept(hold_id), NOW)
    assert _due(centre, deletion, NOW + 3 * LEASE) == []
    assert _state(centre, hold_id) == "kept"


def test_hold_is_kept_only_when_every_copy_has_answered(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    add_copy(centre, "b")
    hold_id = _hold(centre)
    centre.handle(deletion, _kept(hold_id, "a"), NOW)
    assert _state(centre, hold_id) == "asked"
    centre.handle(deletion, _missed(hold_id, "b"), NOW)
    assert _state(centre, hold_id) == "kept"


def test_missed_answer_is_not_taken_back_by_a_late_kept(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = _hold(centre)
    for event in (_missed(hold_id), _kept(hold_id)):
        centre.handle(deletion, event, NOW)
    assert _state(centre, hold_id) == "missed"


def test_hold_on_a_file_that_is_gone_is_missed_at_once(centre: Centre) -> None:
    add_file(centre)
    add_copy(centre, custody="erased")
    assert _state(centre, _hold(centre)) == "missed"


def test_hold_whose_copy_is_erased_before_the_answer_is_missed(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    _due(centre, deletion)
    hold_id = _hold(centre)
    centre.handle(deletion, erased(), NOW)
    assert _state(centre, hold_id) == "missed"


def test_copy_that_comes_later_is_held_too(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre, "a")
    hold_id = _hold(centre)
    centre.handle(deletion, _kept(hold_id, "a"), NOW)
    _due(centre, deletion)
    add_copy(centre, "b")
    assert _orders(centre, deletion, NOW + 2 * LEASE) == []


def test_release_is_told_and_precedes_the_erasure_order(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    hold_id = _hold(centre)
    centre.handle(deletion, _kept(hold_id), NOW)
    _due(centre, deletion)
    with centre.store.transaction() as connection:
        assert holds.remove(connection, centre.keyring, file_id=FILE, reason="over", staff="s1", now=NOW) == 1
    types = types_of(_due(centre, deletion))
    assert types[-1] == "erasure.order"
    assert set(types[:-1]) == {"hold.released"}
    # A terminal that lost the release is told again with the next order.
    again = _due(centre, deletion, NOW + LEASE)
    assert [type(event) for event in again] == [HoldReleased, ErasureOrder]


def test_hold_of_an_unknown_file_is_refused(centre: Centre) -> None:
    with pytest.raises(holds.HoldError, match="unknown_file"):
        _hold(centre)


def test_reason_of_a_hold_is_sealed_and_not_listed(centre: Centre) -> None:
    add_file(centre)
    add_copy(centre)
    _hold(centre)
    with centre.store.reading() as connection:
        (row,) = holds.listing(connection)
    assert "dispute" not in str(row)
    assert (row["file_id"], row["state"], row["staff"]) == (FILE, "asked", "s1")


@pytest.mark.postgresql
def test_whole_life_of_a_copy_on_postgresql(centre: Centre, postgresql_url: str) -> None:
    group = Centre(centre.settings, centre.keyring, make_store(postgresql_url))
    pair = [Deletion(group.settings, group.keyring) for _ in range(2)]
    add_file(group)
    add_copy(group, "a")
    add_copy(group, "b")
    hold_id = _hold(group)
    assert types_of(_due(group, pair[0])) == ["hold.set", "hold.set"]
    group.handle(pair[0], _kept(hold_id, "a"), NOW)
    group.handle(pair[1], _missed(hold_id, "b"), NOW)
    assert _state(group, hold_id) == "kept"
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
    _report(group, pair[1])
    assert types_of(_due(group, pair[1])) == ["file.settled"]
    with group.store.reading() as connection:
        assert certificates_of(connection, group.keyring) == []
    group.store.close()


def test_a_copy_seen_by_a_clock_that_was_ahead_is_ordered_all_the_same(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    with centre.store.transaction() as connection:
        connection.execute(update(copies).values(seen_at=NOW + timedelta(days=30)))
    assert [order.copy_id for order in _orders(centre, deletion, NOW + timedelta(hours=1))] == [copy_id("a")]


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
