"""Is every way of tampering with certificates and the access log seen?"""

import json
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from consumers.deletion import Deletion
from pipeline import access
from pipeline import certificates as proofs
from pipeline.chain import Fault, canonical, digest_of
from pipeline.storage.schema import access_log, certificates, copies, heads
from tests.support.centre import Centre
from tests.support.copies import NOW, add_copy, add_file, copy_id, erased
from tests.support.erasures import report

HOUR = timedelta(hours=1)
NAMES = ("a", "b", "c", "d")


@pytest.fixture
def proven(centre: Centre, deletion: Deletion) -> Centre:
    """Four erased copies, the head signed after them."""
    add_file(centre)
    for name in NAMES:
        add_copy(centre, name)
        centre.handle(deletion, erased(name), NOW)
    centre.due(deletion, NOW)
    return centre


def _verify(centre: Centre) -> list[Fault]:
    with centre.store.reading() as connection:
        return proofs.verify(connection, centre.keyring)


def _content(changes: dict[str, object]) -> Callable[[Connection], None]:
    def tamper(connection: Connection) -> None:
        row = connection.execute(select(certificates).where(certificates.c.number == 2)).one()
        content = canonical(json.loads(row.content) | changes)
        where = certificates.c.number == 2
        connection.execute(update(certificates).where(where).values(content=content))

    return tamper


def _column(name: str, value: object) -> Callable[[Connection], None]:
    def tamper(connection: Connection) -> None:
        connection.execute(update(certificates).where(certificates.c.number == 2).values({name: value}))

    return tamper


def _rechain(connection: Connection) -> None:
    """Change one and compute the rest anew, as somebody who knows the code would."""
    previous = "0" * 64
    for row in connection.execute(select(certificates).order_by(certificates.c.number)).all():
        content = canonical(json.loads(row.content) | ({"level": "L0"} if row.number == 2 else {}))
        digest = digest_of(previous, content)
        values = {"content": content, "previous": previous, "digest": digest}
        connection.execute(update(certificates).where(certificates.c.number == row.number).values(values))
        previous = digest


def _remove(number: int) -> Callable[[Connection], None]:
    def tamper(connection: Connection) -> None:
        connection.execute(delete(certificates).where(certificates.c.number == number))

    return tamper


def _forge_head(connection: Connection) -> None:
    connection.execute(update(heads).values(signature="00" * 64))


def test_untouched_chain_has_no_fault(proven: Centre) -> None:
    assert _verify(proven) == []


@pytest.mark.parametrize(
    ("tamper", "what", "number"),
    [
        (_content({"level": "L0"}), "edited", 2),
        (_column("digest", "f" * 64), "edited", 2),
        (_column("file_id", "x"), "edited", 2),
        (_column("at", NOW + HOUR), "edited", 2),
        (_column("previous", "f" * 64), "broken_link", 2),
        (_remove(2), "missing", 2),
        (_remove(1), "missing", 1),
        (_remove(4), "truncated", 4),
        (_rechain, "head_differs", 4),
        (_forge_head, "head_forged", 4),
    ],
    ids=["content", "digest", "file", "time", "previous", "middle", "first", "tail", "recomputed", "signature"],
)
def test_tampering_is_named_by_its_first_number(
    proven: Centre, tamper: Callable[[Connection], None], what: str, number: int
) -> None:
    with proven.store.transaction() as connection:
        tamper(connection)
    first = _verify(proven)[0]
    assert (first.what, first.number) == (what, number)


def test_erased_copy_without_certificate_is_named(proven: Centre) -> None:
    add_copy(proven, "e", custody="erased")
    assert _verify(proven) == [Fault("c1", "uncertified", None, copy_id("e"))]


def test_certificate_without_erased_copy_is_named(proven: Centre) -> None:
    with proven.store.transaction() as connection:
        connection.execute(update(copies).where(copies.c.copy_id == copy_id("b")).values(custody="stored"))
    assert _verify(proven) == [Fault("c1", "not_erased", 2, copy_id("b"))]


def test_verifying_one_clinic_leaves_the_others_aside(proven: Centre) -> None:
    with proven.store.transaction() as connection:
        _rechain(connection)
    with proven.store.reading() as connection:
        assert proofs.verify(connection, proven.keyring, "c2") == []


