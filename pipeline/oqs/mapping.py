"""How do elements become the fields of a typed value?

A model says beside each field which element holds it; the tree is walked once and lands in nested dicts, which
pydantic validates in one call. Order of elements means nothing (oqs-interface section 3.0), blank equals missing
(section 4, no. 14), and whatever has no field is kept aside, never dropped.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, TypeVar, get_args, get_origin

from lxml import etree
from pydantic import BaseModel, ConfigDict

Text = str | None
Aside = tuple[tuple[str, str], ...]
"""Pairs of element path and value, sorted by path."""


class Quiet(BaseModel):
    """A frozen value whose `repr` and whose errors show nothing of a patient."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Tag:
    """The element of a field. `within` is a list element around it, which may as well be left out."""

    name: str
    within: str | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One element of a group that is spread over siblings: which group, which of its fields, whose spelling."""

    key: str
    field: str
    is_vendor: bool = False


@dataclass(frozen=True, slots=True)
class Grouped:
    """The elements of a list field whose members are spread over siblings, by element name."""

    parts: Mapping[str, Part]


class _Kind(Enum):
    LEAF = auto()
    LEAVES = auto()
    RECORD = auto()
    RECORDS = auto()
    LIST = auto()
    PART = auto()


_Shape = dict[str, "_Slot"]


@dataclass(frozen=True, slots=True)
class _Slot:
    kind: _Kind
    target: str = ""
    inner: _Shape = field(default_factory=dict)
    part: Part = Part("", "")


@cache
def _shape_of(model: type[BaseModel]) -> _Shape:
    shape: _Shape = {}
    for name, info in model.model_fields.items():
        for mark in info.metadata:
            if isinstance(mark, Tag):
                _place(shape, mark, _slot(name, info.annotation))
            elif isinstance(mark, Grouped):
                shape |= {tag: _Slot(_Kind.PART, name, part=part) for tag, part in mark.parts.items()}
    return shape


def _place(shape: _Shape, tag: Tag, slot: _Slot) -> None:
    shape[tag.name] = slot
    if tag.within:
        shape.setdefault(tag.within, _Slot(_Kind.LIST)).inner[tag.name] = slot


def _slot(name: str, annotation: Any) -> _Slot:
    model = model_in(annotation)
    is_many = get_origin(annotation) is tuple
    if model is None:
        return _Slot(_Kind.LEAVES if is_many else _Kind.LEAF, name)
    return _Slot(_Kind.RECORDS if is_many else _Kind.RECORD, name, _shape_of(model))


def model_in(annotation: Any) -> type[BaseModel] | None:
    """Name the model inside `M | None`, `tuple[M, ...]` or an annotated form of these."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return annotation if issubclass(annotation, BaseModel) else None
    arguments = get_args(annotation)[:1] if get_origin(annotation) is Annotated else get_args(annotation)
    return next((found for found in map(model_in, arguments) if found), None)


_Model = TypeVar("_Model", bound=BaseModel)
_Fields = dict[str, Any]


@dataclass(frozen=True, slots=True, repr=False)
class Found:
    """What a tree held for a model, not yet validated."""

    fields: dict[str, Any]
    unknown: Aside
    duplicates: Aside


def read_model(model: type[_Model], root: etree._Element, **extra: object) -> _Model:
    """Read header and body of a message into a model that has the fields `unknown` and `duplicates`.

    `header` takes `MessageHeader`; every other field is looked for in `MessageBody`.
    """
    found = read_fields(model, root)
    return model.model_validate(found.fields | {"unknown": found.unknown, "duplicates": found.duplicates} | extra)


