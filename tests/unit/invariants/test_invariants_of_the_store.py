"""Each kind of damage in the store breaks exactly the invariant that speaks of it."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from pipeline import access, invariants, outbox
from pipeline.custody import Custody, FileOutcome
from pipeline.envelope import enclose
from pipeline.invariants import Finding
from pipeline.sealing import KeyClass, Sealer
from pipeline.storage import schema as t
from pipeline.topology import Role
from pipeline.vendor_events import DeliveryDoneNotice
from tests.support.line import Line
from tests.unit.reconciliation.people import row

SAMPLES = Path(__file__).parents[2] / "samples"
Damage = Callable[[Connection, Line], Any]
HOUR = timedelta(hours=1)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Line:
    """Every sample has gone its whole way; what was said lies in the outbox, one access is logged."""
    line = Line(tmp_path_factory.mktemp("finished") / "line")
    line.patients(row())
    line.run(*(line.captured(path) for name in ("face", "res") for path in sorted((SAMPLES / name).iterdir())))
    _ask(line)
    with line.centre.store.transaction() as connection:
        outbox.add(connection, Role.PARSING, [(event, None) for event in line.said], line.now, HOUR)
        connection.execute(update(t.outbox).values(sent_at=line.now))
        access.record(connection, "s1", "root", "files.show", "f", "done", line.now)
        access.sign(connection, line.centre.keyring, line.now)
    return line


def _ask(line: Line) -> None:
    """A request that a consent allowed, placed in its time."""
    with line.centre.store.transaction() as connection:
        grant = connection.execute(select(t.grants).where(t.grants.c.granted)).first()
        assert grant is not None
        public = line.centre.keyring.epoch_key("c1", KeyClass.STANDING, line.now)
        connection.execute(
            insert(t.requests).values(
                request_id="r1",
                clinic="c1",
                terminal="t1",
                kind="YZKsiquc",
                state="placed",
                base_hash="b",
                sealed_request=Sealer().seal(public, "c1", "request:r1", b"{}"),
                grant_id=grant.grant_id,
                wanted_at=grant.consented_at,
                placed_at=grant.consented_at + timedelta(seconds=5),
                window_until=grant.until,
                withdraw_at=grant.consented_at + timedelta(seconds=180),
                asked_by="consent",
            )
        )


def look(line: Line, damage: Damage | None = None) -> list[Finding]:
    """Verify with some damage, which is taken back."""
    with line.centre.store.engine.connect() as connection:
        if damage:
            damage(connection, line)
        found = invariants.verify(connection, line.centre.keyring, line.now)
        connection.rollback()
    return found


def names(found: list[Finding]) -> list[str]:
    return [finding.name for finding in invariants.broken(found)]


def test_after_a_whole_run_every_invariant_is_held(finished: Line) -> None:
    found = look(finished)
    assert {finding.name: finding.broken for finding in found if finding.broken} == {}
    assert [f.name for f in found] == [f"I{number}" for number in range(1, 18) if number != 8]


def _set(table: Any, where: Any = None, **values: object) -> Damage:
    def damage(connection: Connection, line: Line) -> None:
        del line
        statement = update(table).values(**values)
        connection.execute(statement if where is None else statement.where(where))

    return damage


def _remove(table: Any, where: Any) -> Damage:
    def damage(connection: Connection, line: Line) -> None:
        del line
        connection.execute(delete(table).where(where))

    return damage


def _first(connection: Connection, table: Any, *where: Any) -> Any:
    found = connection.execute(select(table).where(*where).order_by(*table.primary_key.columns)).first()
    assert found is not None
    return found


def _reading_of_another_clinic(connection: Connection, line: Line) -> None:
    public = line.centre.keyring.epoch_key("c2", KeyClass.ORIGINAL, line.now)
    sealed = Sealer().seal(public, "c1", "x", b"x")
    file = _first(connection, t.files)
    connection.execute(update(t.files).where(t.files.c.file_id == file.file_id).values(sealed_record=sealed))


def _name_in_the_clear(connection: Connection, line: Line) -> None:
    del line
    copy = _first(connection, t.copies)
    connection.execute(update(t.copies).where(t.copies.c.copy_id == copy.copy_id).values(sealed_name=b"a name"))


def _held_and_erased(connection: Connection, line: Line) -> None:
    copy = _first(connection, t.copies)
    public = line.centre.keyring.epoch_key("c1", KeyClass.CONFIRMATION, line.now)
    about = {"file_id": copy.file_id, "clinic": "c1", "state": "kept", "staff": "s1", "set_at": line.now}
    sealed = Sealer().seal(public, "c1", "hold:h", b"x")
    connection.execute(insert(t.holds).values(hold_id="h", sealed_reason=sealed, **about))
    connection.execute(insert(t.hold_answers).values(hold_id="h", copy_id=copy.copy_id, kept=True, at=line.now))


def _stuck(connection: Connection, line: Line) -> None:
    file = _first(connection, t.files, t.files.c.outcome == "delivered")
    own = t.files.c.file_id == file.file_id
    pending = {"outcome": "pending", "settled_at": None, "stored_at": line.now - 2 * HOUR}
    connection.execute(update(t.files).where(own).values(**pending))


def _parked_nameless(connection: Connection, line: Line) -> None:
    about = {"consumer": "parsing", "event_id": "e", "type": "unreadable", "state": "parked", "attempts": 1}
    message = {"routing_key": "k", "content_type": "j", "headers": "{}", "body": b"", "parked_at": line.now}
    connection.execute(insert(t.parked).values(parked_id="p", reason="", **about, **message))


def _newer_grant(connection: Connection, line: Line) -> None:
    del line
    held = _first(connection, t.standings)
    at = held.consented_at - timedelta(days=1)
    connection.execute(update(t.standings).where(t.standings.c.grant_id == held.grant_id).values(consented_at=at))


def _no_receipt(role: str) -> Damage:
    def damage(connection: Connection, line: Line) -> None:
        del line
        # One whose copy is gone: not every delivered file of the samples has one, and the ids are other ones each time.
        erased = t.files.c.file_id.in_(select(t.copies.c.file_id).where(t.copies.c.custody == Custody.ERASED.value))
        file = _first(connection, t.files, t.files.c.outcome == FileOutcome.DELIVERED.value, erased)
        own = (t.receipts.c.file_id == file.file_id) & (t.receipts.c.consumer == role)
        connection.execute(delete(t.receipts).where(own))

    return damage


def _rejected_copy_without_receipts(connection: Connection, line: Line) -> None:
    del line
    file = _first(connection, t.files, t.files.c.outcome == "not_due")
    connection.execute(delete(t.receipts).where(t.receipts.c.file_id == file.file_id))


def _result_ahead(connection: Connection, line: Line) -> None:
    del line
    result = _first(connection, t.results)
    own = t.results.c.file_id == result.file_id
    connection.execute(update(t.results).where(own).values(revision=result.revision + 1))


def _older_result(connection: Connection, line: Line) -> None:
    del line
    result = _first(connection, t.results, t.results.c.processed_at.is_not(None))
    own = t.results.c.file_id == result.file_id
    connection.execute(update(t.results).where(own).values(processed_at=result.processed_at - HOUR))


def _other_id(connection: Connection, line: Line) -> None:
    del line
    row_ = _first(connection, t.outbox)
    connection.execute(update(t.outbox).where(t.outbox.c.event_id == row_.event_id).values(event_id="other"))


def _unsent(connection: Connection, line: Line) -> None:
    row_ = _first(connection, t.outbox)
    values = {"sent_at": None, "at": line.now - 2 * HOUR}
    connection.execute(update(t.outbox).where(t.outbox.c.event_id == row_.event_id).values(**values))


def _untaken(connection: Connection, line: Line) -> None:
    one = _first(connection, t.deliveries)
    values = {"state": "wanted", "wanted_revision": 2, "wanted_at": line.now - 2 * HOUR}
    connection.execute(update(t.deliveries).where(t.deliveries.c.file_id == one.file_id).values(**values))


R1 = t.requests.c.request_id == "r1"

DAMAGES: list[tuple[str, Damage, list[str]]] = [
    ("a-copy-without-its-file", lambda c, _: _drop_file(c), ["I1"]),
    ("settled-while-a-copy-stands", lambda c, _: _stand(c), ["I1", "I9"]),
    ("erased-without-a-receipt", _no_receipt("consent"), ["I2"]),
    ("erased-before-anything-was-read", _rejected_copy_without_receipts, ["I2"]),
    ("no-original", lambda c, _: _drop_original(c), ["I3"]),
    ("delivered-without-receipt", _no_receipt("forwarding"), ["I2", "I4"]),
    ("done-but-not-wanted", _set(t.deliveries, done_revision=9), ["I4"]),
    ("placed-after-the-window", _set(t.requests, R1, window_until=t.requests.c.placed_at), ["I5"]),
    ("placed-without-a-window", _set(t.requests, R1, window_until=None), ["I5"]),
    ("placed-against-a-refusal", _set(t.grants, None, granted=False), ["I5"]),
    ("placed-without-the-grant", _set(t.requests, R1, grant_id="none"), ["I5"]),
    ("placed-without-the-second-grant", _set(t.requests, R1, treatment_grant_id="none"), ["I5"]),
    ("placed-before-it-was-wanted", lambda c, _: _early(c), ["I6"]),
    ("placed-long-after-its-time-out", lambda c, _: _late(c), ["I6"]),
    ("sealed-to-another-clinic", _reading_of_another_clinic, ["I7"]),
    ("not-sealed-at-all", _name_in_the_clear, ["I7"]),
    ("certificate-removed", lambda c, _: c.execute(delete(t.certificates).where(t.certificates.c.number == 3)), ["I9"]),
    ("held-and-erased", _held_and_erased, ["I10"]),
    ("parked-without-reason", _parked_nameless, ["I11"]),
    ("an-older-consent-stands", _newer_grant, ["I12"]),
    ("a-file-is-stuck", _stuck, ["I13"]),
    ("an-event-was-never-sent", _unsent, ["I13"]),
    ("a-chart-never-took-it", _untaken, ["I13"]),
    ("an-id-does-not-follow", _other_id, ["I14"]),
    ("an-access-was-edited", _set(t.access_log, None, staff="other"), ["I15"]),
    ("a-result-ahead-of-its-file", _result_ahead, ["I16"]),
    ("a-result-of-another-time", _older_result, ["I16"]),
    ("an-answer-of-another-patient", _set(t.clinical_answers, None, patient_hash="x" * 64), ["I17"]),
    ("an-answer-without-its-file", lambda c, _: _answer_alone(c), ["I17"]),
    ("an-answer-of-another-clinic", _set(t.clinical_answers, None, clinic="c2"), ["I17"]),
    ("an-answer-whose-content-has-ended", lambda c, _: _end_of_content(c), ["I17"]),
    ("another-persons-answer-is-shown", lambda c, _: _show_foreign(c), ["I17"]),
]


def _drop_file(connection: Connection) -> None:
    """Of the file whose absence nothing else tells: no result, no delivery."""
    file = _first(connection, t.files, t.files.c.outcome == "not_due")
    connection.execute(delete(t.files).where(t.files.c.file_id == file.file_id))


def test_an_answer_that_was_discarded_on_its_way_to_the_chart_is_still_its_patients(finished: Line) -> None:
    found = look(finished, _set(t.files, None, outcome="rejected", reason="discarded"))
    assert "I17" not in names(found)


def _answer_alone(connection: Connection) -> None:
    row = {"file_id": "none", "clinic": "c1", "kind": "medication", "form": "data"}
    connection.execute(insert(t.clinical_answers).values(row))


def _end_of_content(connection: Connection) -> None:
    answer = _first(connection, t.clinical_answers)
    connection.execute(update(t.files).where(t.files.c.file_id == answer.file_id).values(sealed_record=None))


def _show_foreign(connection: Connection) -> None:
    answer = _first(connection, t.clinical_answers)
    refused = {"outcome": "rejected", "reason": "foreign_answer"}
    connection.execute(update(t.files).where(t.files.c.file_id == answer.file_id).values(refused))


def _drop_original(connection: Connection) -> None:
    file = _first(connection, t.files)
    connection.execute(update(t.files).where(t.files.c.file_id == file.file_id).values(sealed_original=None))


def _stand(connection: Connection) -> None:
    copy = _first(connection, t.copies)
    connection.execute(update(t.copies).where(t.copies.c.copy_id == copy.copy_id).values(custody="stored"))


def _early(connection: Connection) -> None:
    asked = _first(connection, t.requests)
    connection.execute(update(t.requests).where(R1).values(placed_at=asked.wanted_at - timedelta(seconds=61)))


def _late(connection: Connection) -> None:
    asked = _first(connection, t.requests)
    connection.execute(update(t.requests).where(R1).values(withdraw_at=asked.placed_at - timedelta(seconds=61)))


@pytest.mark.parametrize(("damage", "expected"), [d[1:] for d in DAMAGES], ids=[d[0] for d in DAMAGES])
def test_damage_breaks_exactly_the_invariant_that_speaks_of_it(
    finished: Line, damage: Damage, expected: list[str]
) -> None:
    found = look(finished, damage)
    assert names(found) == expected, [(f.name, f.broken[:3]) for f in invariants.broken(found)]
    for finding in invariants.broken(found):
        assert all(len(what) < 120 for what in finding.broken)


def test_a_file_that_is_open_again_after_its_copy_went_rightly_breaks_nothing(finished: Line) -> None:
    def damage(connection: Connection, line: Line) -> None:
        file = _first(connection, t.files, t.files.c.outcome == "not_due")
        again = {"outcome": "pending", "settled_at": None, "revision": 2, "stored_at": line.now}
        connection.execute(update(t.files).where(t.files.c.file_id == file.file_id).values(**again))

    assert names(look(finished, damage)) == []


def test_a_request_under_a_consent_without_end_needs_no_window(finished: Line) -> None:
    def damage(connection: Connection, _: Line) -> None:
        connection.execute(update(t.requests).where(R1).values(window_until=None))
        granted = _first(connection, t.requests, R1).grant_id
        connection.execute(update(t.grants).where(t.grants.c.grant_id == granted).values(until=None))

    assert "I5" not in names(look(finished, damage))


def test_what_waits_for_a_person_is_not_stuck(finished: Line) -> None:
    def damage(connection: Connection, line: Line) -> None:
        _stuck(connection, line)
        file = _first(connection, t.files, t.files.c.outcome == "pending")
        about = {"consumer": "forwarding", "event_id": "e", "type": "record.reconciled", "state": "parked"}
        message = {"routing_key": "k", "content_type": "j", "headers": "{}", "body": b"", "attempts": 1}
        kept = {"parked_id": "p", "reason": "no_chart", "parked_at": line.now, "correlation": file.file_id}
        connection.execute(insert(t.parked).values(**about, **message, **kept))

    assert names(look(finished, damage)) == []


@pytest.mark.parametrize(
    ("names_of_the_cause", "changed", "broken"),
    [
        (("n1",), {}, []),
        (("n1", "n2"), {}, ["I14"]),
        (("n1",), {"body": b'{"event_id": "x", "clinic": "c1"}'}, ["I14"]),
    ],
    ids=["as-it-was-said", "said-again-under-another-id", "another-id-inside"],
)
def test_what_a_vendor_is_told_follows_from_what_led_to_it(
    finished: Line, names_of_the_cause: Sequence[str], changed: dict[str, Any], broken: list[str]
) -> None:
    def damage(connection: Connection, line: Line) -> None:
        cause = enclose(line.said[0], line.now)
        told = {"edge": "acme", "clinic": "c1", "at": line.now, "kind": "eligibility", "handle": "h"}
        for name in names_of_the_cause:
            notice = DeliveryDoneNotice(source_id=name, revision=1, **told)
            outbox.add(connection, Role.PUBLICATION, [(notice, cause)], line.now, HOUR)
            row_ = t.outbox.c.event_id == notice.id
            connection.execute(update(t.outbox).where(row_).values(sent_at=line.now, **changed))

    assert names(look(finished, damage)) == broken


def test_what_only_one_of_two_looks_saw_was_movement() -> None:
    first = [Finding("I1", "x", ("a", "b")), Finding("I2", "y", ("c",))]
    second = [Finding("I1", "x", ("b", "d")), Finding("I2", "y")]
    assert [(f.name, f.broken) for f in invariants.lasting(first, second)] == [("I1", ("b",)), ("I2", ())]


def test_several_looks_at_one_invariant_are_one_answer() -> None:
    found = invariants.joined(
        [
            Finding("I13", "x", ("a",)),
            Finding("I1", "y", note="n", applicable=False),
            Finding("I13", "", ("a", "b"), "m"),
            Finding("I1", "", note="n", applicable=False),
        ]
    )
    assert found == [Finding("I1", "y", (), "n", False), Finding("I13", "x", ("a", "b"), "m")]  # noqa: FBT003
