"""Parsing: a record or a reason, and the sealed original in the store either way."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.parsing import Parsing
from consumers.parsing.reading import read
from pipeline.contents import SealedFile, file_context, name_context, record_context
from pipeline.custody import FileOutcome
from pipeline.errors import PermanentError
from pipeline.events import FileCaptured, derive_id
from pipeline.oqs.answers import results
from pipeline.oqs.records import parse_record_json
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError
from pipeline.storage.schema import copies, files, receipts
from tests.support.centre import Centre, clinic_of, events_of, make_keyring, make_settings, make_store, types_of

SAMPLES = Path(__file__).parents[2] / "samples"
FACE = "OQSsiquc01res_face_99190000113fb0c1d97a64e8250b7e_20260512091533.xml"
NOW = datetime(2026, 5, 12, 0, 15, 40, tzinfo=UTC)


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, NOW), store)
    store.close()


def captured(
    centre: Centre,
    name: str = FACE,
    content: bytes | None = None,
    *,
    folder: str = "face",
    copy: str = "copy-1",
    clinic: str = "c1",
    password: str | None = None,
) -> FileCaptured:
    """Seal a file as the terminal does."""
    content = (SAMPLES / folder / name).read_bytes() if content is None else content
    mac = centre.keyring.identity(clinic).mac("content", content)
    file_id = derive_id("file", clinic, mac, "")
    public = centre.keyring.epoch_key(clinic, KeyClass.ORIGINAL, NOW)
    inside = SealedFile(name, folder, content, password).to_bytes()
    return FileCaptured(
        clinic=clinic,
        edge="t1",
        file_id=file_id,
        copy_id=derive_id(copy),
        kind="face",
        size=len(content),
        mac=mac,
        sealed=Sealer().seal(public, clinic, file_context(file_id), inside),
        seen_at=NOW - timedelta(seconds=2),
        captured_at=NOW,
    )


def parsing(centre: Centre) -> Parsing:
    return Parsing(centre.settings, centre.keyring)


def test_a_face_becomes_a_sealed_record_and_both_sides_hear_of_it(centre: Centre) -> None:
    event = captured(centre)
    outcome = centre.handle(parsing(centre), event, NOW)
    assert types_of(events_of([outcome])) == ["file.stored", "record.parsed"]
    row = centre.row(files)
    assert (row["outcome"], row["kind"], row["suffix"], row["reason"]) == ("pending", "face", ".xml", None)
    assert row["processed_at"] == datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC), "JST in the file, UTC in the store"
    opener = Opener(centre.keyring)
    record = parse_record_json(opener.open("c1", record_context(event.file_id), row["sealed_record"]).decode())
    assert [person.result.name for person in results(record)] == ["見本　花子"]
    copy = centre.row(copies)
    assert opener.open("c1", name_context(event.copy_id), copy["sealed_name"]).decode() == FACE
    assert copy["custody"] == "stored"
    assert [row["consumer"] for row in centre.rows(receipts)] == ["parsing"]


def test_a_second_copy_writes_its_copy_and_nothing_else(centre: Centre) -> None:
    consumer = parsing(centre)
    centre.handle(consumer, captured(centre), NOW)
    outcome = centre.handle(consumer, captured(centre, copy="copy-2"), NOW)
    assert types_of(events_of([outcome])) == ["file.stored"]
    assert len(centre.rows(files)) == 1
    assert len(centre.rows(copies)) == 2


def test_a_late_copy_unsettles_its_file_until_it_is_gone_too(centre: Centre) -> None:
    consumer = parsing(centre)
    centre.handle(consumer, captured(centre), NOW)
    with centre.store.transaction() as connection:
        connection.execute(files.update().values(settled_at=NOW, outcome="delivered"))
    centre.handle(consumer, captured(centre, copy="copy-2"), NOW)
    assert centre.row(files)["settled_at"] is None
    assert centre.row(files)["outcome"] == "delivered"


def test_what_cannot_be_read_is_rejected_kept_and_told(centre: Centre) -> None:
    event = captured(centre, content=b"<!DOCTYPE x><XmlMsg/>")
    outcome = centre.handle(parsing(centre), event, NOW)
    assert types_of(events_of([outcome])) == ["file.stored", "file.rejected"]
    row = centre.row(files)
    assert (row["outcome"], row["reason"], row["sealed_record"]) == ("rejected", "doctype", None)
    original = Opener(centre.keyring).open("c1", file_context(event.file_id), row["sealed_original"])
    assert SealedFile.from_bytes(original).content == b"<!DOCTYPE x><XmlMsg/>"


def test_a_failing_parser_loses_nothing_the_original_is_stored_and_the_event_parked(
    centre: Centre, monkeypatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("CANARY 見本")

    monkeypatch.setattr("consumers.parsing.reading.parse", broken)
    outcome = centre.handle(parsing(centre), captured(centre), NOW)
    assert outcome.park == "bug_ZeroDivisionError"
    assert types_of(events_of([outcome])) == ["file.stored"]
    assert centre.row(files)["sealed_original"]
    assert centre.rows(receipts) == [], "not finished: a replay reads it anew"
    monkeypatch.undo()
    again = centre.handle(parsing(centre), captured(centre), NOW)
    assert types_of(events_of([again])) == ["file.stored", "record.parsed"]
    assert centre.row(files)["sealed_record"]


@pytest.mark.parametrize(
    ("folder", "name", "outcome"),
    [
        ("face", FACE, FileOutcome.PENDING),
        ("res", "OQSsiquc01res_202605120011.xml", FileOutcome.PENDING),
        ("res", "OQSsiquc01res_202605120016.xml", FileOutcome.PENDING),
        ("res", "OQSmuquc02res_202605120002.xml", FileOutcome.PENDING),
        ("res", "YZKsiquc01res_202605120031.xml", FileOutcome.PENDING),
        ("res", "YZKsiquc01res_202605120033.xml", FileOutcome.PENDING),
        ("res", "TKKsiquc01res_202605120032.xml", FileOutcome.PENDING),
        ("res", "OQSmuquc01res_202605120001.xml", FileOutcome.NOT_DUE),
        ("res", "OQSmuquc02res_202605120003.xml", FileOutcome.NOT_DUE),
        ("res", "OQSsiimm01res_202605120021.xml", FileOutcome.NOT_DUE),
        ("res", "OQSmuimm02res_202605120005.xml", FileOutcome.NOT_DUE),
        ("res", "OQSsiquc01req_202605120018.xml", FileOutcome.NOT_DUE),
        ("res", "OQSsiquc01req_202605120018.err", FileOutcome.NOT_DUE),
    ],
    ids=str,
)
def test_what_a_chart_waits_for_is_delivered_and_the_rest_is_not_due(
    folder: str, name: str, outcome: FileOutcome
) -> None:
    original = SealedFile(name, folder, (SAMPLES / folder / name).read_bytes())
    assert read(original, clinic_of("9919000011")).outcome is outcome


def test_a_file_of_another_institution_is_rejected_and_not_guessed() -> None:
    original = SealedFile(FACE, "face", (SAMPLES / "face" / FACE).read_bytes())
    reading = read(original, clinic_of("9919000029"))
    assert (reading.outcome, reading.reason, reading.record) == (FileOutcome.REJECTED, "foreign_institution", None)


def test_an_old_and_a_new_institution_code_may_both_be_ours() -> None:
    original = SealedFile(FACE, "face", (SAMPLES / "face" / FACE).read_bytes())
    assert read(original, clinic_of("9919000029", "9919000011")).outcome is FileOutcome.PENDING


def test_a_code_counts_only_near_its_own_days() -> None:
    original = SealedFile(FACE, "face", (SAMPLES / "face" / FACE).read_bytes())
    ended = clinic_of({"code": "9919000011", "to": "2026-04-30"})
    long_ago = clinic_of({"code": "9919000011", "to": "2026-03-31"})
    assert read(original, ended).outcome is FileOutcome.PENDING
    assert read(original, long_ago).reason == "foreign_institution"


def test_medication_is_sealed_to_the_clinical_key(centre: Centre) -> None:
    event = captured(centre, "YZKsiquc01res_202605120031.xml", folder="res")
    centre.handle(parsing(centre), event, NOW)
    sealed = centre.row(files)["sealed_record"]
    clinical = centre.keyring.epoch_key("c1", KeyClass.CLINICAL, NOW)
    from pipeline.sealing import key_id, recipient_of  # noqa: PLC0415

    assert recipient_of(sealed) == key_id(clinical).hex()


def test_an_event_of_an_unknown_clinic_is_parked(centre: Centre) -> None:
    event = captured(centre).model_copy(update={"clinic": "c9"})
    with pytest.raises(PermanentError, match="unknown_clinic"):
        centre.handle(parsing(centre), event, NOW)


def test_a_seal_of_another_file_is_refused(centre: Centre) -> None:
    event = captured(centre).model_copy(update={"file_id": derive_id("another")})
    with pytest.raises(UnsealError, match="seal_broken"):
        centre.handle(parsing(centre), event, NOW)


def test_a_copy_that_another_clinic_puts_to_a_file_is_parked_and_keeps_nothing_open(centre: Centre) -> None:
    event, content = captured(centre), (SAMPLES / "face" / FACE).read_bytes()
    centre.handle(parsing(centre), event, NOW)
    inside = SealedFile(FACE, "face", content, None).to_bytes()
    public = centre.keyring.epoch_key("c2", KeyClass.ORIGINAL, NOW)
    forged = captured(centre, copy="copy-2", clinic="c2").model_copy(
        update={
            "file_id": event.file_id,
            "sealed": Sealer().seal(public, "c2", file_context(event.file_id), inside),
        }
    )
    with pytest.raises(PermanentError, match="foreign_clinic"):
        centre.handle(parsing(centre), forged, NOW)
    assert [row["clinic"] for row in centre.rows(copies)] == ["c1"]


def test_content_that_is_not_what_the_terminal_hashed_is_refused(centre: Centre) -> None:
    event = captured(centre).model_copy(update={"mac": "00" * 32})
    with pytest.raises(PermanentError, match="content_changed"):
        centre.handle(parsing(centre), event, NOW)


def test_a_file_whose_message_was_discarded_before_it_was_ever_stored_is_stored_when_it_comes_again(
    centre: Centre,
) -> None:
    event = captured(centre)
    centre.insert(receipts, file_id=event.file_id, consumer="parsing", result="discarded", at=NOW)
    outcome = centre.handle(parsing(centre), event, NOW)
    assert outcome.result == "parsed"
    assert centre.row(files)["sealed_original"]