def test_head_is_signed_hourly_and_only_when_the_chain_grew(proven: Centre, deletion: Deletion) -> None:
    add_copy(proven, "e")
    proven.handle(deletion, erased("e"), NOW)
    proven.due(deletion, NOW + HOUR - timedelta(minutes=2))
    assert [row["number"] for row in proven.rows(heads)] == [4]
    proven.due(deletion, NOW + HOUR)
    proven.due(deletion, NOW + 3 * HOUR)
    assert [row["number"] for row in proven.rows(heads)] == [4, 5]


def test_each_clinic_is_numbered_by_itself(proven: Centre) -> None:
    assert [row["number"] for row in proven.rows(certificates)] == [1, 2, 3, 4]


@pytest.mark.parametrize("level", proofs.STATEMENTS)
def test_certificate_claims_nothing_beyond_its_level(centre: Centre, deletion: Deletion, level: str) -> None:
    add_file(centre)
    add_copy(centre)
    centre.handle(deletion, erased(level=level), NOW)
    text = str(centre.row(certificates)["content"])
    assert ("overwritten in place" in text) is (level == "L1")
    assert not any(word in text.lower() for word in ("dod", "purge", "nist", "unrecoverable"))


def test_certificate_names_receipts_and_preconditions(centre: Centre, deletion: Deletion) -> None:
    add_file(centre)
    add_copy(centre)
    centre.due(deletion, NOW)
    centre.handle(deletion, erased(), NOW)
    content = json.loads(str(centre.row(certificates)["content"]))
    assert sorted(content["receipts"]) == ["consent", "forwarding", "parsing", "reconciliation"]
    held = content["preconditions"]
    assert sorted(held["terminal"] + held["centre"]) == [f"C{number}" for number in range(1, 9)]


# The access log


@pytest.fixture
def logged(centre: Centre) -> Centre:
    with centre.store.transaction() as connection:
        for number in range(4):
            access.record(connection, "s1", "root", "files.show", f"file{number}", "done", NOW)
        access.sign(connection, centre.keyring, NOW)
    return centre


def _audit(centre: Centre) -> list[tuple[str, int | None]]:
    with centre.store.reading() as connection:
        return [(fault.what, fault.number) for fault in access.verify(connection, centre.keyring)]


def test_untouched_log_has_no_fault(logged: Centre) -> None:
    assert _audit(logged) == []


@pytest.mark.parametrize("column", ["staff", "os_user", "action", "subject", "result", "digest"])
def test_edited_row_is_named(logged: Centre, column: str) -> None:
    with logged.store.transaction() as connection:
        connection.execute(update(access_log).where(access_log.c.number == 3).values({column: "other"}))
    assert _audit(logged) == [("edited", 3)]


@pytest.mark.parametrize(("number", "what"), [(1, "missing"), (2, "missing"), (4, "truncated")])
def test_removed_row_is_named(logged: Centre, number: int, what: str) -> None:
    with logged.store.transaction() as connection:
        connection.execute(delete(access_log).where(access_log.c.number == number))
    assert _audit(logged) == [(what, number)]


def test_inserted_row_is_named(logged: Centre) -> None:
    with logged.store.transaction() as connection:
        row = dict(connection.execute(select(access_log).where(access_log.c.number == 2)).mappings().one())
        connection.execute(update(access_log).where(access_log.c.number == 4).values(number=5))
        connection.execute(update(access_log).where(access_log.c.number == 3).values(number=4))
        connection.execute(insert(access_log).values(row | {"number": 3}))
    assert _audit(logged) == [("broken_link", 3)]


def test_time_of_an_access_is_part_of_the_chain(logged: Centre) -> None:
    with logged.store.transaction() as connection:
        connection.execute(update(access_log).where(access_log.c.number == 1).values(at=NOW - HOUR))
    assert _audit(logged) == [("edited", 1)]


def test_what_was_certified_in_a_clinic_s_last_hour_is_covered_by_a_head(proven: Centre, deletion: Deletion) -> None:
    report(proven, deletion)
    add_copy(proven, "e")
    proven.handle(deletion, erased("e"), NOW)
    others = proven.settings.model_copy(update={"clinics": proven.settings.clinics[1:]})
    proven.due(Deletion(others, proven.keyring), NOW + HOUR)
    assert [row["number"] for row in proven.rows(heads)] == [4, 5]
