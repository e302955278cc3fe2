"""Which keys are there, and where do the private ones lie?

`keyring.json` holds public parts only and may be read by edges and stand in backups. `slots.bin` holds the centre's
private keys in fixed 32-byte slots, overwritten in place when an epoch is destroyed. `identity.<clinic>.key` is the
clinic's identity key, `edge.<clinic>.<edge>.key` an edge's private key, `signing.key` the key that signs certificate
heads, `vendor.<vendor>.key` the secret of a vendor's pseudonyms. All private files have mode 0600. Design section 6.

One process at a time changes keys (a lock on the directory). A process that reads sees a change at its next use of a
key, because `version` follows `keyring.json`.
"""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import PermanentError, UnfitStateError
from pipeline.sealing import STANDING_EPOCH, IdentityKey, KeyClass, epoch_of, key_id
from pipeline.topology import Edge

SLOT = 32
HASHING: Final = 32
"""Bytes of a key behind keyed hashes."""
MONTHS_AHEAD: Final = 12
RING_FORM: Final = 1
"""Of `keyring.json`. A newer one is never written over: what this release does not know of it would be lost."""


class KeyringError(PermanentError):
    """A key file is missing, unreadable or damaged. Names the file, never its content."""

    def __init__(self, detail: str) -> None:
        super().__init__("keys", detail)


class NewerRingError(UnfitStateError):
    """`keyring.json` was written by a newer release."""

    def __init__(self) -> None:
        super().__init__(
            "keyring.json is of a newer release; nothing was touched: install that release, see `onshi --version`"
            " (keyring.json は新しい版で作成されたため何も変更していません。元の版のプログラムを導入してください)"
        )


class EpochKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    clinic: str
    key_class: KeyClass
    epoch: str
    public: str
    """32 bytes, hex."""
    slot: int
    generation: int = 0
    """Grows when a month's key is replaced before its time; sealing uses the newest, opening any."""
    replaced_at: datetime | None = None
    """When another standing key took its place; it opens until nothing is sealed to it any more."""
    destroying_at: datetime | None = None
    """When its destruction began. From then on nothing is sealed to it or opened with it; a crash is taken up again."""
    destroyed_at: datetime | None = None

    @property
    def identifier(self) -> str:
        """The id of its public key, as `sealing.recipient_of` names it."""
        return key_id(bytes.fromhex(self.public)).hex()

    @property
    def is_usable(self) -> bool:
        return self.destroying_at is None and self.destroyed_at is None


class EdgeKey(BaseModel):
    model_config = ConfigDict(frozen=True)

    clinic: str
    edge: str
    public: str


class Ring(BaseModel):
    """What `keyring.json` says."""

    model_config = ConfigDict(frozen=True)

    form: int = RING_FORM
    epochs: tuple[EpochKey, ...] = ()
    edges: tuple[EdgeKey, ...] = ()
    signing: str = ""