def read_fields(model: type[BaseModel], root: etree._Element) -> Found:
    """Walk a tree once and sort its values into the fields of a model."""
    walk = _Walk()
    fields: _Fields = {}
    shape = _shape_of(model)
    seen: set[str] = set()
    for part in root:
        tag = str(part.tag)
        if tag in seen:
            walk.set_aside(part, tag, walk.duplicates)
        elif tag == "MessageBody":
            walk.fill(part, shape, fields, tag)
        elif tag == "MessageHeader":
            walk.record(part, shape[tag], fields, tag)
        else:
            walk.set_aside(part, tag, walk.unknown)
            continue
        seen.add(tag)
    walk.settle()
    return Found(fields, tuple(sorted(walk.unknown, key=_by_path)), tuple(sorted(walk.duplicates, key=_by_path)))


def _by_path(pair: tuple[str, str]) -> str:
    return pair[0]


def _is_vendor(part: tuple[_Fields, _Slot, str, str]) -> bool:
    return part[1].part.is_vendor


class _Walk:
    """One pass over one tree."""

    def __init__(self) -> None:
        self.unknown: list[tuple[str, str]] = []
        self.duplicates: list[tuple[str, str]] = []
        self._parts: list[tuple[_Fields, _Slot, str, str]] = []

    def fill(self, element: etree._Element, shape: _Shape, fields: _Fields, path: str) -> None:
        self._keep_stray_text(element, path)
        for child in element:
            tag = child.tag
            slot = shape.get(tag)
            if slot is None:
                self.set_aside(child, f"{path}/{tag}", self.unknown)
            elif slot.kind is _Kind.LEAF or slot.kind is _Kind.LEAVES or slot.kind is _Kind.PART:
                self._leaf(child, slot, fields, path)
            elif slot.kind is _Kind.LIST:
                self.fill(child, slot.inner, fields, f"{path}/{tag}")
            else:
                self.record(child, slot, fields, f"{path}/{tag}")

    def record(self, element: etree._Element, slot: _Slot, fields: _Fields, path: str) -> None:
        if slot.kind is _Kind.RECORD and slot.target in fields:
            self.set_aside(element, path, self.duplicates)
            return
        inner: _Fields = {}
        self.fill(element, slot.inner, inner, path)
        if not inner:
            return
        if slot.kind is _Kind.RECORD:
            fields[slot.target] = inner
        else:
            fields.setdefault(slot.target, []).append(inner)

    def _leaf(self, element: etree._Element, slot: _Slot, fields: _Fields, path: str) -> None:
        text = element.text
        if len(element):
            self.set_aside(element, f"{path}/{element.tag}", self.unknown)
        elif not text or text.isspace():
            return
        elif slot.kind is _Kind.LEAVES:
            fields.setdefault(slot.target, []).append(text)
        elif slot.kind is _Kind.PART:
            fields.setdefault(slot.target, [])
            self._parts.append((fields, slot, text, f"{path}/{element.tag}"))
        elif slot.target in fields:
            self.duplicates.append((f"{path}/{element.tag}", text))
        else:
            fields[slot.target] = text

    def settle(self) -> None:
        """Join the parts of groups; the official spelling wins over a vendor's wherever it stands."""
        groups: dict[int, dict[str, _Fields]] = {}
        for fields, slot, text, path in sorted(self._parts, key=_is_vendor):
            part = slot.part
            members = groups.setdefault(id(fields), {})
            group = members.setdefault(part.key, {"category": part.key})
            if part.field in group:
                self.duplicates.append((path, text))
                continue
            group[part.field] = text
            if part.is_vendor:
                group["vendor_spelling"] = True
        for fields, slot, _, _ in self._parts:
            members = groups[id(fields)]
            fields[slot.target] = [members[key] for key in sorted(members)]

    def set_aside(self, element: etree._Element, path: str, into: list[tuple[str, str]]) -> None:
        self._keep_stray_text(element, path, into)
        for child in element:
            self.set_aside(child, f"{path}/{child.tag}", into)

    def _keep_stray_text(self, element: etree._Element, path: str, into: list[tuple[str, str]] | None = None) -> None:
        text = element.text
        if text and not text.isspace():
            (self.unknown if into is None else into).append((path, text))
