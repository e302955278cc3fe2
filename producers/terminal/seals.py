"""Which key and which context belongs to what this edge seals, hashes and opens?"""

from dataclasses import replace
from datetime import datetime
from pathlib import Path

from pipeline.clinic_settings import Clinic, Terminal
from pipeline.contents import SealedFile, file_context, name_context, orphan_context, request_context
from pipeline.events import derive_id
from pipeline.keyring import Keyring, KeyringError
from pipeline.oqs.names import Extension, FileName, MessageKind
from pipeline.sealing import KeyClass, Opener, Sealer


class Seals:
    """The keys of one terminal. Thread-safe."""

    def __init__(self, keyring: Keyring, clinic: Clinic, terminal: Terminal) -> None:
        self._keyring = keyring
        self._clinic = clinic.id
        self._terminal = terminal.id
        self._password_file: Path | None = terminal.archive_password_file
        self._sealer = Sealer()
        self._opener = Opener(keyring)
        self.identity = keyring.identity(clinic.id)

    def content_mac(self, content: bytes) -> str:
        return self.identity.mac("content", content)

    def name_mac(self, folder: str, name: str) -> str:
        return self.identity.mac("name", folder.encode(), name.encode("utf-8", "surrogateescape"))

    def refused_mac(self, reason: str, identity: str) -> str:
        """Stand in for the content's hash of a file that is not read."""
        return self.identity.mac("refused", reason.encode(), identity.encode())

    def file_id(self, mac: str, name: FileName) -> str:
        return derive_id("file", self._clinic, mac, name.correlation or "")

    def copy_id(self, folder: str, name_mac: str, mac: str, n: int) -> str:
        return derive_id("copy", self._clinic, self._terminal, folder, name_mac, mac, str(n))

    def seal_name(self, copy_id: str, name: str) -> bytes:
        """Seal a name for ourselves."""
        public = self._keyring.edge_key(self._clinic, self._terminal)
        return self._sealer.seal(public, self._clinic, name_context(copy_id), name.encode("utf-8", "surrogateescape"))

    def open_name(self, copy_id: str, sealed: bytes) -> str:
        raw = self._opener.open(self._clinic, name_context(copy_id), sealed)
        return raw.decode("utf-8", "surrogateescape")

    def seal_name_for_people(self, copy_id: str, name: str, at: datetime) -> bytes:
        public = self._keyring.epoch_key(self._clinic, KeyClass.STANDING, at)
        return self._sealer.seal(public, self._clinic, name_context(copy_id), name.encode("utf-8", "replace"))

    def seal_original(self, file_id: str, name: FileName, inside: SealedFile, at: datetime) -> bytes:
        """Seal a captured file to the centre's epoch of this month."""
        clinical = name.kind in (MessageKind.MEDICATION, MessageKind.CHECKUP)
        public = self._keyring.epoch_key(self._clinic, KeyClass.CLINICAL if clinical else KeyClass.ORIGINAL, at)
        password = self._password() if name.extension is Extension.ZIP else None
        whole = replace(inside, archive_password=password).to_bytes()
        return self._sealer.seal(public, self._clinic, file_context(file_id), whole)

    def seal_orphan(self, name: str, content: bytes, at: datetime) -> bytes:
        """Seal to the centre what lay in quarantine under this name and is known no more."""
        public = self._keyring.epoch_key(self._clinic, KeyClass.ORIGINAL, at)
        return self._sealer.seal(public, self._clinic, orphan_context(name), content)

    def open_request(self, request_id: str, sealed: bytes) -> SealedFile:
        """Open what the centre sealed to this edge.

        Raises:
            UnsealError, ContentsError: it is not for us, or damaged.
        """
        return SealedFile.from_bytes(self._opener.open(self._clinic, request_context(request_id), sealed))

    def _password(self) -> str | None:
        if self._password_file is None:
            return None
        try:
            return self._password_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            # Without it the centre could only reject the archive, so nothing is taken until a person has looked.
            raise KeyringError(f"archive_password_file: {type(error).__name__}") from None
