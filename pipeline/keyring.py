"""Which keys are there, and where do the private ones lie?

`keyring.json` holds public parts only and may be read by edges and stand in backups. `slots.bin` holds the centre's
private keys in fixed 32-byte slots, overwritten in place when an epoch is destroyed. `identity.<clinic>.key` is the
clinic's identity key, `edge.<clinic>.<edge>.key` an edge's private key, `signing.key` the key that signs certificate
heads. All private files have mode 0600. Design section 6.
"""

import json
import os
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import PermanentError
from pipeline.sealing import STANDING_EPOCH, IdentityKey, KeyClass, epoch_of, key_id
from pipeline.topology import Edge

SLOT = 32
MONTHS_AHEAD: Final = 12


class KeyringError(PermanentError):
    """A key file is missing, unreadable or damaged. Names the file, never its content."""

    def __init__(self, detail: str) -> None:
        super().__init__("keys", detail)


class EpochKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    clinic: str
    key_class: KeyClass
    epoch: str
    public: str
    """32 bytes, hex."""
    slot: int
    destroyed_at: datetime | None = None


class EdgeKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    clinic: str
    edge: str
    public: str


class Ring(BaseModel):
    """What `keyring.json` says."""

    model_config = ConfigDict(frozen=True)

    epochs: tuple[EpochKey, ...] = ()
    edges: tuple[EdgeKey, ...] = ()
    signing: str = ""


class Keyring:
    """The keys in one directory. Private keys are read when asked for and never kept in a list or shown."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ring = _read_ring(directory)
        self._index()

    def __repr__(self) -> str:
        return f"Keyring({str(self.directory)!r})"

    def _index(self) -> None:
        self._epochs = {(e.clinic, e.key_class, e.epoch): e for e in self._ring.epochs if e.destroyed_at is None}
        self._slots = {key_id(bytes.fromhex(e.public)): e.slot for e in self._ring.epochs if e.destroyed_at is None}
        self._edges = {(e.clinic, e.edge): bytes.fromhex(e.public) for e in self._ring.edges}
        self._edge_ids = {key_id(public): name for name, public in self._edges.items()}

    def reload(self) -> None:
        """Read `keyring.json` again; for a process that met a month it does not know."""
        self._ring = _read_ring(self.directory)
        self._index()

    def epoch_key(self, clinic: str, key_class: KeyClass, at: datetime) -> bytes:
        """Return the public key to seal to.

        Raises:
            KeyringError: no key was issued for that month.
        """
        name = (clinic, key_class, epoch_of(key_class, at))
        if name not in self._epochs:
            self.reload()
        if name not in self._epochs:
            raise KeyringError(f"no {key_class} key of clinic {clinic} for {name[2]}")
        return bytes.fromhex(self._epochs[name].public)

    def edge_key(self, clinic: str, edge: str) -> bytes:
        """Return an edge's public key."""
        if (clinic, edge) not in self._edges:
            self.reload()
        try:
            return self._edges[clinic, edge]
        except KeyError:
            raise KeyringError(f"no key of edge {clinic}/{edge}") from None

    def identity(self, clinic: str) -> IdentityKey:
        """Return the clinic's identity key."""
        return IdentityKey(self._read(f"identity.{clinic}.key"))

    def private_key(self, identifier: bytes) -> bytes | None:
        """Find a private key that lies here: the centre's slot, or an edge's own file."""
        if identifier in self._slots:
            return self._read_slot(self._slots[identifier])
        if identifier in self._edge_ids:
            path = self.directory / "edge.{}.{}.key".format(*self._edge_ids[identifier])
            return path.read_bytes() if path.exists() else None
        return None

    def _read_slot(self, slot: int) -> bytes | None:
        path = self.directory / "slots.bin"
        if not path.exists():
            return None
        with path.open("rb") as slots:
            slots.seek(slot * SLOT)
            raw = slots.read(SLOT)
        return raw if len(raw) == SLOT else None

    def _read(self, name: str) -> bytes:
        try:
            return (self.directory / name).read_bytes()
        except OSError as error:
            raise KeyringError(f"{name}: {error.strerror}") from None

    @cached_property
    def signing_key(self) -> Ed25519PrivateKey:
        return Ed25519PrivateKey.from_private_bytes(self._read("signing.key"))

    @property
    def verifying_key(self) -> Ed25519PublicKey:
        return Ed25519PublicKey.from_public_bytes(bytes.fromhex(self._ring.signing))

    @property
    def ring(self) -> Ring:
        return self._ring


def _read_ring(directory: Path) -> Ring:
    try:
        return Ring.model_validate_json((directory / "keyring.json").read_bytes())
    except OSError as error:
        raise KeyringError(f"keyring.json: {error.strerror}") from None
    except ValidationError:
        raise KeyringError("keyring.json: damaged") from None


def issue(directory: Path, clinics: Iterable[str], edges: Iterable[Edge], now: datetime) -> None:
    """Make every key that is missing, up to twelve months ahead; leaves what is there. Run by the centre only."""
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    ring = _read_ring(directory) if (directory / "keyring.json").exists() else Ring()
    epochs, edge_keys = list(ring.epochs), list(ring.edges)
    have = {(e.clinic, e.key_class, e.epoch) for e in epochs}
    for clinic in clinics:
        _write_secret(directory / f"identity.{clinic}.key", os.urandom(32))
        for key_class in KeyClass:
            for epoch in _epochs_ahead(key_class, now):
                if (clinic, key_class, epoch) not in have:
                    epochs.append(_new_epoch(directory, clinic, key_class, epoch, len(epochs)))
    known = {(e.clinic, e.edge) for e in edge_keys}
    edge_keys.extend(_new_edge(directory, edge) for edge in edges if (edge.clinic, edge.edge) not in known)
    _write_secret(directory / "signing.key", Ed25519PrivateKey.generate().private_bytes_raw())
    signing = Ed25519PrivateKey.from_private_bytes((directory / "signing.key").read_bytes())
    made = Ring(epochs=tuple(epochs), edges=tuple(edge_keys), signing=signing.public_key().public_bytes_raw().hex())
    if made != ring:
        _replace(directory / "keyring.json", json.dumps(made.model_dump(mode="json"), indent=1).encode())


def _epochs_ahead(key_class: KeyClass, now: datetime) -> Sequence[str]:
    if key_class is KeyClass.STANDING:
        return (STANDING_EPOCH,)
    first = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first - 1, first + MONTHS_AHEAD + 1)]


def _new_epoch(directory: Path, clinic: str, key_class: KeyClass, epoch: str, slot: int) -> EpochKey:
    private = X25519PrivateKey.generate()
    path = directory / "slots.bin"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, private.private_bytes_raw(), slot * SLOT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    public = private.public_key().public_bytes_raw().hex()
    return EpochKey(clinic=clinic, key_class=key_class, epoch=epoch, public=public, slot=slot)


def _new_edge(directory: Path, edge: Edge) -> EdgeKey:
    path = directory / f"edge.{edge.clinic}.{edge.edge}.key"
    _write_secret(path, X25519PrivateKey.generate().private_bytes_raw())
    public = X25519PrivateKey.from_private_bytes(path.read_bytes()).public_key().public_bytes_raw()
    return EdgeKey(clinic=edge.clinic, edge=edge.edge, public=public.hex())


def _write_secret(path: Path, secret: bytes) -> None:
    """Write a private file once; an existing one stays."""
    if path.exists():
        return
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
