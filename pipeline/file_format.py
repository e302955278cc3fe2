"""Which release wrote this SQLite file of an edge or of the embedded broker, and can this one work with it?

`user_version` counts the forms of a file from 1. An older one is brought up when it is opened, under the lock of
whoever owns it; a newer one, and one that no release wrote, is left as it is. What lies beside a file belongs to its
form: the spool to the terminal's ledger.
"""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline.errors import UnfitStateError


class UnfitFileError(UnfitStateError):
    """A file's form is not this program's. Nothing was touched."""


_NEWER: Final = (
    "{name}: is of a newer release (form {found}, this program knows {known}); nothing was touched: install that"
    " release here again, see `onshi --version`"
    " ({name} は新しい版で作成されたため何も変更していません。元の版のプログラムを導入してください。"
    "`onshi --version` で確認できます)"
)
_STRANGE: Final = (
    "{name}: is of a trial before 0.1.0, or not Onshi's; nothing was touched: move it away once nothing waits in it,"
    " see `onshi status`"
    " ({name} はどの版の形式とも一致しないため何も変更していません。`onshi status` で未処理がないことを確認し、"
    "別の場所へ移してください)"
)


@dataclass(frozen=True, slots=True)
class FileFormat:
    """The newest form, and how each older one becomes the next."""

    schema: str
    """Makes the newest form; harmless where it is made already."""
    steps: tuple[str, ...] = ()
    """The first makes form 2 of form 1."""

    @property
    def number(self) -> int:
        return 1 + len(self.steps)

    def require(self, path: Path) -> None:
        """Look at a file, if it is there, and touch nothing: before anything is set in it, as its journal's kind is.

        Raises:
            UnfitFileError: it is not for this program.
        """
        try:
            with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=10)) as db:
                self._found(db, path.name)
        except sqlite3.Error:
            return  # not there, or not readable now: whoever opens it to work says why

    def prepare(self, db: sqlite3.Connection, name: str) -> None:
        """Make the newest form of a new or an older file, in one transaction.

        Raises:
            UnfitFileError: it is not for this program.
        """
        found = self._found(db, name)
        steps = "".join(self.steps[found - 1 :]) if found else ""
        # Where nothing changes nothing is written, so that a full disk is no reason not to open it.
        number = "" if found == self.number else f"PRAGMA user_version = {self.number};"
        try:
            db.executescript(f"BEGIN IMMEDIATE;{steps}{self.schema}{number}COMMIT;")
        except sqlite3.Error:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def _found(self, db: sqlite3.Connection, name: str) -> int:
        (found,) = db.execute("PRAGMA user_version").fetchone()
        if found > self.number:
            raise UnfitFileError(_NEWER.format(name=name, found=found, known=self.number))
        if found == 0 and self._is_strange(db):
            raise UnfitFileError(_STRANGE.format(name=name))
        return int(found)

    def _is_strange(self, db: sqlite3.Connection) -> bool:
        """Say whether a file without a number is other than form 1, which was written without one at first."""
        here = _columns(db)
        if not here:
            return False
        with closing(sqlite3.connect(":memory:")) as first:
            first.executescript(self.schema)
            wanted = _columns(first)
        return any(not columns <= here.get(table, columns) for table, columns in wanted.items())


def _columns(db: sqlite3.Connection) -> Mapping[str, frozenset[str]]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    return {name: frozenset(row[1] for row in db.execute(f"PRAGMA table_info({name})")) for name in tables}
