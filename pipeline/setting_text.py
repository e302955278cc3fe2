"""How are tables written back as the text of a configuration file? TOML, for the forms of value that ours has."""

import json
from collections.abc import Iterator, Mapping
from datetime import date
from typing import Any


def text_of(tables: Mapping[str, Any], comment: str = "") -> str:
    """Write tables as TOML: strings, numbers, booleans, days and lists of these; tables and lists of tables below."""
    lines = [f"# {line}" for line in comment.splitlines()]
    return "\n".join([*lines, *_lines((), tables)]) + "\n"


def _lines(above: tuple[str, ...], table: Mapping[str, Any]) -> Iterator[str]:
    for key, value in table.items():
        if not _is_table(value):
            yield f"{key} = {_value(value)}"
    for key, value in table.items():
        name = ".".join((*above, key))
        if isinstance(value, Mapping):
            yield f"[{name}]"
            yield from _lines((*above, key), value)
        elif _is_table(value):
            for entry in value:
                yield f"[[{name}]]"
                yield from _lines((*above, key), entry)


def _is_table(value: Any) -> bool:
    are_tables = isinstance(value, list) and bool(value) and all(isinstance(entry, Mapping) for entry in value)
    return isinstance(value, Mapping) or are_tables


def _value(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(_value(entry) for entry in value)}]"
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {_value(entry)}' for key, entry in value.items())} }}"
    if isinstance(value, date):
        return value.isoformat()
    # A string of JSON is a string of TOML, but for DEL, which no path or id of ours has.
    return json.dumps(value, ensure_ascii=False)
