import gzip
import tracemalloc
from collections.abc import Callable

import pytest

from pipeline.oqs.reader import MAX_BYTES, MAX_DEPTH, read_tree
from pipeline.oqs.rejection import RejectedError, RejectReason

NAME = "髙橋　①子"
R = RejectReason


def _document(encoding: str, *, codec: str, bom: bytes = b"", name: str = NAME) -> bytes:
    declaration = f'<?xml version="1.0" encoding="{encoding}" standalone="no"?>' if encoding else ""
    return bom + f"{declaration}<XmlMsg><Name>{name}</Name></XmlMsg>".encode(codec)


def _reason(content: bytes) -> RejectReason:
    with pytest.raises(RejectedError) as caught:
        read_tree(content)
    assert caught.value.__cause__ is None
    return caught.value.reason


READ = [
    ("UTF-8", "utf-8", b""),
    ("utf8", "utf-8", b""),
    ("", "utf-8", b""),
    ("UTF-8", "utf-8", b"\xef\xbb\xbf"),
    ("Shift_JIS", "utf-8", b"\xef\xbb\xbf"),
    ("Shift_JIS", "cp932", b""),
    ("SHIFT-JIS", "cp932", b""),
    ("SJIS", "cp932", b""),
    ("x-sjis", "cp932", b""),
    ("Windows-31J", "cp932", b""),
    ("cp932", "cp932", b""),
    ("MS932", "cp932", b""),
    ("UTF-16", "utf-16-le", b"\xff\xfe"),
    ("UTF-16", "utf-16-be", b"\xfe\xff"),
    ("UTF-8", "utf-16-le", b"\xff\xfe"),
]


@pytest.mark.parametrize(("encoding", "codec", "bom"), READ)
def test_the_mark_then_the_declaration_decide_the_encoding(encoding: str, codec: str, bom: bytes) -> None:
    root = read_tree(_document(encoding, codec=codec, bom=bom))
    assert root[0].text == NAME


MISLED = [
    ("UTF-8", "cp932", b""),
    ("", "cp932", b""),
    ("Shift_JIS", "utf-8", b""),
    ("UTF-16", "utf-8", b""),
    ("UTF-16", "utf-16-le", b""),
    ("UTF-16", "utf-16-be", b""),
    ("EUC-JP", "euc-jp", b""),
    ("ISO-2022-JP", "iso-2022-jp", b""),
    ("UTF-7", "utf-8", b""),
    ("UTF-8", "utf-32-le", b"\xff\xfe\x00\x00"),
    ("UTF-8", "cp932", b"\xef\xbb\xbf"),
]


@pytest.mark.parametrize(("encoding", "codec", "bom"), MISLED)
def test_an_encoding_that_lies_is_refused_rather_than_misread(encoding: str, codec: str, bom: bytes) -> None:
    name = NAME if codec in ("cp932", "utf-8") or codec.startswith("utf") else "高橋"
    assert _reason(_document(encoding, codec=codec, bom=bom, name=name)) is R.ENCODING


def test_utf8_that_also_decodes_as_shift_jis_is_not_read_as_a_wrong_name() -> None:
    content = _document("Shift_JIS", codec="utf-8", name="あい")
    assert content.decode("cp932")
    assert _reason(content) is R.ENCODING


def test_half_width_kana_in_shift_jis_that_looks_like_utf8_is_still_read() -> None:
    assert read_tree(_document("Shift_JIS", codec="cp932", name="ﾃｱ"))[0].text == "ﾃｱ"


@pytest.mark.parametrize("byte", [0x80, 0xA0, 0xFD, 0xFE, 0xFF])
def test_a_byte_that_is_no_character_in_shift_jis_is_refused(byte: int) -> None:
    content = _document("Shift_JIS", codec="cp932", name="@").replace(b"@", bytes([byte]))
    assert _reason(content) is R.ENCODING


DTD = [
    "<!DOCTYPE XmlMsg>",
    '<!DOCTYPE XmlMsg SYSTEM "file:///etc/passwd">',
    '<!DOCTYPE XmlMsg PUBLIC "-//x//y" "http://127.0.0.1:9/x.dtd">',
    '<!DOCTYPE XmlMsg [<!ENTITY a "b">]>',
    '<!DOCTYPE XmlMsg [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE XmlMsg [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x"> %a;]>',
    '<!DOCTYPE XmlMsg [<!ENTITY a "' + "x" * 1000 + '"><!ENTITY b "' + "&a;" * 1000 + '">]>',
    '<!-- c --><?p i?>\n<!DOCTYPE XmlMsg [<!ATTLIST XmlMsg a CDATA "b">]>',
    "<!DOCTYPE\nXmlMsg\n[<!ELEMENT XmlMsg ANY>]>",
    '<!DOCTYPE XmlMsg [<!ENTITY a0 "ha">'
    + "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10}">' for n in range(1, 9))
    + "]>",
]


