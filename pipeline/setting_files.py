"""What stands in a configuration that may be one file, or a directory with one file for each clinic and vendor?

In a directory every `*.toml` counts, in the order of the names. Lists of tables (`[[clinics]]`) are joined; a table
may be divided over files, but a value said twice is a fault. Relative paths are relative to the directory.
"""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Written:
    """The tables of all files, and which file an entry of a list came from."""

    tables: dict[str, Any] = field(default_factory=dict)
    origins: dict[tuple[str, int], str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)

    def origin(self, location: Sequence[object]) -> str:
        """Name the file in which the fault at this place stands, as a prefix; nothing for a single file."""
        name = self.origins.get((str(location[0]), int(str(location[1])))) if _is_entry(location) else None
        return f"{name}: " if name else ""


def _is_entry(location: Sequence[object]) -> bool:
    return len(location) > 1 and isinstance(location[1], int)


def folder_of(path: Path) -> Path:
    """The folder to which relative paths of this configuration are relative."""
    return path.resolve() if path.is_dir() else path.resolve().parent


def read(path: Path) -> Written:
    """Read a file, or a directory of files. `faults`: what cannot be read, or is said twice."""
    if not path.is_dir():
        tables, faults = _read_one(path)
        return Written(tables=tables, faults=faults)
    written = Written()
    files = sorted(path.glob("*.toml"))
    if not files:
        written.faults.append(f"{path}: the directory has no file named *.toml")
    for file in files:
        tables, faults = _read_one(file)
        written.faults.extend(faults)
        for name, value in tables.items():
            _join(written, file.name, name, value)
    return written


def _read_one(path: Path) -> tuple[dict[str, Any], list[str]]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8")), []
    except FileNotFoundError:
        return {}, [f"{path}: there is no such file (`onshi init DIR` makes a working one)"]
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return {}, [f"{path}: {error}"]


def _join(written: Written, file: str, name: str, value: Any) -> None:
    held = written.tables.get(name)
    if isinstance(value, list) and isinstance(held, list | None):
        entries = written.tables.setdefault(name, [])
        for entry in value:
            written.origins[name, len(entries)] = file
            entries.append(entry)
    elif held is None:
        written.tables[name] = value
    elif isinstance(value, dict) and isinstance(held, dict):
        for key, inner in value.items():
            if key in held:
                written.faults.append(f"{file}: {name}.{key} stands in another file too")
            else:
                held[key] = inner
    else:
        written.faults.append(f"{file}: {name} stands in another file too")
