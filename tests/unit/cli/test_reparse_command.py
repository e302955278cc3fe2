"""`onshi files reparse`: which originals are ordered to be read again, and who is accounted for?"""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import delete, select, update

from pipeline.contents import SealedFile, file_context
from pipeline.events import FileReparse
from pipeline.sealing import KeyClass, Sealer, recipient_of
from pipeline.storage.schema import access_log, files, outbox
from tests.unit.cli.conftest import Office

FIRST = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


@pytest.fixture
def stored(office: Office) -> Office:
    """Four files, an hour apart; the second is rejected."""
    now = datetime.now(UTC)
    public = office.keyring.epoch_key("c001", KeyClass.ORIGINAL, now)
    with office.store.transaction() as connection:
        for number in range(4):
            inside = SealedFile("a.xml", "face", b"<a/>").to_bytes()
            sealed = Sealer().seal(public, "c001", file_context(f"f{number}"), inside)
            connection.execute(
                files.insert().values(
                    file_id=f"f{number}",
                    clinic="c001",
                    terminal="t1",
                    kind="face",
                    outcome="rejected" if number == 1 else "delivered",
                    revision=1,
                    suffix=".xml",
                    sealed_original=sealed,
                    original_key=recipient_of(sealed),
                    captured_at=now,
                    stored_at=FIRST + timedelta(hours=number),
                )
            )
    return office


def ordered(office: Office) -> list[str]:
    with office.store.reading() as connection:
        rows = connection.execute(select(outbox).order_by(outbox.c.number)).all()
    assert {(row.type, row.consumer, row.sent_at) for row in rows} <= {("file.reparse", "parsing", None)}
    return [FileReparse.model_validate_json(row.body).file_id for row in rows]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["f2"], ["f2"]),
        (["f2", "f0"], ["f0", "f2"]),
        (["--since", "2026-05-12T02:00Z"], ["f1", "f2", "f3"]),
        (["--since", "2026-05-12T11:00", "--until", "2026-05-12T13:00", "--rate", "1000"], ["f1", "f2"]),
        (["--all", "--outcome", "rejected"], ["f1"]),
        (["--all", "--clinic", "c002"], []),
    ],
    ids=["one", "several", "since", "range", "rejected", "other-clinic"],
)
def test_exactly_what_was_meant_is_ordered(stored: Office, words: list[str], expected: list[str]) -> None:
    assert stored.ask("files", "reparse", *words) == {"rereading": len(expected), "without_key": 0}
    assert ordered(stored) == expected


def test_every_use_is_in_the_access_log(stored: Office) -> None:
    stored.say("files", "reparse", "f2")
    stored.say("files", "reparse", "--all")
    with stored.store.reading() as connection:
        rows = connection.execute(select(access_log).order_by(access_log.c.number)).all()
    assert [(row.action, row.subject, row.staff) for row in rows] == [
        ("files.reparse", "f2", "s1"),
        ("files.reparse", "4 files", "s1"),
    ]


def test_each_asking_is_a_new_order(stored: Office) -> None:
    stored.say("files", "reparse", "f2")
    stored.say("files", "reparse", "f2")
    assert ordered(stored) == ["f2", "f2"]


def test_what_no_key_opens_any_more_is_left_out_and_counted(stored: Office) -> None:
    with stored.store.transaction() as connection:
        connection.execute(update(files).where(files.c.file_id == "f3").values(original_key="00" * 8))
    assert stored.ask("files", "reparse", "--all") == {"rereading": 3, "without_key": 1}
    assert ordered(stored) == ["f0", "f1", "f2"]


@pytest.mark.parametrize("words", [[], ["f9"], ["f1", "f9"], ["--until", "2026-05-12T13:00"]])
def test_what_is_not_clear_orders_nothing(stored: Office, words: list[str]) -> None:
    assert stored.say("files", "reparse", *words)[0] == 2
    assert ordered(stored) == []


def test_who_is_not_staff_orders_nothing(stored: Office) -> None:
    config = stored.root / "onshi.toml"
    config.write_text(config.read_text().split("[[staff]]", maxsplit=1)[0])
    assert stored.say("files", "reparse", "--all")[0] == 1
    assert ordered(stored) == []


def test_a_file_whose_original_is_gone_cannot_be_meant(stored: Office) -> None:
    with stored.store.transaction() as connection:
        connection.execute(delete(files).where(files.c.file_id == "f0"))
        connection.execute(update(files).where(files.c.file_id == "f1").values(sealed_original=None))
    assert stored.ask("files", "reparse", "--all")["rereading"] == 2
