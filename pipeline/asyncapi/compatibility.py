"""Would a vendor's program that reads the last release's events still read these?

Fields may be added, optional. A field that went, changed its type or its values, or is no longer sure to be there
breaks somebody: that is a new major version in the routing key, beside the old one.
"""

from collections.abc import Iterator, Mapping
from typing import Any

_WORDS = frozenset({"description", "title", "examples", "default", "readOnly", "$id", "$schema", "$comment"})
"""What a schema says to people only."""


def breaks(old: Mapping[str, Mapping[str, Any]], new: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Name everything that would break a reader of the old schemas, by schema name."""
    gone = [f"{name}: the event is gone" for name in sorted(old.keys() - new.keys())]
    both = sorted(old.keys() & new.keys())
    return gone + [fault for name in both for fault in _differences(name, old[name], new[name], old[name], new[name])]


def _differences(
    where: str, old: Mapping[str, Any], new: Mapping[str, Any], old_root: Mapping[str, Any], new_root: Mapping[str, Any]
) -> Iterator[str]:
    old, new = _resolved(old, old_root), _resolved(new, new_root)
    if "properties" in old and "properties" in new:
        yield from _fields(where, old, new, old_root, new_root)
    elif "items" in old and "items" in new:
        yield from _differences(f"{where}[]", old["items"], new["items"], old_root, new_root)
    elif _plain(old) != _plain(new):
        yield f"{where}: was {_plain(old)}, is {_plain(new)}"


def _fields(
    where: str, old: Mapping[str, Any], new: Mapping[str, Any], old_root: Mapping[str, Any], new_root: Mapping[str, Any]
) -> Iterator[str]:
    for name, schema in old["properties"].items():
        if name not in new["properties"]:
            yield f"{where}.{name}: is gone"
        else:
            yield from _differences(f"{where}.{name}", schema, new["properties"][name], old_root, new_root)
    was, now = set(old.get("required", ())), set(new.get("required", ()))
    yield from (f"{where}.{name}: may be missing now" for name in sorted(was - now) if name in new["properties"])
    yield from (f"{where}.{name}: is new and must be optional" for name in sorted(now - was - set(old["properties"])))


def _resolved(schema: Mapping[str, Any], root: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in schema:
        return schema
    found: Mapping[str, Any] = root["$defs"][schema["$ref"].rpartition("/")[2]]
    return found


def _plain(schema: Any) -> Any:
    if isinstance(schema, Mapping):
        return {name: _plain(part) for name, part in schema.items() if name not in _WORDS}
    return [_plain(part) for part in schema] if isinstance(schema, list) else schema
