"""Which settings are there? `python -m pipeline.setting_reference` writes docs/settings.md from the models.

A setting's sentence is what stands below it in its table's class: written once, for the page and for whoever reads
the code.
"""

import ast
import inspect
import json
import sys
from collections.abc import Iterator
from datetime import time, timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any, Final, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from pipeline.setting_values import Table
from pipeline.settings import OVERRIDABLE, Settings

_HEAD: Final = f"""# Settings

Every setting of `onshi.toml`, made from the code by `make generated`. `onshi check` names everything in a file that is
wrong; a setting that is not in this list is refused. The configuration may also be a directory of such files.
Relative paths are relative to the file. Durations are written like `90s`, `15m`, `24h` or `7d`.

`ONSHI_<TABLE>_<KEY>` in the environment overrides a value of {", ".join(f"`[{name}]`" for name in OVERRIDABLE)}. \
`url_file` in `[broker]` and `[store]` names a file that holds the URL, which may hold a password.
"""
_NOT_WRITTEN: Final = frozenset({"code_days"})
"""Made from another setting while the file is read."""
_UNITS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def page() -> str:
    return _HEAD + "".join(_section(name, model) for name, model in tables(Settings))


def tables(model: type[Table], above: str = "") -> Iterator[tuple[str, type[Table]]]:
    """List every table of the configuration by its heading, those within others after them."""
    for name, field in model.model_fields.items():
        inner = _table(field.annotation)
        if inner is None or name in _NOT_WRITTEN:
            continue
        path = f"{above}{name}"
        yield (f"[[{path}]]" if get_origin(field.annotation) is tuple else f"[{path}]"), inner
        yield from tables(inner, f"{path}.")


def settings(model: type[Table]) -> dict[str, tuple[FieldInfo, str]]:
    """List what is written in a table itself, by the name it has in the file, each with its sentence."""
    said = _sentences(model)
    return {
        field.alias or name: (field, said.get(name, ""))
        for name, field in model.model_fields.items()
        if name not in _NOT_WRITTEN and _table(field.annotation) is None
    }


def _section(name: str, model: type[Table]) -> str:
    rows = "".join(f"| `{key}` | {_default(field)} | {said} |\n" for key, (field, said) in settings(model).items())
    about = inspect.cleandoc(model.__doc__ or "")
    return f"\n## `{name}`\n\n{about}\n\n| setting | default | what it says |\n|---|---|---|\n{rows}"


def _table(annotation: Any) -> type[Table] | None:
    """Find the table that a setting holds; none for a value. A list of values may hold tables as another spelling."""
    if isinstance(annotation, type) and issubclass(annotation, Table):
        return annotation
    return next((found for part in get_args(annotation) if (found := _table(part))), None)


def _sentences(model: type[Table]) -> dict[str, str]:
    (body,) = ast.parse(dedent(inspect.getsource(model))).body
    assert isinstance(body, ast.ClassDef)
    said: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and isinstance(below, ast.Expr):
            text = ast.literal_eval(below.value)
            said[field.target.id] = inspect.cleandoc(text).replace("\n", " ").replace("|", "\\|")
    return said


def _default(field: FieldInfo) -> str:
    words = [_written(word) for word in _words(field.annotation)]
    if field.is_required():
        return " ".join(["**needed**", *([", ".join(f"`{word}`" for word in words)] if words else [])])
    value = field.get_default()
    if value is None:
        return "–"
    others = [f"`{word}`" for word in words if isinstance(value, tuple) or word != _written(value)]
    joined = " of " if isinstance(value, tuple) else " or "
    return joined.join([f"`{_written(value)}`", *([", ".join(others)] if others else [])])


def _words(annotation: Any) -> list[Any]:
    """List the words that a setting may have, where they are fixed."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [word for part in get_args(annotation) for word in _words(part)]


def _written(value: Any) -> str:
    """Write a value as the file has it."""
    match value:
        case timedelta():
            seconds = int(value.total_seconds())
            size, unit = next((size, unit) for size, unit in _UNITS if seconds % size == 0)
            return f'"{seconds // size}{unit}"'
        case time():
            return f'"{value:%H:%M}"'
        case tuple():
            return f"[{', '.join(_written(one) for one in value)}]"
        case Path():
            return json.dumps(str(value))
        case _:
            return json.dumps(value)


if __name__ == "__main__":
    sys.stdout.write(page())
