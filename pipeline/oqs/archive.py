"""What is the one document inside a ZIP answer?

Bulk answers may come as ZIP, and a site can have every answer encrypted into one (oqs-interface sections 1.1 and
1.3). Exactly one member is accepted, named like the archive; nothing is ever written to disk.
"""

import struct
import zipfile
import zlib
from dataclasses import dataclass
from io import BytesIO
from typing import Final

from pipeline.oqs.names import Extension
from pipeline.oqs.reader import MAX_BYTES
from pipeline.oqs.rejection import RejectedError, RejectReason

_ENCRYPTED: Final = 0x1
_AES: Final = 99
_PLAIN_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BROKEN: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    NotImplementedError,
    ValueError,
    IndexError,
    OverflowError,
)


@dataclass(frozen=True, slots=True, repr=False)
class Member:
    """The document of an archive."""

    extension: Extension
    content: bytes


def has_directory(content: bytes) -> bool:
    """Say whether the end of the archive is there: a copy still being written lacks it."""
    return zipfile.is_zipfile(BytesIO(content))


def open_member(base_name: str, content: bytes, password: bytes | None = None) -> Member:
    """Take the document out of an archive named `<base_name>.zip`.

    Raises:
        RejectedError: not one member of that name, too large, damaged, or encrypted without the right password.
    """
    if len(content) > MAX_BYTES:
        raise RejectedError(RejectReason.ARCHIVE_TOO_LARGE)
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            entry = _only_entry(archive)
            extension = _extension(base_name, entry)
            _check_entry(entry, password)
            return Member(extension, _content(archive, entry, content, password))
    except _BROKEN:
        raise RejectedError(RejectReason.ARCHIVE_BAD) from None


def _only_entry(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    entries = archive.infolist()
    if len(entries) != 1:
        raise RejectedError(RejectReason.ARCHIVE_SEVERAL if entries else RejectReason.ARCHIVE_BAD)
    return entries[0]


def _extension(base_name: str, entry: zipfile.ZipInfo) -> Extension:
    # The name as stored: zipfile cuts it at a NUL and swaps separators, which would hide a trick.
    stored = entry.orig_filename
    for extension in (Extension.XML, Extension.PDF):
        if stored.isascii() and stored.lower() == (base_name + extension).lower():
            return extension
    raise RejectedError(RejectReason.ARCHIVE_UNEXPECTED)


def _check_entry(entry: zipfile.ZipInfo, password: bytes | None) -> None:
    if entry.file_size > MAX_BYTES:
        raise RejectedError(RejectReason.ARCHIVE_TOO_LARGE)
    if entry.flag_bits & _ENCRYPTED:
        if not password:
            raise RejectedError(RejectReason.ENCRYPTED)
    elif entry.compress_type not in _PLAIN_METHODS:
        raise RejectedError(RejectReason.ARCHIVE_BAD)


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, content: bytes, password: bytes | None) -> bytes:
    try:
        if entry.compress_type == _AES:
            found = _read_aes(content, password)
        else:
            with archive.open(entry, pwd=password) as member:
                # One byte more than allowed: the declared size may lie.
                found = member.read(MAX_BYTES + 1)
    except RuntimeError as failure:
        if isinstance(failure, NotImplementedError):
            raise
        raise RejectedError(RejectReason.ENCRYPTED) from None
    if len(found) > MAX_BYTES:
        raise RejectedError(RejectReason.ARCHIVE_TOO_LARGE)
    return found


def _read_aes(content: bytes, password: bytes | None) -> bytes:
    try:
        import pyzipper  # noqa: PLC0415 - the optional extra "zip"
    except ImportError:
        raise RejectedError(RejectReason.ENCRYPTED) from None
    try:
        with (
            pyzipper.AESZipFile(BytesIO(content)) as archive,
            archive.open(archive.infolist()[0], pwd=password) as member,
        ):
            found: bytes = member.read(MAX_BYTES + 1)
            return found
    except pyzipper.BadZipFile:
        raise RejectedError(RejectReason.ARCHIVE_BAD) from None
