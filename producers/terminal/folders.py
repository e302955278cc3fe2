"""Which folders are there, and is the one we look into still the one we knew?"""

import os
from dataclasses import dataclass, field
from pathlib import Path

from pipeline.clinic_settings import Terminal
from pipeline.oqs.names import Folder
from pipeline.sealing import IdentityKey


class ShareAwayError(Exception):
    """The folder is missing, unreadable, or not a folder. Nothing may be concluded from what is not seen."""


@dataclass(slots=True)
class ShareFolder:
    """One exchange folder, held by descriptor. Belongs to one thread.

    `label` names it in ids and in the ledger: face, res, req, or `rescue-<mark>`. `kind` is what its files are.
    """

    label: str
    path: Path = field(repr=False)
    kind: Folder | None
    """None for a rescue folder, which takes face files and our answers alike."""
    _held: int = -1
    _identity: tuple[int, int] = (0, 0)

    @property
    def is_rescue(self) -> bool:
        return self.kind is None

    @property
    def identity(self) -> str:
        return "{}:{}".format(*self._identity)

    def descriptor(self) -> int:
        """Return the held descriptor, opened anew when the path now leads elsewhere.

        Raises:
            ShareAwayError: there is no readable folder.
        """
        try:
            status = self.path.lstat()
            if self._held < 0 or (status.st_dev, status.st_ino) != self._identity:
                self._reopen()
        except OSError:
            self.close()
            raise ShareAwayError(self.label) from None
        return self._held

    def _reopen(self) -> None:
        self.close()
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
        self._held = os.open(self.path, flags)
        status = os.fstat(self._held)
        self._identity = (status.st_dev, status.st_ino)

    def close(self) -> None:
        if self._held >= 0:
            os.close(self._held)
            self._held = -1


@dataclass(frozen=True, slots=True)
class Folders:
    """The folders of one terminal, for one thread."""

    face: ShareFolder
    res: ShareFolder
    req: ShareFolder
    rescue: tuple[ShareFolder, ...]

    @property
    def scanned(self) -> tuple[ShareFolder, ...]:
        return (self.face, self.res, *self.rescue)

    def labelled(self, label: str) -> ShareFolder | None:
        return next((folder for folder in (*self.scanned, self.req) if folder.label == label), None)

    def close(self) -> None:
        for folder in (*self.scanned, self.req):
            folder.close()


def folders_of(terminal: Terminal, identity: IdentityKey) -> Folders:
    """Resolve links in the configured paths once; from then on the last part must be a folder itself."""
    return Folders(
        face=ShareFolder("face", _resolved(terminal.face), Folder.FACE),
        res=ShareFolder("res", _resolved(terminal.res), Folder.RES),
        req=ShareFolder("req", _resolved(terminal.req), Folder.REQ),
        rescue=tuple(
            ShareFolder(f"rescue-{identity.mac('name', os.fsencode(path))[:8]}", _resolved(path), None)
            for path in terminal.rescue
        ),
    )


def _resolved(path: Path) -> Path:
    return Path(os.path.realpath(path))
