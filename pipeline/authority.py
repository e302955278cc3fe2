"""Who signs the certificates of a group, and which of them still count?

A directory holds the private authority: `ca.key` (0600), `ca.crt`, `register/issued.json` (public: who, until when,
whether revoked; a folder of its own, so that a role may read it that must not come near the key) and `crl/`, the
revocation list under the name by which the broker looks it up for every handshake, so that a revocation counts without
a restart. Broker, edges, vendors and services get a pair each; a private key is written once, into the folder it is
for, and not kept here.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import sha1
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from pydantic import BaseModel, ConfigDict, ValidationError

from pipeline.errors import PermanentError

AUTHORITY_AGE: Final = timedelta(days=3650)
SERVER_AGE: Final = timedelta(days=397)
CLIENT_AGE: Final = timedelta(days=397)
CRL_AGE: Final = timedelta(days=3650)
"""Long: a list that runs out would lock every clinic out. It is written anew with every revocation and renewal."""
REGISTER: Final = "register/issued.json"
_FORMER_REGISTER: Final = "issued.json"
"""Where an authority of before has it, until it is next written."""
LONGEST_NAME: Final = 64
_BACKDATED: Final = timedelta(minutes=5)
"""A clinic's clock may be a little slow."""


class AuthorityError(PermanentError):
    """The authority is missing, damaged or asked for what it cannot do. Shows no key."""

    def __init__(self, detail: str) -> None:
        super().__init__("authority", detail)


class Purpose(StrEnum):
    SERVER = "server"
    CLIENT = "client"


class Issued(BaseModel):
    """One certificate that was signed."""

    model_config = ConfigDict(frozen=True)

    serial: str
    name: str
    purpose: Purpose
    hosts: tuple[str, ...] = ()
    not_after: datetime
    revoked_at: datetime | None = None


class _Register(BaseModel):
    model_config = ConfigDict(frozen=True)

    certificates: tuple[Issued, ...] = ()


