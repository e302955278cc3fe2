"""How does the service write a message?

Values that are blank are left out, and the order of elements is like that of a hash table: settled by their names,
not by their sense (oqs-interface section 3.0).
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Final
from xml.sax.saxutils import escape
from zlib import crc32

Element = tuple[str, str | Sequence["Element"]]
Order = Callable[[Iterable[Element]], list[Element]]

INDENT: Final = "    "
_UNWRITABLE: Final = "●"


class Encoding(StrEnum):
    UTF8 = "UTF-8"
    SHIFT_JIS = "Shift_JIS"

    @property
    def identifier(self) -> str:
        """文字コード識別 (OQSCD005)."""
        return "0" if self is Encoding.UTF8 else "1"


def leaves(*pairs: tuple[str, str | None]) -> list[Element]:
    """Keep what has a value."""
    return [(tag, text) for tag, text in pairs if text]


def group(tag: str, children: Sequence[Element]) -> list[Element]:
    """Keep a group only where something is in it."""
    return [(tag, children)] if children else []


def hash_order(salt: object) -> Order:
    """Order elements by their names as one writer would, always the same for one salt; equal names keep theirs."""
    ranks: dict[str, int] = {}

    def rank(element: Element) -> int:
        tag = element[0]
        if tag not in ranks:
            ranks[tag] = crc32(f"{salt}{tag}".encode())
        return ranks[tag]

    def order(elements: Iterable[Element]) -> list[Element]:
        return [(tag, inner if isinstance(inner, str) else order(inner)) for tag, inner in sorted(elements, key=rank)]

    return order


def message(header: Sequence[Element], body: Sequence[Element], encoding: Encoding = Encoding.UTF8) -> bytes:
    """Write a whole message."""
    lines = [f'<?xml version="1.0" encoding="{encoding}" standalone="no"?>', "<XmlMsg>"]
    _write(lines, ("MessageHeader", header), INDENT)
    _write(lines, ("MessageBody", body), INDENT)
    lines.append("</XmlMsg>\n")
    return _encode("\n".join(lines), encoding)


def _write(lines: list[str], element: Element, indent: str) -> None:
    tag, inner = element
    if isinstance(inner, str):
        lines.append(f"{indent}<{tag}>{escape(inner)}</{tag}>")
    elif inner:
        lines.append(f"{indent}<{tag}>")
        deeper = indent + INDENT
        for child in inner:
            _write(lines, child, deeper)
        lines.append(f"{indent}</{tag}>")
    else:
        lines.append(f"{indent}<{tag}/>")


def _encode(text: str, encoding: Encoding) -> bytes:
    if encoding is Encoding.UTF8:
        return text.encode()
    try:
        return text.encode("cp932")
    except UnicodeEncodeError:
        return "".join(_writable(character) for character in text).encode("cp932")


def _writable(character: str) -> str:
    try:
        character.encode("cp932")
    except UnicodeEncodeError:
        return _UNWRITABLE
    return character
