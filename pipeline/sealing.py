"""Who can read what, and how is it kept from everybody else?

Every content is encrypted with a data key of its own (AES-256-GCM), and the data key is wrapped to a public key
(X25519, HKDF-SHA256): of a month's epoch of a clinic, of the standing epoch, or of an edge. Associated data binds
clinic and context (a file id, a row's name), so that nothing can be passed off as another's.

Sealed form: `O1` · key id (8) · ephemeral public key (32) · wrap nonce (12) · wrapped data key (48) · nonce (12) ·
ciphertext with tag. Rewrapping replaces only what stands before the last nonce. Sources: design section 6,
security-and-reliability section 6.
"""

import hmac
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from hashlib import sha256
from os import urandom
from typing import Final, Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from pipeline.edge_words import Refusal
from pipeline.errors import PermanentError

_MAGIC: Final = b"O1"
_ID = 8
_PUBLIC = 32
_NONCE = 12
_WRAPPED = 48
_HEAD = len(_MAGIC) + _ID + _PUBLIC + _NONCE + _WRAPPED
_REUSE = 256
"""How many data keys one ephemeral key wraps before a new one is drawn."""


class KeyClass(StrEnum):
    """What a key protects; each class has one epoch a month, `standing` one for ever (rotated by rewrapping)."""

    ORIGINAL = "original"
    CLINICAL = "clinical"
    CONFIRMATION = "confirmation"
    STANDING = "standing"


STANDING_EPOCH = "standing"


def epoch_of(key_class: KeyClass, at: datetime) -> str:
    """Name the epoch an instant (aware UTC) falls into: `YYYY-MM`, or `standing`."""
    return STANDING_EPOCH if key_class is KeyClass.STANDING else f"{at:%Y-%m}"


class UnsealError(PermanentError):
    """It cannot be opened: the key is unknown or destroyed, or the content was changed or belongs elsewhere."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)


def key_id(public: bytes) -> bytes:
    """Name a public key: the first 8 bytes of its SHA-256."""
    return sha256(public).digest()[:_ID]


def recipient_of(sealed: bytes) -> str:
    """Name the key something is sealed to, as 16 hex digits; tells what a destroyed epoch takes with it."""
    return sealed[len(_MAGIC) : len(_MAGIC) + _ID].hex()


@dataclass(slots=True)
class _Ephemeral:
    public: bytes
    wrapping: AESGCM
    left: int


class Sealer:
    """Seals to public keys. Thread-safe. Draws a fresh ephemeral key every 256 seals to one key."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ephemeral: dict[bytes, _Ephemeral] = {}

    def seal(self, public: bytes, clinic: str, context: str, content: bytes) -> bytes:
        """Seal content to the holder of `public` (32 bytes), bound to clinic and context."""
        binding = _binding(clinic, context)
        data_key, wrap_nonce, nonce = urandom(32), urandom(_NONCE), urandom(_NONCE)
        sender = self._sender(public)
        wrapped = sender.wrapping.encrypt(wrap_nonce, data_key, binding)
        head = _MAGIC + key_id(public) + sender.public + wrap_nonce + wrapped
        return head + nonce + AESGCM(data_key).encrypt(nonce, content, binding)

    def _sender(self, public: bytes) -> _Ephemeral:
        with self._lock:
            held = self._ephemeral.get(public)
            if held is None or held.left <= 0:
                private = X25519PrivateKey.generate()
                own = private.public_key().public_bytes_raw()
                shared = private.exchange(X25519PublicKey.from_public_bytes(public))
                held = self._ephemeral[public] = _Ephemeral(own, AESGCM(_wrapping_key(shared, own, public)), _REUSE)
            held.left -= 1
            return held


class PrivateKeys(Protocol):
    """Where private keys are found by the id of their public key."""

    def private_key(self, identifier: bytes) -> bytes | None:
        """Return 32 raw bytes, or None when it is not here or has been destroyed."""

    def version(self) -> object:
        """Return what differs whenever a key may have come or been destroyed, by whichever process."""


