"""What does a command work with? The store, the keys, who is asking, and how answers are shown."""

import json
import os
import pwd
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from sqlalchemy import Connection

from pipeline import access
from pipeline.contents import name_context
from pipeline.errors import PermanentError
from pipeline.keyring import Keyring
from pipeline.oqs.times import JST
from pipeline.sealing import Opener, Sealer, UnsealError
from pipeline.settings import Settings, Staff
from pipeline.storage import Store, open_store

SUBJECT = 80
"""Length of a subject in the access log."""


class NotStaffError(PermanentError):
    """The OS user of the command is not in `[[staff]]`: sees no content and decides nothing."""

    def __init__(self, os_user: str) -> None:
        super().__init__("not_staff", f"{os_user} is not listed under [[staff]]")


class NoCentreError(PermanentError):
    """This is a clinic's machine of a group (neither [store] nor [group] is configured): ask at the centre."""

    def __init__(self) -> None:
        super().__init__("no_store", self.__doc__ or "")


class Desk:
    """One command at work."""

    def __init__(self, settings: Settings, arguments: Namespace) -> None:
        self.settings = settings
        self.json = bool(arguments.json)
        self.now = datetime.now(UTC)
        self.os_user = pwd.getpwuid(os.geteuid()).pw_name
        self.staff: Staff | None = settings.staff_of(self.os_user)

    @cached_property
    def store(self) -> Store:
        if not self.settings.has_centre:
            raise NoCentreError
        store = open_store(self.settings.store.url)
        store.make_schema()
        return store

    @cached_property
    def keyring(self) -> Keyring:
        return Keyring(self.settings.keys.dir)

    @cached_property
    def opener(self) -> Opener:
        return Opener(self.keyring)

    @cached_property
    def sealer(self) -> Sealer:
        return Sealer()

    def required_staff(self, action: str, subject: str) -> Staff:
        """Return who is asking; who is refused leaves a row of the access log.

        Raises:
            NotStaffError: nobody we know.
        """
        if self.staff is None:
            self.log_access(action, subject, "refused")
            raise NotStaffError(self.os_user)
        return self.staff

    def log_access(self, action: str, subject: str, result: str = "done") -> None:
        """Write one row of the access log; its own transaction, before anything is shown."""
        with self.store.transaction() as connection:
            self.log_deed(connection, action, subject, result)

    def log_deed(self, connection: Connection, action: str, subject: str, result: str = "done") -> None:
        """Write one row of the access log in the transaction of the deed: neither stands without the other."""
        staff_id = self.staff.id if self.staff else "-"
        access.record(connection, staff_id, self.os_user, action, subject[:SUBJECT], result, self.now)

    def open_name(self, clinic: str, copy_id: str, sealed: bytes) -> str | None:
        """Return a file's name for staff; None for others, and where its key is gone."""
        if self.staff is None:
            return None
        try:
            return self.opener.open(clinic, name_context(copy_id), sealed).decode()
        except UnsealError:
            return None

    @contextmanager
    def closing(self) -> Iterator["Desk"]:
        try:
            yield self
        finally:
            if "store" in self.__dict__:
                self.store.close()

    # Showing

    def show(self, rows: Sequence[dict[str, Any]], columns: dict[str, str], title: str) -> None:
        """Print rows as JSON, or as a table with these columns (key → heading)."""
        if self.json:
            print(json.dumps(rows, ensure_ascii=False, default=as_json))
        else:
            print_table(rows, columns, title)

    def say(self, value: dict[str, Any], lines: Sequence[str]) -> None:
        """Print one answer as JSON, or as lines for a person."""
        if self.json:
            print(json.dumps(value, ensure_ascii=False, default=as_json))
        else:
            print("\n".join(lines))


def print_table(rows: Sequence[dict[str, Any]], columns: dict[str, str], title: str) -> None:
    """Print a table; full-width characters count as two columns."""
    from pipeline.cli.tables import draw  # noqa: PLC0415 - rich is slow to import, and most answers are lines or JSON

    draw([[as_text(row.get(key)) for key in columns] for row in rows], tuple(columns.values()), title)


def as_text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "●" if value else ""
        case datetime():
            return value.astimezone(JST).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return " ".join(as_text(item) for item in value)
        case _:
            return str(value)


def ahead_or_behind(seconds: float) -> str:
    """Say how far a clock is off."""
    return f"{abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"


def as_json(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return str(value)
