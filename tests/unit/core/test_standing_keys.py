"""Is the standing key replaced without a row lost, wherever it breaks off, and is the former one gone in the end?"""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import LargeBinary, Table, insert, update

from pipeline import keyring, retention, standing_keys
from pipeline.cli.key_care import tend
from pipeline.events import PatientsChanged
from pipeline.key_backup import backup, restore
from pipeline.key_bundle import accept, hand_over, published
from pipeline.keyring import SLOT, EpochKey, Keyring
from pipeline.retention import RetentionError
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError, recipient_of
from pipeline.settings import KeysSettings
from pipeline.standing_keys import OVERLAP, PLACES
from pipeline.storage.columns import Moment
from pipeline.storage.engine import metadata
from pipeline.storage.schema import access_log, outbox, parked, patient_parts, vendor_held
from pipeline.topology import Edge
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.edge_report import hear

MAY = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
LATER = MAY + OVERLAP
ACTOR = retention.Actor("-", "root")
EDGE = Edge("c1", "t1")
ROWS = 3
PASSPHRASE = b"a long enough passphrase"


ON_BOTH = pytest.mark.parametrize(
    "centre", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], indirect=True
)


@pytest.fixture
def centre(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Centre]:
    """A clinic with three rows in every place that is sealed to its standing key, and one of another clinic."""
    monkeypatch.setattr("pipeline.standing_keys.CHUNK", 2)
    is_sqlite = getattr(request, "param", "sqlite") == "sqlite"
    store = make_store(f"sqlite:///{tmp_path}/onshi.db" if is_sqlite else request.getfixturevalue("postgresql_url"))
    settings = make_settings(tmp_path)
    made = Centre(settings, make_keyring(tmp_path, settings, MAY), store)
    seals: dict[str, list[dict[str, Any]]] = {}
    for table, number in itertools.product({place.table.name for place in PLACES}, range(ROWS + 1)):
        clinic = "c2" if number == ROWS else "c1"
        row = {column.name: some(column.type, number) for column in metadata.tables[table].columns} | {"clinic": clinic}
        for place in PLACES:
            if place.table.name == table:
                row[place.column] = seal(made, clinic, place.context(SimpleNamespace(**row)), place.column.encode())
        seals.setdefault(table, []).append(row)
    with store.transaction() as connection:
        for table, rows in seals.items():
            connection.execute(insert(metadata.tables[table]), rows)
    yield made
    store.close()


def some(of: Any, number: int) -> object:
    if isinstance(of, Moment):
        return MAY
    values = {str: str(number), int: number, bool: True, bytes: b"", date: date(2026, 5, 1 + number)}
    return values[of.python_type]


def seal(centre: Centre, clinic: str, context: str, content: bytes) -> bytes:
    return Sealer().seal(centre.keyring.epoch_key(clinic, KeyClass.STANDING, MAY), clinic, context, content)


def rows(centre: Centre) -> Iterator[tuple[Any, str, bytes]]:
    """Every seal that is without a month: its place's column, its context, and what is sealed."""
    for place in PLACES:
        for row in centre.rows(place.table):
            if row["clinic"] == "c1":
                yield place.column, place.context(SimpleNamespace(**row)), row[place.column]


def all_open(centre: Centre, keys: Path | None = None) -> bool:
    opener = Opener(Keyring(keys or centre.keyring.directory))
    return all(opener.open("c1", context, sealed) == column.encode() for column, context, sealed in rows(centre))


def recipients(centre: Centre) -> set[str]:
    return {recipient_of(sealed) for _, _, sealed in rows(centre)}


def rotated(centre: Centre, *, is_heard: bool = True) -> tuple[EpochKey, EpochKey]:
    """Replace the key, and let every edge have heard of it a day later; returns the former one and the new one."""
    (new,) = standing_keys.rotate(centre.keyring.directory, ["c1"], MAY)
    for edge in centre.settings.edges if is_heard else ():
        hear(centre.store, LATER, standing_key=new.identifier, edge=edge.edge)
    return standing_keys.replaced(centre.keyring)[-1], new


def finish(centre: Centre, former: EpochKey, at: datetime = LATER) -> int:
    return standing_keys.finish(centre.store, centre.keyring, former, ACTOR, at, configured=[EDGE])


def private_half(centre: Centre, key: EpochKey) -> bytes:
    return (centre.keyring.directory / "slots.bin").read_bytes()[key.slot * SLOT :][:SLOT]


def test_every_sealed_column_of_the_store_has_an_end_or_a_standing_key() -> None:
    sealed = {
        (table.name, column.name)
        for table in metadata.tables.values()
        for column in table.columns
        if isinstance(column.type, LargeBinary)
    }
    standing = {(place.table.name, place.column) for place in PLACES}
    monthly = {(place.table.name, place.column) for place in retention._PLACES}
    # Parts are emptied as they come; the others hold messages, whose seals are an edge's or are said again.
    messages = {(table.name, "body") for table in (outbox, parked, vendor_held)} | {(patient_parts.name, "sealed")}
    assert sealed == standing | monthly | messages