class Opener:
    """Opens what was sealed to keys it can find. Thread-safe."""

    def __init__(self, keys: PrivateKeys) -> None:
        self._keys = keys
        self._lock = threading.Lock()
        self._wrapping: OrderedDict[bytes, AESGCM] = OrderedDict()
        self._version: object = None

    def open(self, clinic: str, context: str, sealed: bytes) -> bytes:
        """Return the content.

        Raises:
            UnsealError: `key_missing`, `not_sealed`, or `seal_broken` (changed, or another clinic's or context's).
        """
        binding = _binding(clinic, context)
        data_key = self._data_key(sealed, binding)
        rest = sealed[_HEAD:]
        try:
            return AESGCM(data_key).decrypt(rest[:_NONCE], rest[_NONCE:], binding)
        except (InvalidTag, ValueError):
            raise UnsealError(Refusal.SEAL_BROKEN) from None

    def rewrap(self, sealer: Sealer, public: bytes, clinic: str, context: str, sealed: bytes) -> bytes:
        """Wrap the data key to another public key; the ciphertext stays as it is."""
        binding = _binding(clinic, context)
        data_key, wrap_nonce = self._data_key(sealed, binding), urandom(_NONCE)
        sender = sealer._sender(public)  # noqa: SLF001 - the two halves of one format
        wrapped = sender.wrapping.encrypt(wrap_nonce, data_key, binding)
        return _MAGIC + key_id(public) + sender.public + wrap_nonce + wrapped + sealed[_HEAD:]

    def forget(self) -> None:
        """Drop every derived key from memory; for use after an epoch was destroyed."""
        with self._lock:
            self._wrapping.clear()

    def _data_key(self, sealed: bytes, binding: bytes) -> bytes:
        if len(sealed) < _HEAD + _NONCE or sealed[: len(_MAGIC)] != _MAGIC:
            raise UnsealError(Refusal.NOT_SEALED)
        at = len(_MAGIC)
        identifier, public = sealed[at : at + _ID], sealed[at + _ID : at + _ID + _PUBLIC]
        nonce, wrapped = sealed[_HEAD - _WRAPPED - _NONCE : _HEAD - _WRAPPED], sealed[_HEAD - _WRAPPED : _HEAD]
        try:
            return self._unwrapping(identifier, public).decrypt(nonce, wrapped, binding)
        except InvalidTag:
            raise UnsealError(Refusal.SEAL_BROKEN) from None

    def _unwrapping(self, identifier: bytes, public: bytes) -> AESGCM:
        name = identifier + public
        version = self._keys.version()
        with self._lock:
            if version != self._version:
                # A key may have been destroyed, here or by another process: what was derived from it goes with it.
                self._wrapping.clear()
                self._version = version
            held = self._wrapping.get(name)
            if held is not None:
                self._wrapping.move_to_end(name)
                return held
        raw = self._keys.private_key(identifier)
        if raw is None:
            raise UnsealError(Refusal.KEY_MISSING)
        private = X25519PrivateKey.from_private_bytes(raw)
        recipient = private.public_key().public_bytes_raw()
        if key_id(recipient) != identifier:
            raise UnsealError(Refusal.KEY_MISSING)  # its slot was overwritten
        made = AESGCM(_wrapping_key(private.exchange(X25519PublicKey.from_public_bytes(public)), public, recipient))
        with self._lock:
            if version == self._version:
                self._wrapping[name] = made
            while len(self._wrapping) > 1024:  # noqa: PLR2004 - bounds memory; one entry serves up to 256 contents
                self._wrapping.popitem(last=False)
        return made


def _wrapping_key(shared: bytes, ephemeral: bytes, recipient: bytes) -> bytes:
    return HKDF(SHA256(), 32, None, b"onshi wrap v1" + ephemeral + recipient).derive(shared)


def _binding(clinic: str, context: str) -> bytes:
    return f"{clinic}\x1f{context}".encode()


class IdentityKey:
    """The key behind the keyed hashes of one clinic; shared by its edges and the centre, never rotated by month."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def __repr__(self) -> str:
        return "IdentityKey(...)"

    def mac(self, purpose: str, *parts: bytes) -> str:
        """Hash parts for one purpose: 64 hex digits. Different purposes cannot be joined."""
        digest = hmac.new(self._secret, purpose.encode() + b"\x1f", sha256)
        for part in parts:
            digest.update(len(part).to_bytes(8, "big") + part)
        return digest.hexdigest()
