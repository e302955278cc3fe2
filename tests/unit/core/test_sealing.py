"""Seals: only the right holder, only in the right place, and nothing left of a destroyed key."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from pipeline.keyring import Keyring, KeyringError, issue
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError, recipient_of
from pipeline.topology import Edge

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
CONTENT = "見本　花子".encode()


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    issue(tmp_path / "keys", ["c001", "c002"], [Edge("c001", "t1"), Edge("c001", "chart")], NOW)
    return Keyring(tmp_path / "keys")


def test_what_was_sealed_opens_again(keyring: Keyring) -> None:
    sealed = Sealer().seal(keyring.epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "file:1", CONTENT)
    assert CONTENT not in sealed
    assert Opener(keyring).open("c001", "file:1", sealed) == CONTENT


@pytest.mark.parametrize(("clinic", "context"), [("c002", "file:1"), ("c001", "file:2")])
def test_a_seal_cannot_be_passed_off_as_another_clinics_or_files(keyring: Keyring, clinic: str, context: str) -> None:
    sealed = Sealer().seal(keyring.epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "file:1", CONTENT)
    with pytest.raises(UnsealError, match="seal_broken"):
        Opener(keyring).open(clinic, context, sealed)


def test_every_single_flipped_bit_is_noticed(keyring: Keyring) -> None:
    sealed = Sealer().seal(keyring.epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "file:1", CONTENT)
    opener = Opener(keyring)
    for at in range(len(sealed)):
        spoiled = bytearray(sealed)
        spoiled[at] ^= 1
        with pytest.raises(UnsealError):
            opener.open("c001", "file:1", bytes(spoiled))


def test_two_seals_of_the_same_content_share_nothing(keyring: Keyring) -> None:
    sealer, public = Sealer(), keyring.epoch_key("c001", KeyClass.ORIGINAL, NOW)
    first, second = (sealer.seal(public, "c001", "file:1", CONTENT) for _ in range(2))
    assert first[42:] != second[42:]


def test_an_edge_opens_what_is_meant_for_it_and_not_what_it_captured(keyring: Keyring, tmp_path: Path) -> None:
    edge_only = tmp_path / "edge"
    edge_only.mkdir()
    for name in ("keyring.json", "identity.c001.key", "edge.c001.t1.key"):
        (edge_only / name).write_bytes((keyring.directory / name).read_bytes())
    edge = Keyring(edge_only)
    captured = Sealer().seal(edge.epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "file:1", CONTENT)
    order = Sealer().seal(keyring.edge_key("c001", "t1"), "c001", "request:1", CONTENT)
    assert Opener(edge).open("c001", "request:1", order) == CONTENT
    with pytest.raises(UnsealError, match="key_missing"):
        Opener(edge).open("c001", "file:1", captured)
    assert Opener(keyring).open("c001", "file:1", captured) == CONTENT


def test_rewrapping_changes_who_opens_and_not_the_content(keyring: Keyring) -> None:
    old = keyring.epoch_key("c001", KeyClass.ORIGINAL, NOW)
    new = keyring.epoch_key("c001", KeyClass.ORIGINAL, datetime(2026, 6, 1, tzinfo=UTC))
    sealer, opener = Sealer(), Opener(keyring)
    sealed = sealer.seal(old, "c001", "file:1", CONTENT)
    moved = opener.rewrap(sealer, new, "c001", "file:1", sealed)
    assert recipient_of(moved) != recipient_of(sealed)
    assert opener.open("c001", "file:1", moved) == CONTENT


def test_keys_are_issued_twelve_months_ahead_and_issuing_again_changes_nothing(keyring: Keyring) -> None:
    before = {path.name: path.read_bytes() for path in keyring.directory.iterdir()}
    issue(keyring.directory, ["c001", "c002"], [Edge("c001", "t1")], NOW)
    assert {path.name: path.read_bytes() for path in keyring.directory.iterdir()} == before
    assert keyring.epoch_key("c001", KeyClass.CLINICAL, datetime(2027, 5, 31, tzinfo=UTC))
    with pytest.raises(KeyringError):
        keyring.epoch_key("c001", KeyClass.CLINICAL, datetime(2027, 8, 1, tzinfo=UTC))


def test_private_files_can_be_read_by_their_owner_only(keyring: Keyring) -> None:
    private = [path for path in keyring.directory.iterdir() if path.name != "keyring.json"]
    assert len(private) == 6
    assert all(path.stat().st_mode & 0o077 == 0 for path in private)


def test_no_key_is_in_keyring_json(keyring: Keyring) -> None:
    public = (keyring.directory / "keyring.json").read_text()
    slots = (keyring.directory / "slots.bin").read_bytes()
    assert not any(slots[at : at + 32].hex() in public for at in range(0, len(slots), 32))


def test_keyed_hashes_of_two_purposes_and_two_clinics_cannot_be_joined(keyring: Keyring) -> None:
    one, two = keyring.identity("c001"), keyring.identity("c002")
    assert len({one.mac("content", b"x"), one.mac("person", b"x"), two.mac("content", b"x")}) == 3
    assert one.mac("a", b"xy", b"z") != one.mac("a", b"x", b"yz")


def test_processes_that_issue_at_once_agree_on_every_key(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from datetime import datetime, UTC; from pipeline.keyring import issue;"
        "from pipeline.topology import Edge; print('up', flush=True); sys.stdin.readline();"
        "issue(Path(sys.argv[1]), ['c001'], [Edge('c001', 't1')], datetime(2026, 5, 12, tzinfo=UTC))"
    )
    words = [sys.executable, "-c", code, str(tmp_path / "keys")]
    started = [Popen(words, stdin=PIPE, stdout=PIPE, text=True) for _ in range(4)]
    for process in started:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
    for process in started:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.wait(60) for process in started] == [0] * 4
    for process in started:
        process.communicate()
    ring = Keyring(tmp_path / "keys")
    assert len({key.slot for key in ring.ring.epochs}) == len(ring.ring.epochs) == 43
    for key in ring.ring.epochs:
        raw = ring.private_key(bytes.fromhex(key.identifier))
        assert raw
        assert X25519PrivateKey.from_private_bytes(raw).public_key().public_bytes_raw().hex() == key.public