class Authority:
    """A private authority in a directory. One process at a time signs (a lock on the directory)."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        try:
            self._certificate = x509.load_pem_x509_certificate((directory / "ca.crt").read_bytes())
        except (OSError, ValueError) as error:
            said = error.strerror if isinstance(error, OSError) else "damaged"
            raise AuthorityError(f"{directory}: ca.crt: {said} (`onshi ca init` makes one)") from None

    @property
    def certificate_file(self) -> Path:
        return self.directory / "ca.crt"

    @property
    def not_after(self) -> datetime:
        return self._certificate.not_valid_after_utc

    def issued(self) -> tuple[Issued, ...]:
        """List every certificate that was signed."""
        path, former = self.directory / REGISTER, self.directory / _FORMER_REGISTER
        try:
            source = former if former.exists() and not path.exists() else path
            return _Register.model_validate_json(source.read_bytes()).certificates
        except (OSError, ValidationError):
            raise AuthorityError("issued.json: missing or damaged") from None

    def standing(self, name: str, now: datetime) -> tuple[Issued, ...]:
        """List the certificates of a name that count now."""
        return tuple(
            each for each in self.issued() if each.name == name and not each.revoked_at and each.not_after > now
        )

    def issue(
        self,
        name: str,
        purpose: Purpose,
        out: Path,
        now: datetime,
        *,
        hosts: Sequence[str] = (),
        age: timedelta | None = None,
    ) -> Issued:
        """Draw a key pair and sign it; writes `<name>.key` (0600) and `<name>.crt` into `out`, in place of a former."""
        if len(name) > LONGEST_NAME:
            raise AuthorityError(f"{name}: is longer than the {LONGEST_NAME} characters a certificate's name may have")
        age = age or (SERVER_AGE if purpose is Purpose.SERVER else CLIENT_AGE)
        with self._changing():
            key = ec.generate_private_key(ec.SECP256R1())
            until = min(now + age, self.not_after)
            certificate = self._sign(name, key.public_key(), purpose, hosts, (now, until))
            made = Issued(
                serial=f"{certificate.serial_number:x}", name=name, purpose=purpose, hosts=tuple(hosts), not_after=until
            )
            # Registered before it is handed out: what nobody knows of could not be revoked.
            self._register((*self.issued(), made))
            out.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write(out / f"{name}.key", _private(key), 0o600)
            _write(out / f"{name}.crt", certificate.public_bytes(Encoding.PEM), 0o644)
            return made

    def revoke(self, name: str, now: datetime, *, but: str | None = None) -> int:
        """Revoke every certificate of a name, but one serial; returns how many. Repeatable."""
        with self._changing():
            before = self.issued()
            gone = [each for each in before if each.name == name and not each.revoked_at and each.serial != but]
            after = tuple(each.model_copy(update={"revoked_at": now}) if each in gone else each for each in before)
            self._register(after)
            self._write_list(after, now)
            return len(gone)

    def write_list(self, now: datetime) -> None:
        """Write the revocation list anew."""
        with self._changing():
            self._write_list(self.issued(), now)

    def _sign(
        self,
        name: str,
        public: ec.EllipticCurvePublicKey,
        purpose: Purpose,
        hosts: Sequence[str],
        valid: tuple[datetime, datetime],
    ) -> x509.Certificate:
        usage = ExtendedKeyUsageOID.SERVER_AUTH if purpose is Purpose.SERVER else ExtendedKeyUsageOID.CLIENT_AUTH
        authority_key = ec.EllipticCurvePublicKey
        issuer_key = self._certificate.public_key()
        assert isinstance(issuer_key, authority_key)
        builder = (
            x509.CertificateBuilder()
            .subject_name(_named(name))
            .issuer_name(self._certificate.subject)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(valid[0] - _BACKDATED)
            .not_valid_after(valid[1])
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False)
        )
        if hosts:
            builder = builder.add_extension(
                x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False
            )
        return builder.sign(self._key(), SHA256())

    def _key(self) -> ec.EllipticCurvePrivateKey:
        try:
            key = load_pem_private_key((self.directory / "ca.key").read_bytes(), None)
        except (OSError, ValueError, TypeError):
            raise AuthorityError("ca.key: missing or damaged") from None
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return key

    def _register(self, certificates: tuple[Issued, ...]) -> None:
        path = self.directory / REGISTER
        path.parent.mkdir(exist_ok=True)
        _write(path, _Register(certificates=certificates).model_dump_json(indent=1).encode(), 0o644)
        # An old one that stayed could one day be taken for the register, without what was revoked since.
        (self.directory / _FORMER_REGISTER).unlink(missing_ok=True)

    def _write_list(self, certificates: tuple[Issued, ...], now: datetime) -> None:
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(self._certificate.subject)
            .last_update(now - _BACKDATED)
            .next_update(now + CRL_AGE)
        )
        for each in certificates:
            if each.revoked_at is not None and each.not_after > now:
                row = (
                    x509.RevokedCertificateBuilder()
                    .serial_number(int(each.serial, 16))
                    .revocation_date(each.revoked_at)
                )
                builder = builder.add_revoked_certificate(row.build())
        content = builder.sign(self._key(), SHA256()).public_bytes(Encoding.PEM)
        folder = self.directory / "crl"
        folder.mkdir(exist_ok=True)
        _write(folder / f"{name_hash(self._certificate.subject)}.r0", content, 0o644)

    @contextlib.contextmanager
    def _changing(self) -> Iterator[None]:
        lock = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


def found(directory: Path, name: str, now: datetime) -> Authority:
    """Make a new authority.

    Raises:
        AuthorityError: there is one already, which must not be lost.
    """
    if (directory / "ca.key").exists() or (directory / "ca.crt").exists():
        raise AuthorityError(f"{directory}: has an authority already")
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(_named(name))
        .issuer_name(_named(name))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + AUTHORITY_AGE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, SHA256())
    )
    (directory / REGISTER).parent.mkdir(exist_ok=True)
    _write(directory / REGISTER, _Register().model_dump_json().encode(), 0o644)
    _write(directory / "ca.key", _private(key), 0o600)
    _write(directory / "ca.crt", certificate.public_bytes(Encoding.PEM), 0o644)
    authority = Authority(directory)
    authority.write_list(now)
    return authority


def name_hash(name: x509.Name) -> str:
    """Name a list's file as `openssl rehash` and Erlang look it up: a hash of the issuer's canonical form."""
    canonical = b"".join(_canonical(part) for part in name)
    digest = sha1(canonical, usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _canonical(part: x509.NameAttribute[str | bytes]) -> bytes:
    # X509_NAME_hash: UTF8String, lower case, inner blanks folded; the outer sequence's head is left out.
    text = " ".join(str(part.value).lower().split()).encode()
    kind = x509.Name([part]).public_bytes()
    oid_at = kind.index(b"\x06")
    oid = kind[oid_at : oid_at + 2 + kind[oid_at + 1]]
    return _der(0x31, _der(0x30, oid + _der(0x0C, text)))


def _der(tag: int, content: bytes) -> bytes:
    assert len(content) < 128  # noqa: PLR2004 - the short form of a length; our names are shorter
    return bytes((tag, len(content))) + content


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs,
        crl_sign=signs,
        encipher_only=False,
        decipher_only=False,
    )


def _private(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(path: Path, content: bytes, mode: int) -> None:
    """Replace a file whole; a reader sees the old one or the new one."""
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "wb") as out:
        out.write(content)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
