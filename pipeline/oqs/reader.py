"""Is this a document of the eligibility service, and what is its tree?

The bytes come from a shared folder and are trusted with nothing: size, encoding, prolog, depth and width are
bounded before anyone looks at a value (security-and-reliability section 4). Nothing is guessed: a document whose
encoding cannot be told is refused.
"""

import re
from typing import Final

from lxml import etree

from pipeline.oqs.rejection import RejectedError, RejectReason

MAX_BYTES: Final = 8 * 1024 * 1024
MAX_DEPTH: Final = 64
MAX_ELEMENTS: Final = 200_000

ROOT: Final = "XmlMsg"

_CODECS: Final = {
    "utf-8": "utf-8",
    "utf8": "utf-8",
    # The service's Shift_JIS holds the characters of Windows (髙, ①), which only cp932 decodes.
    "shift_jis": "cp932",
    "shift-jis": "cp932",
    "sjis": "cp932",
    "x-sjis": "cp932",
    "windows-31j": "cp932",
    "cp932": "cp932",
    "ms932": "cp932",
}
_DECLARATION: Final = re.compile(r"<\?xml\s[^>]*?\?>")
_DECLARED: Final = re.compile(rb"<\?xml\s[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]+)[\"']")
_DOCTYPE: Final = re.compile(r"(?:\s|<\?.*?\?>|<!--.*?-->)*+<!DOCTYPE", re.DOTALL | re.IGNORECASE)
_ENDS: Final = re.compile(r"</\s*([^\s<>]+)\s*>\s*\Z")
_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f]")
# Where Python's cp932 puts the bytes 80, A0, FD, FE and FF, which no Japanese text holds.
_NO_CHARACTER: Final = re.compile("[\x80\xa0\uf8f0-\uf8f3]")
_FOREIGN: Final = (b"\x1f\x8b", b"PK\x03\x04", b"PK\x05\x06", b"%PDF-", b"7z\xbc\xaf", b"BZh")
_BEYOND_DEPTH: Final = etree.XPath("boolean(" + "/*" * (MAX_DEPTH + 1) + ")")


def read_tree(content: bytes) -> etree._Element:
    """Read a whole document into its tree.

    Raises:
        RejectedError: anything but one well-formed `XmlMsg` within the bounds.
    """
    text = decode(content)
    if not text.strip():
        raise RejectedError(RejectReason.EMPTY)
    if not text.lstrip().startswith("<"):
        raise RejectedError(RejectReason.NOT_XML)
    _check_markup(text)
    root = _parse(text)
    if root.tag != ROOT:
        raise RejectedError(RejectReason.WRONG_ROOT)
    return root


def decode(content: bytes) -> str:
    """Turn the bytes into text without its XML declaration; control characters become spaces (section 4, no. 18).

    Raises:
        RejectedError: too large, of another format, or not in the encoding it claims.
    """
    if len(content) > MAX_BYTES:
        raise RejectedError(RejectReason.TOO_LARGE)
    if content.startswith(_FOREIGN):
        raise RejectedError(RejectReason.NOT_XML)
    codec = _codec(content)
    try:
        text = decode_cp932(content) if codec == "cp932" else content.decode(codec, "strict")
    except UnicodeError:
        # The cause quotes the bytes it stumbled over: patient text.
        raise RejectedError(RejectReason.ENCODING) from None
    text = _CONTROLS.sub(" ", text.removeprefix("\ufeff"))
    return _DECLARATION.sub("", text, count=1) if _DECLARATION.match(text) else text


def decode_cp932(content: bytes) -> str:
    """Decode as Windows does, but refuse the five bytes that stand for no character there.

    Raises:
        UnicodeError: not such a text.
    """
    text = content.decode("cp932", "strict")
    if _NO_CHARACTER.search(text):
        raise UnicodeError("a byte without a character")
    return text


def _codec(content: bytes) -> str:
    if content.startswith((b"\xff\xfe\x00\x00", b"\x00\x00\xfe\xff", b"<\x00", b"\x00<")):
        raise RejectedError(RejectReason.ENCODING)
    if content.startswith(b"\xef\xbb\xbf"):
        return "utf-8"
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    declared = _DECLARED.match(content)
    if declared is None:
        return "utf-8"
    codec = _CODECS.get(declared[1].decode("ascii").lower())
    if codec is None or (codec == "cp932" and _is_really_utf8(content)):
        raise RejectedError(RejectReason.ENCODING)
    return codec


def _is_really_utf8(content: bytes) -> bool:
    # UTF-8 text mostly decodes as cp932 too, into wrong names; cp932 text practically never decodes as UTF-8 with
    # three-byte characters in it. Two-byte ones alone prove nothing: they are also pairs of half-width kana.
    try:
        text = content.decode("utf-8", "strict")
    except UnicodeError:
        return False
    return max(text) > "\u07ff"


def _check_markup(text: str) -> None:
    # Before the parser sees it: with entities unresolved, a document with a DTD parses and loses text silently.
    if _DOCTYPE.match(text):
        raise RejectedError(RejectReason.DOCTYPE)
    if text.count("<") - text.count("</") > MAX_ELEMENTS:
        raise RejectedError(RejectReason.TOO_MANY_ELEMENTS)


def _parse(text: str) -> etree._Element:
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode("utf-8", "strict"), parser)
    except etree.XMLSyntaxError as failure:
        raise RejectedError(_why_unparsed(failure, text)) from None
    except UnicodeError:
        raise RejectedError(RejectReason.ENCODING) from None
    if root.getroottree().docinfo.doctype:  # type: ignore[union-attr]
        raise RejectedError(RejectReason.DOCTYPE)
    if _BEYOND_DEPTH(root):
        raise RejectedError(RejectReason.TOO_DEEP)
    return root


def _why_unparsed(failure: etree.XMLSyntaxError, text: str) -> RejectReason:
    if "depth" in (failure.msg or "").lower():
        return RejectReason.TOO_DEEP
    end = _ENDS.search(text, max(0, len(text) - 256))
    return RejectReason.MALFORMED if end and end[1] == ROOT else RejectReason.TRUNCATED
