"""Do keys come back from a backup, all but those that were destroyed? Does replacing one lose anything?"""

import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from pipeline import keyring, standing_keys
from pipeline.key_backup import backup, passphrase_of, restore
from pipeline.key_bundle import accept, hand_over, published
from pipeline.key_rotation import rotate
from pipeline.keyring import SLOT, Keyring, KeyringError, read_ring
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError
from pipeline.topology import Edge

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
PASSPHRASE = b"a long enough passphrase"
EDGE = Edge("c001", "t1")
MONTH = ("c001", KeyClass.ORIGINAL, "2026-11")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    keyring.issue(tmp_path / "keys", ["c001"], [EDGE], NOW)
    return tmp_path / "keys"


def sealed(directory: Path, content: bytes = b"content") -> bytes:
    return Sealer().seal(Keyring(directory).epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "name", content)


def opened(directory: Path, sealed: bytes) -> bytes:
    return Opener(Keyring(directory)).open("c001", "name", sealed)


def private_of(directory: Path) -> bytes:
    key = next(e for e in read_ring(directory)[0].epochs if (e.clinic, e.key_class, e.epoch) == MONTH)
    return (directory / "slots.bin").read_bytes()[key.slot * SLOT :][:SLOT]


@pytest.mark.parametrize("lost", ["everything", "slots.bin", "identity.c001.key", "signing.key"])
def test_what_was_lost_comes_back(keys: Path, tmp_path: Path, lost: str) -> None:
    content = sealed(keys)
    names = {path.name: path.read_bytes() for path in keys.iterdir()}
    backup(keys, tmp_path / "backup", PASSPHRASE)
    shutil.rmtree(keys) if lost == "everything" else (keys / lost).unlink()
    assert restore(keys, tmp_path / "backup", PASSPHRASE).refused == ()
    assert opened(keys, content) == b"content"
    assert {path.name: path.read_bytes() for path in keys.iterdir()} == names


def test_restoring_twice_is_restoring_once(keys: Path, tmp_path: Path) -> None:
    backup(keys, tmp_path / "backup", PASSPHRASE)
    restore(keys, tmp_path / "backup", PASSPHRASE)
    before = read_ring(keys)[0]
    assert restore(keys, tmp_path / "backup", PASSPHRASE).files == 0
    assert read_ring(keys)[0] == before


def test_what_was_destroyed_after_the_backup_stays_destroyed(keys: Path, tmp_path: Path) -> None:
    content, private = sealed(keys), private_of(keys)
    backup(keys, tmp_path / "backup", PASSPHRASE)
    keyring.destroy(keys, *MONTH, NOW)
    restored = restore(keys, tmp_path / "backup", PASSPHRASE)
    assert [(key.clinic, key.key_class, key.epoch) for key in restored.refused] == [MONTH]
    with pytest.raises(UnsealError):
        opened(keys, content)
    assert private not in (keys / "slots.bin").read_bytes()


def test_a_backup_after_a_destruction_holds_nothing_of_it_even_for_an_empty_folder(keys: Path, tmp_path: Path) -> None:
    content = sealed(keys)
    keyring.destroy(keys, *MONTH, NOW)
    backup(keys, tmp_path / "backup", PASSPHRASE)
    restore(tmp_path / "new", tmp_path / "backup", PASSPHRASE)
    with pytest.raises(UnsealError):
        opened(tmp_path / "new", content)
    keyring.issue(tmp_path / "new", ["c001"], [EDGE], NOW)
    assert not any(
        k.is_usable for k in read_ring(tmp_path / "new")[0].epochs if (k.clinic, k.key_class, k.epoch) == MONTH
    )


def test_keys_made_since_the_loss_stand_beside_those_that_come_back(keys: Path, tmp_path: Path) -> None:
    before = sealed(keys)
    backup(keys, tmp_path / "backup", PASSPHRASE)
    shutil.rmtree(keys)
    keyring.issue(keys, ["c001"], [EDGE], NOW)
    since = sealed(keys)
    restore(keys, tmp_path / "backup", PASSPHRASE)
    assert [opened(keys, content) for content in (before, since, sealed(keys))] == [b"content"] * 3
    keyring.issue(keys, ["c001", "c002"], [EDGE], NOW)
    assert opened(keys, before) == opened(keys, since) == b"content"


def test_a_backup_shows_no_key_and_no_other_passphrase_opens_it(keys: Path, tmp_path: Path) -> None:
    backup(keys, tmp_path / "backup", PASSPHRASE)
    raw = (tmp_path / "backup").read_bytes()
    assert private_of(keys) not in raw
    assert b"identity" not in raw
    assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
    with pytest.raises(KeyringError, match="passphrase"):
        restore(keys, tmp_path / "backup", b"another long passphrase")
    (tmp_path / "backup").write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    with pytest.raises(KeyringError, match="damaged"):
        restore(keys, tmp_path / "backup", PASSPHRASE)
    with pytest.raises(KeyringError, match="never overwritten"):
        backup(keys, tmp_path / "backup", PASSPHRASE)


