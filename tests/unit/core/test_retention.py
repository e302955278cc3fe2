"""What ends with its month: unreadable for ever, also in backups; what is held or under way does not."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, update

from pipeline import access, holds, invariants, keyring, retention
from pipeline.cli.key_care import tend
from pipeline.contents import file_context, name_context, record_context, result_context
from pipeline.events import EdgeReported
from pipeline.keyring import EpochKey, Keyring
from pipeline.sealing import KeyClass, Opener, UnsealError, recipient_of
from pipeline.settings import KeysSettings, RetentionSettings
from pipeline.storage.schema import access_log, clinical_answers, copies, decisions, edges, files, parked, results
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.edge_report import hear
from tests.support.retained import CONTENT, MAY, NAME, RESULT, add, copy_id, file_id, row_of

NOW = datetime(2026, 7, 20, 1, 0, tzinfo=UTC)
ACTOR = retention.Actor("s1", "root")


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, MAY), store)
    store.close()


def key_of(centre: Centre, key_class: KeyClass = KeyClass.ORIGINAL, epoch: str = "2026-05") -> EpochKey:
    centre.keyring.reload()
    name = ("c1", key_class, epoch)
    return next(key for key in centre.keyring.ring.epochs if (key.clinic, key.key_class, key.epoch) == name)


def end(centre: Centre, key_class: KeyClass = KeyClass.ORIGINAL, now: datetime = NOW) -> retention.Destroyed:
    key, there = key_of(centre, key_class), centre.settings.edges
    return retention.destroy(centre.store, centre.keyring, key, ACTOR, now, configured=there)


def hold(centre: Centre, own: str) -> None:
    with centre.store.transaction() as connection:
        holds.add(connection, centre.keyring, file_id=own, reason="a dispute", staff="s1", now=MAY)


def test_what_ends_is_emptied_and_its_custody_still_shown(centre: Centre) -> None:
    add(centre)
    done = end(centre)
    assert (done.emptied, done.kept) == (3, 0)
    file, copy, result = (row_of(centre, table) for table in (files, copies, results))
    assert (file["sealed_original"], file["sealed_record"], copy["sealed_name"]) == (b"", None, b"")
    assert (file["outcome"], copy["custody"], result["verdicts"]) == ("delivered", "vanished", "new_patient")
    assert result["state"] == "closed"


def test_a_result_ends_with_its_own_class_and_leaves_its_verdict(centre: Centre) -> None:
    add(centre)
    assert end(centre, KeyClass.CONFIRMATION).emptied == 2
    result = row_of(centre, results)
    assert (result["sealed_result"], result["person_hash"], result["verdicts"]) == (b"", None, "new_patient")
    assert row_of(centre, decisions)["sealed_reason"] == b""
    assert row_of(centre, files)["sealed_original"] != b""


def test_with_its_content_a_clinical_answer_is_no_longer_of_anybody(centre: Centre) -> None:
    add(centre, 1, key_class=KeyClass.CLINICAL)
    add(centre, 2, at=datetime(2026, 6, 2, tzinfo=UTC), key_class=KeyClass.CLINICAL)
    for number in (1, 2):
        own = {"file_id": file_id(number), "clinic": "c1", "kind": "medication", "form": "data"}
        centre.insert(clinical_answers, **own, person_hash="p", patient_hash="q", month="202604")
    end(centre, KeyClass.CLINICAL)
    assert [row["file_id"] for row in centre.rows(clinical_answers)] == [file_id(2)]


def test_only_the_class_the_month_and_the_clinic_that_were_named_end(centre: Centre) -> None:
    add(centre, 1)
    add(centre, 2, at=datetime(2026, 6, 2, tzinfo=UTC))
    add(centre, 3, key_class=KeyClass.CLINICAL)
    end(centre)
    opener = Opener(centre.keyring)
    for number in (2, 3):
        sealed = row_of(centre, files, number)["sealed_original"]
        assert opener.open("c1", file_context(file_id(number)), sealed) == CONTENT


def test_a_key_that_was_destroyed_is_gone_from_its_slot_and_never_issued_again(centre: Centre) -> None:
    key = key_of(centre)
    slots = centre.keyring.directory / "slots.bin"
    before = slots.read_bytes()
    add(centre)
    end(centre)
    after = slots.read_bytes()
    own = slice(key.slot * 32, key.slot * 32 + 32)
    assert before[own] != after[own]
    assert before[: own.start] + before[own.stop :] == after[: own.start] + after[own.stop :]
    keyring.issue(centre.keyring.directory, ["c1", "c2"], centre.settings.edges, MAY)
    assert slots.read_bytes() == after
    with pytest.raises(keyring.KeyringError):
        Keyring(centre.keyring.directory).epoch_key("c1", KeyClass.ORIGINAL, MAY)


def test_another_process_that_has_the_key_in_memory_stops_opening_with_it(centre: Centre) -> None:
    own = add(centre)
    sealed = row_of(centre, files)["sealed_original"]
    other = Opener(Keyring(centre.keyring.directory))
    assert other.open("c1", file_context(own), sealed) == CONTENT
    end(centre)
    with pytest.raises(UnsealError, match="key_missing"):
        other.open("c1", file_context(own), sealed)


def test_a_slot_that_was_overwritten_by_a_run_that_died_opens_nothing_and_is_finished(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = add(centre)
    sealed = row_of(centre, files)["sealed_original"]
    write, written = keyring.write_ring, 0

    def dies(directory: Path, ring: keyring.Ring) -> None:
        nonlocal written
        written += 1
        if written == 2:
            raise KeyboardInterrupt
        write(directory, ring)

    with monkeypatch.context() as patch:
        patch.setattr(keyring, "write_ring", dies)
        with pytest.raises(KeyboardInterrupt):
            end(centre)
    assert key_of(centre).destroyed_at is None
    with pytest.raises(UnsealError, match="key_missing"):
        Opener(centre.keyring).open("c1", file_context(own), sealed)
    assert [key.epoch for key in retention.due(centre.keyring, RetentionSettings(originals_months=1), NOW)]
    assert end(centre).emptied == 3
    assert key_of(centre).destroyed_at == NOW


def test_a_slot_that_does_not_read_back_is_not_said_to_be_destroyed(
    centre: Centre, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(centre)
    with monkeypatch.context() as patch:
        patch.setattr("pipeline.keyring.os.pwrite", lambda *_: 32)
        with pytest.raises(keyring.KeyringError, match="reads back"):
            end(centre)
    assert key_of(centre).destroyed_at is None


# What does not end


def test_a_held_file_is_wrapped_to_this_month_and_stays_readable(centre: Centre) -> None:
    own = add(centre, 1)
    add(centre, 2)
    hold(centre, own)
    assert (end(centre).kept, end(centre, KeyClass.CONFIRMATION).kept) == (3, 2)
    opener, file = Opener(centre.keyring), row_of(centre, files)
    assert opener.open("c1", file_context(own), file["sealed_original"]) == CONTENT
    assert opener.open("c1", record_context(own), file["sealed_record"]) == CONTENT
    assert opener.open("c1", name_context(copy_id(1)), row_of(centre, copies)["sealed_name"]) == NAME
    assert opener.open("c1", result_context(own, 0), row_of(centre, results)["sealed_result"]) == RESULT
    assert file["original_key"] == recipient_of(file["sealed_original"]) == key_of(centre, epoch="2026-07").identifier
    assert row_of(centre, files, 2)["sealed_original"] == b""


def test_a_hold_that_comes_while_the_month_is_ending_stops_it(centre: Centre, monkeypatch: pytest.MonkeyPatch) -> None:
    own = add(centre)
    keep = retention._Keeper.keep

    def keep_and_hold(keeper: Any) -> int:
        kept = keep(keeper)
        hold(centre, own)
        return kept

    with monkeypatch.context() as patch:
        patch.setattr(retention._Keeper, "keep", keep_and_hold)
        with pytest.raises(retention.RetentionError, match="not_final"):
            end(centre)
    assert end(centre).kept == 3
    sealed = row_of(centre, files)["sealed_original"]
    assert Opener(centre.keyring).open("c1", file_context(own), sealed) == CONTENT


@pytest.mark.parametrize(
    ("at", "is_over"), [("2026-05-31T23:00", False), ("2026-06-01T12:00", False), ("2026-06-02T00:00", True)]
)
def test_a_month_that_may_still_be_written_to_is_refused(centre: Centre, at: str, *, is_over: bool) -> None:
    now = datetime.fromisoformat(at).replace(tzinfo=UTC)
    if is_over:
        end(centre, now=now)
    else:
        with pytest.raises(retention.RetentionError, match="epoch_open"):
            end(centre, now=now)


@pytest.mark.parametrize("key_class", [KeyClass.ORIGINAL, KeyClass.CONFIRMATION])
def test_a_file_that_is_not_final_keeps_its_month(centre: Centre, key_class: KeyClass) -> None:
    own = add(centre, settled=None)
    with pytest.raises(retention.RetentionError, match=own):
        end(centre, key_class)
    assert key_of(centre, key_class).is_usable


def test_a_capture_that_is_parked_keeps_its_month(centre: Centre) -> None:
    values = {"consumer": "parsing", "event_id": file_id(7), "clinic": "c1", "type": "file.captured", "reason": "bug"}
    rest = {"attempts": 1, "routing_key": "", "content_type": "", "headers": "{}", "body": b"", "parked_at": MAY}
    centre.insert(parked, parked_id=file_id(8), state="parked", **values, **rest)
    with pytest.raises(retention.RetentionError, match="parked"):
        end(centre)
    with centre.store.transaction() as connection:
        connection.execute(update(parked).values(state="discarded"))
    end(centre)


@pytest.mark.parametrize(
    ("reported_at", "backlog", "oldest_days", "is_behind"),
    [(NOW, 3, 60, True), (NOW, 3, 1, False), (NOW, 0, 0, False), (MAY, 0, 0, True)],
    ids=["has files of the month", "has later files only", "has nothing", "was silent since"],
)
def test_a_terminal_that_may_still_have_files_of_it_keeps_the_month(
    centre: Centre, reported_at: datetime, backlog: int, oldest_days: int, *, is_behind: bool
) -> None:
    oldest = timedelta(days=oldest_days).total_seconds()
    hear(centre.store, reported_at, backlog=backlog, oldest_seconds=oldest)
    if is_behind:
        with pytest.raises(retention.RetentionError, match="edge_behind: t1"):
            end(centre)
    else:
        end(centre)


def test_a_machine_that_left_the_group_keeps_no_month(centre: Centre) -> None:
    report = EdgeReported(
        clinic="c1",
        edge="gone",
        reported_at=MAY,
        software="0",
        custody={},
        backlog=0,
        oldest_seconds=0,
        free_bytes=1,
        clock_reliable=True,
    )
    with centre.store.transaction() as connection:
        values = {"clinic": "c1", "edge": "gone", "last_seen": MAY, "report": report.model_dump_json()}
        connection.execute(insert(edges).values(**values))
    end(centre)


def test_the_standing_key_is_never_destroyed(centre: Centre) -> None:
    standing = key_of(centre, KeyClass.STANDING, "standing")
    with pytest.raises(retention.RetentionError):
        retention.destroy(centre.store, centre.keyring, standing, ACTOR, NOW, configured=())
    with pytest.raises(keyring.KeyringError):
        keyring.destroy(centre.keyring.directory, "c1", KeyClass.STANDING, "standing", NOW)
    assert retention.due_at(standing, RetentionSettings()) is None


# What proves it


def test_the_end_of_a_month_is_in_the_access_log(centre: Centre) -> None:
    add(centre)
    end(centre)
    said = [(row["staff"], row["action"], row["subject"], row["result"]) for row in centre.rows(access_log)]
    assert said == [("s1", "keys.destroy", "c1 original 2026-05", word) for word in ("begun", "done")]
    with centre.store.reading() as connection:
        assert access.verify(connection, centre.keyring) == []


def test_a_backup_from_before_shows_nothing_when_it_is_restored(centre: Centre, tmp_path: Path) -> None:
    own = add(centre)
    path = tmp_path / "onshi.db"
    with closing(sqlite3.connect(path)) as live, closing(sqlite3.connect(tmp_path / "backup.db")) as copy:
        live.backup(copy)
    for key_class in (KeyClass.ORIGINAL, KeyClass.CONFIRMATION):
        end(centre, key_class)
    centre.store.close()
    for name in ("onshi.db", "onshi.db-wal", "onshi.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / "backup.db").rename(path)
    restored = Centre(centre.settings, Keyring(centre.keyring.directory), make_store(f"sqlite:///{path}"))
    opener = Opener(restored.keyring)
    file, copy_row, result = (row_of(restored, table) for table in (files, copies, results))
    for context, sealed in (
        (file_context(own), file["sealed_original"]),
        (record_context(own), file["sealed_record"]),
        (name_context(copy_id(1)), copy_row["sealed_name"]),
        (result_context(own, 0), result["sealed_result"]),
    ):
        with pytest.raises(UnsealError, match="key_missing"):
            opener.open("c1", context, sealed)
    with restored.store.reading() as connection:
        assert not list(invariants.broken(invariants.verify(connection, restored.keyring)))
    # The end is said again to the restored rows; nothing is left to destroy.
    assert end(restored).emptied == 3
    restored.store.close()


def test_every_invariant_holds_after_the_end(centre: Centre) -> None:
    add(centre)
    end(centre)
    with centre.store.reading() as connection:
        assert not list(invariants.broken(invariants.verify(connection, centre.keyring)))


@pytest.mark.parametrize(("months", "due"), [(1, "2026-07-01"), (12, "2027-06-01")])
def test_content_stays_for_whole_months_after_its_own(centre: Centre, months: int, due: str) -> None:
    at = datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert retention.due_at(key_of(centre), RetentionSettings(originals_months=months)) == at


def test_the_centre_ends_what_is_due_and_issues_what_is_coming(centre: Centre) -> None:
    add(centre)
    settings = centre.settings.model_copy(update={"keys": KeysSettings(dir=centre.keyring.directory)})
    assert tend(settings, centre.keyring, centre.store, NOW) == 0
    later = datetime(2027, 6, 3, tzinfo=UTC)
    assert tend(settings, centre.keyring, None, later) == 0
    assert row_of(centre, files)["sealed_original"] != b""
    assert tend(settings, centre.keyring, centre.store, later) > 0
    assert row_of(centre, files)["sealed_original"] == b""
    assert centre.keyring.epoch_key("c1", KeyClass.ORIGINAL, datetime(2028, 6, 1, tzinfo=UTC))
    assert tend(settings, centre.keyring, centre.store, later) == 0


def test_nothing_ends_by_itself_where_that_is_switched_off(centre: Centre) -> None:
    later = datetime(2030, 1, 3, tzinfo=UTC)
    assert retention.due(centre.keyring, RetentionSettings(), later)
    assert not retention.due(centre.keyring, RetentionSettings(automatic=False), later)