class Keyring:
    """The keys in one directory. Private keys are read when asked for and never kept in a list or shown."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._ring, self._version = read_ring(directory)
        self._index()

    def __repr__(self) -> str:
        return f"Keyring({str(self.directory)!r})"

    def _index(self) -> None:
        usable = sorted((e for e in self._ring.epochs if e.is_usable), key=lambda e: e.generation)
        self._epochs = {(e.clinic, e.key_class, e.epoch): e for e in usable}
        self._slots = {bytes.fromhex(e.identifier): e.slot for e in self._ring.epochs if e.is_usable}
        self._edges = {(e.clinic, e.edge): bytes.fromhex(e.public) for e in self._ring.edges}
        self._edge_ids = {key_id(public): name for name, public in self._edges.items()}

    def reload(self) -> None:
        """Read `keyring.json` again; for a process that met a month it does not know."""
        self._ring, self._version = read_ring(self.directory)
        self._index()

    def version(self) -> object:
        """Return what changes whenever `keyring.json` was replaced, by any process; reads it again when it was."""
        # One look at a file's status: cheap beside opening a seal, and the only thing that reaches every process.
        try:
            if _version_of((self.directory / "keyring.json").stat()) != self._version:
                self.reload()
        except OSError as error:
            raise KeyringError(f"keyring.json: {error.strerror}") from None
        return self._version

    def epoch_key(self, clinic: str, key_class: KeyClass, at: datetime) -> bytes:
        """Return the public key to seal to.

        Raises:
            KeyringError: no key was issued for that month.
        """
        name = (clinic, key_class, epoch_of(key_class, at))
        # A key that was replaced is still here: only the file says so. While it is away, what is known still seals.
        with contextlib.suppress(KeyringError):
            self.version()
        if name not in self._epochs:
            self.reload()
        if name not in self._epochs:
            raise KeyringError(f"no {key_class} key of clinic {clinic} for {name[2]}")
        return bytes.fromhex(self._epochs[name].public)

    def standing_id(self, clinic: str) -> str:
        """Name the key that is sealed to where there is no month, as `recipient_of` does; empty when there is none."""
        with contextlib.suppress(KeyringError):
            self.version()
        held = self._epochs.get((clinic, KeyClass.STANDING, STANDING_EPOCH))
        return held.identifier if held else ""

    def edge_key(self, clinic: str, edge: str) -> bytes:
        """Return an edge's public key."""
        # Its machine may have been replaced: as with a month's key, only the file says so.
        with contextlib.suppress(KeyringError):
            self.version()
        if (clinic, edge) not in self._edges:
            self.reload()
        try:
            return self._edges[clinic, edge]
        except KeyError:
            raise KeyringError(f"no key of edge {clinic}/{edge}") from None

    def identity(self, clinic: str) -> IdentityKey:
        """Return the clinic's identity key."""
        return IdentityKey(self._read_hashing(f"identity.{clinic}.key"))

    def vendor(self, vendor: str) -> IdentityKey:
        """Return the secret behind the pseudonyms of one vendor."""
        return IdentityKey(self._read_hashing(f"vendor.{vendor}.key"))

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
        # A slot that no backup brought back is a hole between others.
        return raw if len(raw) == SLOT and any(raw) else None

    def _read_hashing(self, name: str) -> bytes:
        secret = self._read(name)
        if len(secret) < HASHING:
            # Hashes with no key, or part of one, could be made by anybody.
            raise KeyringError(f"{name}: damaged")
        return secret

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


def read_ring(directory: Path) -> tuple[Ring, object]:
    """Read `keyring.json`, and what tells that it was replaced since."""
    try:
        with (directory / "keyring.json").open("rb") as source:
            version = _version_of(os.fstat(source.fileno()))
            ring = Ring.model_validate_json(source.read())
    except OSError as error:
        raise KeyringError(f"keyring.json: {error.strerror}") from None
    except ValidationError:
        raise KeyringError("keyring.json: damaged") from None
    if ring.form > RING_FORM:
        raise NewerRingError
    return ring, version


def _version_of(status: os.stat_result) -> object:
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size