@pytest.mark.parametrize("is_rotated", [False, True])
def test_a_backup_made_after_some_keys_were_lost_brings_back_all_others(
    keys: Path, tmp_path: Path, *, is_rotated: bool
) -> None:
    content = sealed(keys)
    backup(keys, tmp_path / "older", PASSPHRASE)
    known = {key.identifier for key in read_ring(keys)[0].epochs}
    keyring.issue(keys, ["c001"], [EDGE], NOW + timedelta(days=40))
    lost = [key.identifier for key in read_ring(keys)[0].epochs if key.identifier not in known]
    (keys / "slots.bin").unlink()
    restored = restore(keys, tmp_path / "older", PASSPHRASE)
    assert [key.identifier for key in restored.missing] == lost
    if is_rotated:
        rotate(keys, KeyClass.ORIGINAL, ["c001"], NOW)
    since = sealed(keys)
    assert {Keyring(keys).private_key(bytes.fromhex(name)) for name in lost} == {None}
    backup(keys, tmp_path / "newer", PASSPHRASE)
    shutil.rmtree(keys)
    restore(keys, tmp_path / "newer", PASSPHRASE)
    assert [opened(keys, each) for each in (content, since)] == [b"content"] * 2


def test_a_short_passphrase_is_refused(tmp_path: Path) -> None:
    (tmp_path / "p").write_text("short\n")
    with pytest.raises(KeyringError, match="at least"):
        passphrase_of(tmp_path / "p")


# Replacing


def test_replacing_a_key_loses_nothing_wherever_it_is_heard_of_late(keys: Path, tmp_path: Path) -> None:
    hand_over(keys, EDGE, tmp_path / "machine")
    machine = Keyring(tmp_path / "machine")
    contents = [sealed(keys), sealed(tmp_path / "machine")]
    made = rotate(keys, KeyClass.ORIGINAL, ["c001"], NOW)
    assert {key.generation > 0 for key in made} == {True}
    contents += [sealed(keys), sealed(tmp_path / "machine")]
    assert accept(tmp_path / "machine", published(Keyring(keys).ring, [EDGE])[0]) == len(made)
    machine.version()
    assert machine.epoch_key("c001", KeyClass.ORIGINAL, NOW) == Keyring(keys).epoch_key("c001", KeyClass.ORIGINAL, NOW)
    contents.append(sealed(tmp_path / "machine"))
    assert [opened(keys, content) for content in contents] == [b"content"] * 5


def test_an_edge_never_goes_back_to_a_key_that_was_replaced(keys: Path, tmp_path: Path) -> None:
    hand_over(keys, EDGE, tmp_path / "machine")
    former = published(Keyring(keys).ring, [EDGE])[0]
    rotate(keys, KeyClass.ORIGINAL, ["c001"], NOW)
    newer = published(Keyring(keys).ring, [EDGE])[0]
    accept(tmp_path / "machine", newer)
    assert accept(tmp_path / "machine", former) == 0
    assert sealed(tmp_path / "machine")[2:10] == sealed(keys)[2:10]


def test_destroying_names_the_one_of_two_keys_of_a_month(keys: Path) -> None:
    first = sealed(keys)
    rotate(keys, KeyClass.ORIGINAL, ["c001"], NOW)
    second = sealed(keys)
    newest = next(e for e in read_ring(keys)[0].epochs if (e.clinic, e.key_class, e.epoch) == MONTH and e.generation)
    keyring.destroy(keys, *MONTH, NOW, newest.identifier)
    assert opened(keys, first) == b"content"
    with pytest.raises(UnsealError):
        opened(keys, second)


def test_the_standing_key_is_not_replaced_by_the_month(keys: Path) -> None:
    with pytest.raises(KeyringError):
        rotate(keys, KeyClass.STANDING, ["c001"], NOW)


@pytest.mark.parametrize("key_class", [KeyClass.ORIGINAL, KeyClass.STANDING])
def test_an_edge_takes_a_new_key_of_keys_that_were_restored_from_before_a_replacement(
    keys: Path, tmp_path: Path, key_class: KeyClass
) -> None:
    hand_over(keys, EDGE, tmp_path / "machine")
    shutil.copytree(keys, tmp_path / "older")
    replace = standing_keys.rotate if key_class is KeyClass.STANDING else partial(rotate, key_class=key_class)
    replace(keys, clinics=["c001"], now=NOW)
    accept(tmp_path / "machine", published(Keyring(keys).ring, [EDGE])[0])
    shutil.rmtree(keys)
    (tmp_path / "older").rename(keys)
    replace(keys, clinics=["c001"], now=NOW + timedelta(days=1))
    accept(tmp_path / "machine", published(Keyring(keys).ring, [EDGE])[0])
    machine = Keyring(tmp_path / "machine")
    assert machine.epoch_key("c001", key_class, NOW) == Keyring(keys).epoch_key("c001", key_class, NOW)


def test_a_standing_key_that_was_replaced_stays_so_beside_a_ring_from_before(keys: Path, tmp_path: Path) -> None:
    ring = (keys / "keyring.json").read_bytes()
    standing_keys.rotate(keys, ["c001"], NOW)
    backup(keys, tmp_path / "backup", PASSPHRASE)
    replaced = [key.identifier for key in standing_keys.replaced(Keyring(keys))]
    shutil.rmtree(keys)
    keys.mkdir()
    (keys / "keyring.json").write_bytes(ring)
    restore(keys, tmp_path / "backup", PASSPHRASE)
    assert [key.identifier for key in standing_keys.replaced(Keyring(keys))] == replaced
