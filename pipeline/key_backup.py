"""How do keys outlive the disk they lie on, without reviving what was destroyed?

A backup is one file: every private half that stands, encrypted (AES-256-GCM) under a passphrase (scrypt). It holds no
destroyed epoch. Restoring into a live ring gives back what is missing and refuses what the ring says was destroyed,
even when the backup is older than the destruction. So `keyring.json`, which is public and stands in ordinary backups,
is put back first. After a destruction, older backup files are to be made anew and the former ones destroyed.
"""

import base64
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.keyring import SLOT, EpochKey, KeyringError, Ring, changing, read_ring, write_ring, write_secret

SHORTEST_PASSPHRASE: Final = 12
_MAGIC: Final = b"ONSHI-KEYS-1\n"
_SALT, _NONCE = 16, 12
_COST: Final = 1 << 15


class _Content(BaseModel):
    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)

    ring: Ring
    slots: dict[str, str] = Field(repr=False)
    """Identifier of an epoch's key → its private half."""
    files: dict[str, str] = Field(repr=False)


@dataclass(frozen=True, slots=True)
class Restored:
    """What came back: epochs, files, and the epochs that were refused because they were destroyed here.

    `missing`: what the ring names and the backup is too old for. Nothing that is sealed to it opens, now or when its
    month comes.
    """

    epochs: int
    files: int
    refused: tuple[EpochKey, ...]
    missing: tuple[EpochKey, ...]


def passphrase_of(path: Path) -> bytes:
    """Read a passphrase from a file.

    Raises:
        KeyringError: it cannot be read, or is too short to protect anything.
    """
    try:
        passphrase = path.read_bytes().strip()
    except OSError as error:
        raise KeyringError(f"{path.name}: {error.strerror}") from None
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise KeyringError(f"{path.name}: a passphrase has at least {SHORTEST_PASSPHRASE} characters")
    return passphrase


def backup(directory: Path, out: Path, passphrase: bytes) -> int:
    """Write every private half that stands into a new file; returns how many epochs are in it."""
    with changing(directory):
        ring = read_ring(directory)[0]
        slots = (directory / "slots.bin").read_bytes()
        files = {path.name: _text(path.read_bytes()) for path in sorted(directory.glob("*.key"))}
    # An older backup may have left a slot empty.
    halves = {key.identifier: _text(half) for key in ring.epochs if key.is_usable and (half := _half(slots, key))}
    salt, nonce = os.urandom(_SALT), os.urandom(_NONCE)
    content = _Content(ring=ring, slots=halves, files=files).model_dump_json().encode()
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, content, _MAGIC)
    write_new(out, _MAGIC + salt + nonce + sealed)
    return len(halves)


def restore(directory: Path, source: Path, passphrase: bytes) -> Restored:
    """Give back what is missing here. What was destroyed stays destroyed, and what stands stays as it is. Repeatable.

    Raises:
        KeyringError: it is no backup, or the passphrase is another.
    """
    content = _open(source, passphrase)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with changing(directory):
        has_ring = (directory / "keyring.json").exists()
        ring = read_ring(directory)[0] if has_ring else content.ring
        gone = {key.identifier for key in (*ring.epochs, *content.ring.epochs) if not key.is_usable}
        stands = {key.identifier: key for key in ring.epochs}
        # A release before wrote empty halves for keys that were not there.
        held_then = {name for name, half in content.slots.items() if any(base64.b64decode(half))}
        back = [key for key in content.ring.epochs if key.identifier in held_then - gone]
        epochs, next_slot = list(ring.epochs), 1 + max((key.slot for key in ring.epochs), default=-1)
        halves: dict[int, bytes] = {}
        for key in back:
            held = stands.get(key.identifier)
            if held is None:
                held = key.model_copy(update={"slot": next_slot})
                # Before those made since: what stands here is what is sealed to.
                epochs.insert(0, held)
                next_slot += 1
            elif key.replaced_at and not held.replaced_at:
                # A ring from before the replacement: else the former key would never end.
                epochs[epochs.index(held)] = held.model_copy(update={"replaced_at": key.replaced_at})
            halves[held.slot] = _private(content.slots[key.identifier], key)
        _fill(directory / "slots.bin", halves)
        missing = [name for name in content.files if not (directory / name).exists()]
        for name in missing:
            write_secret(directory / Path(name).name, base64.b64decode(content.files[name]))
        write_ring(directory, ring.model_copy(update={"epochs": tuple(epochs)}))
        slots = (directory / "slots.bin").read_bytes()
    lost = tuple(key for key in epochs if key.is_usable and not _half(slots, key))
    refused = tuple(key for key in content.ring.epochs if key.identifier in content.slots and key.identifier in gone)
    return Restored(len(halves), len(missing), refused, lost)


def _half(slots: bytes, key: EpochKey) -> bytes:
    """Return the private half of a key; nothing where its slot is empty or was never written."""
    half = slots[key.slot * SLOT : (key.slot + 1) * SLOT] if key.slot >= 0 else b""
    return half if any(half) else b""


def _open(source: Path, passphrase: bytes) -> _Content:
    try:
        raw = source.read_bytes()
    except OSError as error:
        raise KeyringError(f"{source.name}: {error.strerror}") from None
    if not raw.startswith(_MAGIC):
        raise KeyringError(f"{source.name}: is no backup of keys")
    at = len(_MAGIC)
    salt, nonce, sealed = raw[at : at + _SALT], raw[at + _SALT : at + _SALT + _NONCE], raw[at + _SALT + _NONCE :]
    try:
        return _Content.model_validate_json(AESGCM(_key(passphrase, salt)).decrypt(nonce, sealed, _MAGIC))
    except (InvalidTag, ValidationError):
        raise KeyringError(f"{source.name}: is damaged, or the passphrase is another") from None


def _private(text: str, key: EpochKey) -> bytes:
    half = base64.b64decode(text)
    if X25519PrivateKey.from_private_bytes(half).public_key().public_bytes_raw().hex() != key.public:
        raise KeyringError(f"the backup's {key.key_class} key of {key.clinic} for {key.epoch} is not that key")
    return half


def _fill(path: Path, halves: dict[int, bytes]) -> None:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        for slot, half in halves.items():
            os.pwrite(descriptor, half, slot * SLOT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_new(path: Path, content: bytes) -> None:
    """Write a private file that must not be there yet."""
    if path.exists():
        raise KeyringError(f"{path.name}: is there already; a backup is never overwritten")
    write_secret(path, content)


def _key(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(passphrase)


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()
