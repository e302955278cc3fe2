"""`onshi store show|upgrade`: of which release are the store's tables, and how do they become this program's?"""

from argparse import Namespace
from typing import Any

from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from pipeline.broker.open import open_broker
from pipeline.cli.desk import Desk, NoCentreError, as_text
from pipeline.cli.main import WrongUseError
from pipeline.errors import PermanentError
from pipeline.settings import Settings
from pipeline.storage import Store, open_store
from pipeline.storage.migrate import lacking
from pipeline.storage.standing import Fit, Standing, look
from pipeline.storage.upgrades import upgrades

_FITS = {
    Fit.EMPTY: "has no tables yet; the first role makes them (表はまだありません)",
    Fit.CURRENT: "is this program's (このプログラムの版です)",
    Fit.OLDER: "is older: stop every role, make a backup, then `onshi store upgrade` (古い版です。"
    "全ての役割を停止し、バックアップの後に実行してください)",
    Fit.NEWER: "is newer: install the release named last below (新しい版です。下の最後の版を導入してください)",
    Fit.STRANGE: "is no release's: name an empty database in store.url (どの版とも一致しません)",
}
_RELEASED = {Fit.CURRENT, Fit.OLDER}


def store(settings: Settings, arguments: Namespace) -> int:
    desk = Desk(settings, arguments)
    if not settings.has_centre:
        raise NoCentreError
    opened = open_store(settings.store.url)
    try:
        return _show(desk, opened) if arguments.action == "show" else _upgrade(desk, opened)
    finally:
        opened.close()


def _show(desk: Desk, opened: Store) -> int:
    with opened.reading() as connection:
        standing = look(connection)
        missing = lacking(connection, standing.found) if standing.found and standing.fit in _RELEASED else []
        history = _history(connection, standing)
    if missing:
        standing = Standing(Fit.STRANGE, standing.found, standing.wanted)
    desk.say(
        {
            "revision": standing.found,
            "program": standing.wanted,
            "fit": standing.fit.value,
            "lacking": missing,
            "upgrades": history,
        },
        [
            f"revision {standing.found or '–'}, this program works with {standing.wanted}: {_FITS[standing.fit]}",
            *(f"  lacks {name}" for name in missing),
            *(f"  {row['revision']} by onshi {row['program']}, {as_text(row['at'])} JST" for row in history),
        ],
    )
    return 0 if standing.fit in {Fit.EMPTY, Fit.CURRENT} else 1


def _history(connection: Connection, standing: Standing) -> list[dict[str, Any]]:
    if standing.fit not in {Fit.CURRENT, Fit.NEWER}:
        return []
    try:
        rows = connection.execute(select(upgrades).order_by(upgrades.c.revision)).mappings()
        return [dict(row) for row in rows]
    except DBAPIError:
        # What a newer release made of this table is not known here.
        return []


def _upgrade(desk: Desk, opened: Store) -> int:
    _require_stopped(desk.settings, opened)
    if not desk.json:
        how = "pg_dump --format=custom" if opened.is_postgresql else "a copy of its file and of FILE-wal beside it"
        print(f"back only with a backup from before: {how} (元に戻すには事前のバックアップが必要です)", flush=True)
    run = opened.upgrade_schema()
    with opened.reading() as connection:
        standing = look(connection)
    done = f"brought up to {standing.found}: {', '.join(run)}" if run else f"is at {standing.found} already"
    desk.say(
        {"revision": standing.found, "run": run},
        [f"the store {done}; start one role, then the others", f"データベースは版 {standing.found} です"],
    )
    return 0


def _require_stopped(settings: Settings, opened: Store) -> None:
    """Refuse while roles work: they would go on in tables that are no longer theirs."""
    busy = opened.sessions() > 0
    if settings.broker.url.startswith("embedded:"):
        try:
            open_broker(settings.broker.url, settings.state).close()
        except PermanentError as error:
            busy = busy or error.reason == "busy"
    if busy:
        raise WrongUseError("roles are at work on this store; stop every one first (全ての役割を先に停止してください)")
