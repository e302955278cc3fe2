"""Who else on this machine may read what we keep? Nobody: a state file is its owner's alone from its first byte."""

import os
from contextlib import suppress
from pathlib import Path


def make_private(path: Path) -> None:
    """Make a file that a database will open, mode 0600, and its folder; what is there keeps the rights it was given.

    SQLite gives its `-wal` and `-shm` the rights of the database, which the umask would leave open to every user.

    Raises:
        OSError: it cannot be made.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