@contextlib.contextmanager
def changing(directory: Path) -> Iterator[None]:
    """Let no other process change keys meanwhile: two that drew keys for one slot would lose one of them."""
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def issue(directory: Path, clinics: Iterable[str], edges: Iterable[Edge], now: datetime) -> None:
    """Make every key that is missing, up to twelve months ahead; leaves what is there. Run by the centre only.

    Harmless to call often and from several processes at once.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    with changing(directory):
        _issue(directory, clinics, edges, now)


def _issue(directory: Path, clinics: Iterable[str], edges: Iterable[Edge], now: datetime) -> None:
    ring = read_ring(directory)[0] if (directory / "keyring.json").exists() else Ring()
    epochs, edge_keys = list(ring.epochs), list(ring.edges)
    have = {(e.clinic, e.key_class, e.epoch) for e in epochs}
    wanted = [(clinic, key_class) for clinic in clinics for key_class in KeyClass]
    for clinic, _ in wanted:
        write_secret(directory / f"identity.{clinic}.key", os.urandom(32))
    names = [(clinic, of, epoch) for clinic, of in wanted for epoch in _epochs_ahead(of, now)]
    epochs.extend(new_epochs(directory, [name for name in names if name not in have], len(epochs)))
    known = {(e.clinic, e.edge) for e in edge_keys}
    edge_keys.extend(new_edge(directory, edge) for edge in edges if (edge.clinic, edge.edge) not in known)
    write_secret(directory / "signing.key", Ed25519PrivateKey.generate().private_bytes_raw())
    signing = Ed25519PrivateKey.from_private_bytes((directory / "signing.key").read_bytes())
    made = Ring(epochs=tuple(epochs), edges=tuple(edge_keys), signing=signing.public_key().public_bytes_raw().hex())
    if made != ring:
        write_ring(directory, made)


def issue_vendors(directory: Path, vendors: Iterable[str]) -> None:
    """Draw the secret of every vendor that has none. Run by the centre only; harmless to repeat."""
    with changing(directory):
        for vendor in vendors:
            write_secret(directory / f"vendor.{vendor}.key", os.urandom(32))


def destroy(  # noqa: PLR0917 - the name of a key, and when
    directory: Path, clinic: str, key_class: KeyClass, epoch: str, now: datetime, identifier: str | None = None
) -> EpochKey:
    """Destroy one private key for ever: intent, overwrite in place, flush, read back, note. Repeatable.

    Where an epoch's key was replaced, `identifier` says which; of standing keys, only a replaced one.
    `keyring.json` says so last, so that a key noted as destroyed is. Who calls it has made sure that nothing sealed
    to it is still needed.

    Raises:
        KeyringError: there is no such epoch, it is the standing one, or its slot could not be overwritten.
    """
    with changing(directory):
        ring = read_ring(directory)[0]
        name = (clinic, key_class, epoch)
        named = (e for e in ring.epochs if (e.clinic, e.key_class, e.epoch) == name)
        key = next((e for e in named if identifier in (None, e.identifier)), None)
        if key is None or (key_class is KeyClass.STANDING and (identifier is None or key.replaced_at is None)):
            raise KeyringError(f"no {key_class} key of clinic {clinic} for {epoch} that could be destroyed")
        if key.destroyed_at is not None:
            return key
        begun = key.model_copy(update={"destroying_at": key.destroying_at or now})
        write_ring(directory, _with(ring, begun))
        _overwrite_slot(directory / "slots.bin", key)
        ended = begun.model_copy(update={"destroyed_at": now})
        write_ring(directory, _with(ring, ended))
        return ended


def _with(ring: Ring, key: EpochKey) -> Ring:
    return ring.model_copy(update={"epochs": tuple(key if e.slot == key.slot else e for e in ring.epochs)})


def _overwrite_slot(path: Path, key: EpochKey) -> None:
    noise = os.urandom(SLOT)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.pwrite(descriptor, noise, key.slot * SLOT)
            os.fsync(descriptor)
            # Read back from the medium, not from the page just written.
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            found = os.pread(descriptor, SLOT, key.slot * SLOT)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise KeyringError(f"slots.bin: {error.strerror}") from None
    if found != noise:
        raise KeyringError("slots.bin: reads back otherwise than it was written")


def _epochs_ahead(key_class: KeyClass, now: datetime) -> Sequence[str]:
    if key_class is KeyClass.STANDING:
        return (STANDING_EPOCH,)
    first = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1
    return [f"{month // 12:04}-{month % 12 + 1:02}" for month in range(first - 1, first + MONTHS_AHEAD + 1)]


def new_epochs(directory: Path, names: Sequence[tuple[str, KeyClass, str]], first: int) -> list[EpochKey]:
    """Draw a key for each name and write them into the slots from `first` on, flushed once."""
    made = [X25519PrivateKey.generate() for _ in names]
    descriptor = os.open(directory / "slots.bin", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        os.pwrite(descriptor, b"".join(private.private_bytes_raw() for private in made), first * SLOT)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return [
        EpochKey(
            clinic=clinic, key_class=of, epoch=epoch, public=private.public_key().public_bytes_raw().hex(), slot=at
        )
        for at, ((clinic, of, epoch), private) in enumerate(zip(names, made, strict=True), start=first)
    ]


def new_edge(directory: Path, edge: Edge) -> EdgeKey:
    """Draw an edge's pair into `directory`, unless its private half lies there already."""
    path = directory / f"edge.{edge.clinic}.{edge.edge}.key"
    write_secret(path, X25519PrivateKey.generate().private_bytes_raw())
    public = X25519PrivateKey.from_private_bytes(path.read_bytes()).public_key().public_bytes_raw()
    return EdgeKey(clinic=edge.clinic, edge=edge.edge, public=public.hex())


def write_secret(path: Path, secret: bytes) -> None:
    """Write a private file once, whole or not at all; an existing one stays."""
    if path.exists():
        return
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as out:
        out.write(secret)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)


def write_ring(directory: Path, ring: Ring) -> None:
    """Replace `keyring.json` whole. Called under `changing`."""
    _replace(directory / "keyring.json", json.dumps(ring.model_dump(mode="json"), indent=1).encode())


def _replace(path: Path, content: bytes) -> None:
    partial = path.with_suffix(".partial")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