@ON_BOTH
def test_replacing_wraps_every_row_anew_and_its_content_stays(centre: Centre) -> None:
    former, new = rotated(centre)
    assert all_open(centre)
    assert standing_keys.rewrap(centre.store, centre.keyring, former, MAY) == ROWS * len(PLACES)
    assert recipients(centre) == {new.identifier}
    assert all_open(centre)
    assert standing_keys.rewrap(centre.store, centre.keyring, former, MAY) == 0
    assert recipient_of(seal(centre, "c1", "new", b"")) == new.identifier
    (other,) = {row["sealed"] for row in centre.rows(standing_keys.patients) if row["clinic"] == "c2"}
    assert recipient_of(other) not in {former.identifier, new.identifier}


@pytest.mark.parametrize("at", [0, 1, 5, 17])
def test_what_breaks_off_in_the_middle_leaves_every_row_readable_and_is_taken_up_again(
    centre: Centre, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    former, new = rotated(centre)
    whole, count = Opener.rewrap, itertools.count()

    def break_off(*arguments: Any) -> bytes:
        if next(count) == at:
            raise OSError
        return whole(*arguments)

    monkeypatch.setattr(Opener, "rewrap", break_off)
    with pytest.raises(OSError):  # noqa: PT011 - the breaking off
        standing_keys.rewrap(centre.store, centre.keyring, former, MAY)
    assert all_open(centre)
    monkeypatch.undo()
    finish(centre, former)
    assert recipients(centre) == {new.identifier}
    assert all_open(centre)


@ON_BOTH
def test_the_former_key_is_destroyed_a_day_later_and_what_was_sealed_late_is_kept(centre: Centre) -> None:
    public = centre.keyring.epoch_key("c1", KeyClass.STANDING, MAY)
    former, new = rotated(centre)
    half = private_half(centre, former)
    standing_keys.rewrap(centre.store, centre.keyring, former, MAY)
    with pytest.raises(RetentionError, match="epoch_open"):
        finish(centre, former, LATER - timedelta(seconds=1))
    place = PLACES[0]
    row = next(row for row in centre.rows(place.table) if row["clinic"] == "c1")
    late = Sealer().seal(public, "c1", place.context(SimpleNamespace(**row)), place.column.encode())
    set_seal(centre, place.table, row, {place.column: late})
    assert finish(centre, former) == 1
    assert half not in (centre.keyring.directory / "slots.bin").read_bytes()
    assert recipients(centre) == {new.identifier}
    assert all_open(centre)
    with pytest.raises(UnsealError):
        Opener(Keyring(centre.keyring.directory)).open("c1", place.context(SimpleNamespace(**row)), late)
    assert [r["result"] for r in centre.rows(access_log) if r["action"] == "keys.destroy"] == ["begun", "done"]
    assert standing_keys.replaced(centre.keyring) == []


def set_seal(centre: Centre, table: Table, row: dict[str, Any], values: dict[str, Any]) -> None:
    same = [column == row[column.name] for column in table.primary_key.columns]
    with centre.store.transaction() as connection:
        connection.execute(update(table).where(*same).values(**values))


WHYS = ["never spoke", "seals to the former", "was silent since", "has older files", "an older release"]


@pytest.mark.parametrize("why", WHYS)
def test_an_edge_that_may_still_seal_to_the_former_key_keeps_it(centre: Centre, why: str) -> None:
    former, new = rotated(centre, is_heard=False)
    key = {"seals to the former": former.identifier, "an older release": ""}.get(why, new.identifier)
    at = MAY + timedelta(hours=1) if why == "was silent since" else LATER
    if why != "never spoke":
        backlog = int(why == "has older files")
        hear(centre.store, at, standing_key=key, backlog=backlog, oldest_seconds=backlog * 1e6)
    with pytest.raises(RetentionError, match="edge_behind: t1"):
        finish(centre, former)
    assert all_open(centre)
    hear(centre.store, LATER + timedelta(seconds=1), standing_key=new.identifier)
    hear(centre.store, LATER, standing_key=former.identifier, edge="gone")
    finish(centre, former)


def test_a_list_that_is_parked_keeps_the_former_key(centre: Centre) -> None:
    former, _ = rotated(centre)
    set_seal(centre, parked, {"parked_id": "0"}, {"type": PatientsChanged.type_name(), "state": "parked"})
    with pytest.raises(RetentionError, match="parked"):
        finish(centre, former)
    set_seal(centre, parked, {"parked_id": "0"}, {"state": "replayed"})
    finish(centre, former)


def test_a_row_that_cannot_be_opened_keeps_the_former_key_and_holds_up_no_other(centre: Centre) -> None:
    former, new = rotated(centre)
    place = PLACES[0]
    row = next(row for row in centre.rows(place.table) if row["clinic"] == "c1")
    damaged = row[place.column][:30] + bytes(len(row[place.column]) - 30)
    set_seal(centre, place.table, row, {place.column: damaged})
    with pytest.raises(RetentionError, match=r"unopened.*patients\.sealed"):
        finish(centre, former)
    assert recipients(centre) == {former.identifier, new.identifier}


def test_a_destruction_that_was_begun_is_ended_by_the_running_centre(centre: Centre, monkeypatch) -> None:
    former, _ = rotated(centre)
    half = private_half(centre, former)

    def die(*_: object) -> None:
        raise OSError

    monkeypatch.setattr("pipeline.keyring._overwrite_slot", die)
    with pytest.raises(OSError):  # noqa: PT011 - the end of the process
        finish(centre, former)
    monkeypatch.undo()
    settings = centre.settings.model_copy(update={"keys": KeysSettings(dir=centre.keyring.directory)})
    assert tend(settings, centre.keyring, centre.store, MAY + timedelta(hours=2)) == 1
    assert half not in (centre.keyring.directory / "slots.bin").read_bytes()
    assert all_open(centre)


def test_the_running_centre_ends_a_replacement_by_itself(centre: Centre) -> None:
    rotated(centre)
    settings = centre.settings.model_copy(update={"keys": KeysSettings(dir=centre.keyring.directory)})
    assert tend(settings, centre.keyring, centre.store, LATER - timedelta(hours=1)) == 0
    assert tend(settings, centre.keyring, centre.store, LATER) == 1
    assert tend(settings, centre.keyring, centre.store, LATER) == 0
    assert all_open(centre)


def test_what_a_replacement_left_undone_is_done_long_before_the_former_key_ends(centre: Centre) -> None:
    # The newest backup of the store is up to a day old: it must not need a key that ends today.
    _, new = rotated(centre)
    settings = centre.settings.model_copy(update={"keys": KeysSettings(dir=centre.keyring.directory)})
    assert tend(settings, centre.keyring, centre.store, MAY + timedelta(hours=1)) == 0
    assert recipients(centre) == {new.identifier}


def test_a_backup_after_a_replacement_brings_everything_back_and_an_older_one_nothing_that_was_destroyed(
    centre: Centre, tmp_path: Path
) -> None:
    keys = centre.keyring.directory
    keyring.destroy(keys, "c1", KeyClass.ORIGINAL, "2026-04", MAY)
    backup(keys, tmp_path / "before", PASSPHRASE)
    former, _ = rotated(centre)
    half = private_half(centre, former)
    backup(keys, tmp_path / "between", PASSPHRASE)
    finish(centre, former)
    backup(keys, tmp_path / "after", PASSPHRASE)
    for name in ("before", "between"):
        refused = restore(keys, tmp_path / name, PASSPHRASE).refused
        assert [key.identifier for key in refused] == [former.identifier]
        assert half not in (keys / "slots.bin").read_bytes()
    assert restore(tmp_path / "new", tmp_path / "after", PASSPHRASE).refused == ()
    assert all_open(centre, tmp_path / "new")
    ring = Keyring(tmp_path / "new").ring
    assert {key.key_class for key in ring.epochs if key.destroyed_at} == {KeyClass.ORIGINAL, KeyClass.STANDING}


def test_only_a_standing_key_that_was_replaced_can_be_destroyed(centre: Centre) -> None:
    _, new = rotated(centre)
    for identifier in (None, new.identifier):
        with pytest.raises(keyring.KeyringError):
            keyring.destroy(centre.keyring.directory, "c1", KeyClass.STANDING, "standing", LATER, identifier)
    assert all_open(centre)


# Edges


def test_a_machine_that_only_seals_uses_a_new_key_as_soon_as_it_heard_of_it(tmp_path: Path) -> None:
    keyring.issue(tmp_path / "keys", ["c1"], [EDGE], MAY)
    hand_over(tmp_path / "keys", EDGE, tmp_path / "machine")
    machine = Keyring(tmp_path / "machine")
    assert machine.epoch_key("c1", KeyClass.STANDING, MAY)
    (new,) = standing_keys.rotate(tmp_path / "keys", ["c1"], MAY)
    accept(tmp_path / "machine", published(Keyring(tmp_path / "keys").ring, [EDGE])[0])
    assert machine.epoch_key("c1", KeyClass.STANDING, MAY).hex() == new.public
    assert machine.standing_id("c1") == new.identifier
    (tmp_path / "machine" / "keyring.json").unlink()
    assert machine.epoch_key("c1", KeyClass.STANDING, MAY).hex() == new.public
    assert machine.standing_id("nobody") == ""