@pytest.mark.parametrize("codec", ["utf-8", "cp932", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize("form", DTD, ids=range(len(DTD)))
def test_every_form_of_dtd_is_refused_in_every_encoding(form: str, codec: str) -> None:
    encoding = "Shift_JIS" if codec == "cp932" else "UTF-8"
    declaration = f'<?xml version="1.0" encoding="{encoding}"?>'
    content = f"{declaration}{form}<XmlMsg><Name>&a;</Name></XmlMsg>".encode(codec)
    assert _reason(content) is R.DOCTYPE


def test_an_entity_without_a_dtd_is_refused() -> None:
    assert _reason(b"<XmlMsg><Name>&a;</Name></XmlMsg>") is R.MALFORMED


HOSTILE = [
    (b"", R.EMPTY),
    (b" \r\n\t", R.EMPTY),
    (b"\x00" * 4096, R.EMPTY),
    (b'<?xml version="1.0"?>', R.EMPTY),
    (b"hello", R.NOT_XML),
    (gzip.compress(b"<XmlMsg/>"), R.NOT_XML),
    (b"PK\x03\x04rest", R.NOT_XML),
    (b"%PDF-1.7", R.NOT_XML),
    (b"<html></html>", R.WRONG_ROOT),
    (b'<XmlMsg xmlns="urn:x"/>', R.WRONG_ROOT),
    (b"<xmlmsg/>", R.WRONG_ROOT),
    (b"<XmlMsg><a></b></XmlMsg>", R.MALFORMED),
    (b"<XmlMsg/><XmlMsg></XmlMsg>", R.MALFORMED),
    (b"<XmlMsg><a>", R.TRUNCATED),
    (b"<XmlMsg></XmlMs", R.TRUNCATED),
    (b"<XmlMsg>" + b" " * MAX_BYTES + b"</XmlMsg>", R.TOO_LARGE),
    (b"<XmlMsg>" + b"<a>" * MAX_DEPTH + b"</a>" * MAX_DEPTH + b"</XmlMsg>", R.TOO_DEEP),
    (b"<XmlMsg>" + b"<a>" * 300_00 + b"</a>" * 300_00 + b"</XmlMsg>", R.TOO_DEEP),
    (b"<XmlMsg>" + b"<a/>" * 200_001 + b"</XmlMsg>", R.TOO_MANY_ELEMENTS),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_or_broken_document_is_refused_with_its_reason(content: bytes, reason: RejectReason) -> None:
    assert _reason(content) is reason


def test_the_deepest_allowed_document_is_read() -> None:
    below = MAX_DEPTH - 1
    assert read_tree(b"<XmlMsg>" + b"<a>" * below + b"</a>" * below + b"</XmlMsg>") is not None


def test_control_characters_become_spaces() -> None:
    assert read_tree(b"<XmlMsg><Name>a\x00b\x1bc</Name></XmlMsg>")[0].text == "a b c"


def test_a_comment_does_not_cut_a_value_in_two() -> None:
    assert read_tree(b"<XmlMsg><Name>ab<!-- x -->cd<?p i?>ef</Name></XmlMsg>")[0].text == "abcdef"


def test_a_file_cut_at_any_place_is_refused(sample: Callable[[str], bytes]) -> None:
    content = sample("_20260512091533.xml").rstrip()
    for length in range(0, len(content), 97):
        assert _reason(content[:length]) in (R.EMPTY, R.TRUNCATED, R.MALFORMED, R.ENCODING, R.NOT_XML)


def test_a_refusal_holds_nothing_of_the_file() -> None:
    with pytest.raises(RejectedError) as caught:
        read_tree(b"<XmlMsg><Name>\xe7\xa7\x98\xe5\xaf\x86</Nam></XmlMsg>")
    assert str(caught.value) == "malformed"
    assert caught.value.__suppress_context__


def test_an_entity_bomb_costs_no_memory() -> None:
    content = f"{DTD[-1]}<XmlMsg>&a8;</XmlMsg>".encode()
    tracemalloc.start()
    try:
        assert _reason(content) is R.DOCTYPE
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
