"""How does a record reach a vendor, and nobody on the way?

Compact JWE (RFC 7516) to the public key that the vendor registered: ECDH-ES+A256KW with A256GCM. The key file is a
JWK or a PEM; `kid` is the JWK's own, else its thumbprint (RFC 7638). A file that was replaced is read again.
"""

import json
from pathlib import Path
from typing import Any, Final

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from pipeline.errors import PermanentError
from pipeline.oqs.records import Record

ALGORITHM: Final = "ECDH-ES+A256KW"
ENCRYPTION: Final = "A256GCM"
_CURVES: Final = frozenset({"P-256", "P-384", "P-521", "X25519", "X448"})
_ASIDE: Final = frozenset({"unknown", "duplicates"})
"""What our parser did not understand stands aside of a record; nobody was granted that."""

Key = ECKey | OKPKey


class VendorKeyError(PermanentError):
    """A vendor's public key cannot be used. Its own events wait; nobody else's do."""

    def __init__(self, vendor: str, detail: str) -> None:
        super().__init__("vendor_key", f"{vendor}: {detail}")


class VendorKeys:
    """The registered public keys, each read again when its file was replaced."""

    def __init__(self) -> None:
        self._held: dict[Path, tuple[object, Key]] = {}

    def encrypt(self, vendor: str, path: Path | None, content: bytes) -> str:
        """Encrypt to a vendor's key.

        Raises:
            VendorKeyError: there is no such key, or it is none for this.
        """
        key = self.key(vendor, path)
        try:
            return _encrypt(key, content)
        except (JoseError, ValueError) as error:
            raise VendorKeyError(vendor, type(error).__name__) from None

    def key(self, vendor: str, path: Path | None) -> Key:
        """Read a vendor's key.

        Raises:
            VendorKeyError: there is no such key, or it is none for this.
        """
        if path is None:
            raise VendorKeyError(vendor, "no public key is registered")
        try:
            status = path.stat()
            version = (status.st_ino, status.st_mtime_ns, status.st_size)
            held = self._held.get(path)
            if held is None or held[0] != version:
                key = read_key(path.read_bytes())
                # Tried at once: what fails only with a record would let later events overtake the first.
                _encrypt(key, b"")
                held = self._held[path] = (version, key)
        except OSError as error:
            raise VendorKeyError(vendor, f"{path.name}: {error.strerror}") from None
        except (JoseError, ValueError, TypeError, KeyError) as error:
            raise VendorKeyError(vendor, f"{path.name}: {type(error).__name__}") from None
        return held[1]


def _encrypt(key: Key, content: bytes) -> str:
    header = {"alg": ALGORITHM, "enc": ENCRYPTION, "kid": key.thumbprint(), "cty": "application/json"}
    if kid := key.as_dict(private=False).get("kid"):
        header["kid"] = str(kid)
    return jwe.encrypt_compact(header, content, key, algorithms=[ALGORITHM, ENCRYPTION])


def read_key(content: bytes) -> Key:
    """Read a public key from a JWK or a PEM.

    Raises:
        ValueError: it is neither, is private, or is of a curve that ECDH-ES has no use for.
    """
    source: Any = json.loads(content) if content.lstrip().startswith(b"{") else content
    if isinstance(source, dict):
        key: Key = OKPKey.import_key(source) if source.get("kty") == "OKP" else ECKey.import_key(source)
    else:
        try:
            key = ECKey.import_key(content)
        except (ValueError, TypeError, JoseError):
            key = OKPKey.import_key(content)
    if key.is_private:
        raise ValueError("a private key; register the public one")
    if key.as_dict(private=False).get("crv") not in _CURVES:
        raise ValueError("its curve cannot agree on a key")
    return key


def record_content(handle: str, clinic: str, kind: str, revision: int, record: Record) -> bytes:
    """Write what is encrypted: the record, bound to the event it belongs to."""
    content = {
        "handle": handle,
        "clinic": clinic,
        "kind": kind,
        "revision": revision,
        "record": record.model_dump(mode="json", exclude_defaults=True, exclude=set(_ASIDE)),
    }
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
