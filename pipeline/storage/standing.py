"""Which revision has this store, and does it fit this program?

Asked by every process that opens the store. Alembic, which brings a store up, is slow to import and not asked:
revisions count up, `0001`, `0002`, …, and the name of a migration's file begins with its revision.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from pipeline.errors import UnfitStateError
from pipeline.storage.schema import metadata

MIGRATIONS = Path(__file__).parent / "migrations"
_REMEMBERED: Final = "alembic_version"


class Fit(StrEnum):
    """How a store's tables stand to this program."""

    EMPTY = "empty"
    CURRENT = "current"
    OLDER = "older"
    NEWER = "newer"
    STRANGE = "strange"
    """It has tables that no release of ours made like this."""


@dataclass(frozen=True, slots=True)
class Standing:
    """The revision a store has (none: none of ours), and the one this program works with."""

    fit: Fit
    found: str | None
    wanted: str


class SchemaError(UnfitStateError):
    """The store's tables are not this program's. Nothing was touched."""

    def __init__(self, standing: Standing) -> None:
        self.standing = standing
        super().__init__(_SENTENCES[standing.fit].format(found=standing.found, wanted=standing.wanted))


_SENTENCES: Mapping[Fit, str] = {
    Fit.OLDER: (
        "the store is of an older release (revision {found}, this program works with {wanted}); nothing was touched: "
        "stop every role, make a backup, then `onshi store upgrade`"
        " (データベースが古い版 {found} のため何も変更していません。全ての役割を停止し、バックアップの後に"
        " `onshi store upgrade` を実行してください)"
    ),
    Fit.NEWER: (
        "the store is of a newer release (revision {found}, this program works with {wanted}); nothing was touched: "
        "install the release that `onshi store show` names"
        " (データベースが新しい版 {found} のため何も変更していません。`onshi store show` に表示される版の"
        "プログラムを導入してください)"
    ),
    Fit.STRANGE: (
        "the store's tables are those of no release (revision {found}: a trial before 0.1.0, or not Onshi's); nothing "
        "was touched: name an empty database in store.url, see `onshi store show`"
        " (データベースの表がどの版とも一致しないため何も変更していません。store.url に空のデータベースを"
        "指定してください。`onshi store show` で確認できます)"
    ),
}


def revisions() -> list[str]:
    """Name every revision, oldest first; the last is this program's."""
    return sorted(path.name.partition("_")[0] for path in (MIGRATIONS / "versions").glob("[0-9]*_*.py"))


def look(connection: Connection) -> Standing:
    """Say how a store stands to this program. Reads only."""
    known = revisions()
    tables = set(inspect(connection).get_table_names())
    found = connection.scalar(text("SELECT version_num FROM alembic_version")) if _REMEMBERED in tables else None
    if found is None:
        ours = metadata.tables.keys() & tables
        return Standing(Fit.STRANGE if ours else Fit.EMPTY, None, known[-1])
    if found == known[-1]:
        return Standing(Fit.CURRENT, found, known[-1])
    if found in known:
        return Standing(Fit.OLDER, found, known[-1])
    return Standing(Fit.NEWER if found.isdecimal() and found > known[-1] else Fit.STRANGE, found, known[-1])
