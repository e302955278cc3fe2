"""Which file of a group's configuration says what, and how is one changed without harm to the others?

A group's configuration is a directory: `clinic.<id>.toml`, `vendor.<id>.toml`, and whatever else. A change replaces one
file whole; a change that would make the configuration wrong is taken back before anybody is told of it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.cli.main import WrongUseError
from pipeline.setting_files import read
from pipeline.setting_text import text_of
from pipeline.settings import Settings, SettingsError, load


class GroupFiles:
    """The files of one configuration directory."""

    def __init__(self, settings: Settings) -> None:
        if settings.file is None or not settings.file.is_dir():
            raise WrongUseError("the configuration is one file; a group's is a directory (see `docs/operations.md`)")
        self.directory = settings.file

    def clinic_file(self, clinic: str) -> Path:
        return self.directory / f"clinic.{clinic}.toml"

    def vendor_file(self, vendor: str) -> Path:
        return self.directory / f"vendor.{vendor}.toml"

    def tables(self, path: Path) -> dict[str, Any]:
        """Read the tables of one file."""
        if not path.exists():
            raise WrongUseError(f"{path.name}: there is no such file; it stands elsewhere and must be changed there")
        return read(path).tables

    def write(self, path: Path, tables: Mapping[str, Any]) -> Settings:
        """Replace one file; returns the configuration as it is then.

        Raises:
            SettingsError: it would be wrong; the file is as it was.
        """
        return self._change(path, text_of(tables, "Written by onshi; may be edited."))

    def retire(self, path: Path) -> Settings:
        """Take a file out of the configuration; it stays beside it under another name."""
        former = path.read_text(encoding="utf-8")
        _replace(_retired(path), former)
        return self._change(path, None)

    def is_retired(self, path: Path) -> bool:
        """Say whether a file was taken out of the configuration, and is not back."""
        return _retired(path).exists() and not path.exists()

    def retired_tables(self, path: Path) -> dict[str, Any]:
        """Read what a file said that was taken out of the configuration; empty when none was."""
        former = _retired(path)
        return read(former).tables if former.exists() else {}

    def _change(self, path: Path, text: str | None) -> Settings:
        former = path.read_text(encoding="utf-8") if path.exists() else None
        _put(path, text)
        try:
            return load(self.directory)
        except SettingsError:
            _put(path, former)
            raise


def _retired(path: Path) -> Path:
    return path.with_name(f"{path.name}.retired")


def _put(path: Path, text: str | None) -> None:
    if text is None:
        path.unlink(missing_ok=True)
    else:
        _replace(path, text)


def _replace(path: Path, text: str) -> None:
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    partial.replace(path)
