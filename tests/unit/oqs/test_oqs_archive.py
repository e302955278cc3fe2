import zipfile
from io import BytesIO

import pytest
import pyzipper

from pipeline.oqs import archive
from pipeline.oqs.archive import open_member
from pipeline.oqs.names import Extension, FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import BulkEligibilityRecord, PdfDocument
from pipeline.oqs.rejection import RejectedError, RejectReason
from pipeline.oqs.whole import is_complete

BASE = "OQSmuhvq02res_202605120007"
XML = (
    b"<XmlMsg><MessageHeader><SegmentOfResult>1</SegmentOfResult></MessageHeader>"
    b"<MessageBody><BulkConfirmUnit><QualificationValidity>1</QualificationValidity></BulkConfirmUnit></MessageBody></XmlMsg>"
)
PDF = b"%PDF-1.7\n...\n%%EOF\n"


def _zip(*members: tuple[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as made:
        for name, content in members:
            made.writestr(name, content)
    return buffer.getvalue()


def _locked(password: bytes) -> bytes:
    buffer = BytesIO()
    with pyzipper.AESZipFile(buffer, "w", compression=zipfile.ZIP_DEFLATED, encryption=pyzipper.WZ_AES) as made:
        made.setpassword(password)
        made.writestr(f"{BASE}.xml", XML)
    return buffer.getvalue()


def _reason(content: bytes, password: bytes | None = None) -> RejectReason:
    with pytest.raises(RejectedError) as caught:
        open_member(BASE, content, password)
    return caught.value.reason


def _name(text: str) -> FileName:
    name = parse_name(text)
    assert name is not None
    return name


@pytest.mark.parametrize("member", [f"{BASE}.xml", f"{BASE}.XML", f"{BASE.upper()}.xml"])
def test_the_one_member_of_the_same_name_is_read(member: str) -> None:
    record = parse(_name(f"{BASE}.zip"), _zip((member, XML)))
    assert isinstance(record, BulkEligibilityRecord)
    assert len(record.units) == 1


def test_a_pdf_inside_is_a_pdf() -> None:
    base = "YZKsiquc01res_202605120031"
    record = parse(_name(f"{base}.zip"), _zip((f"{base}.pdf", PDF)))
    assert record == PdfDocument(schema_kind="pdf", size=len(PDF))


R = RejectReason
REFUSED = [
    (b"", R.ARCHIVE_BAD),
    (b"not a zip", R.ARCHIVE_BAD),
    (_zip(), R.ARCHIVE_BAD),
    (_zip((f"{BASE}.xml", XML), ("b.xml", XML)), R.ARCHIVE_SEVERAL),
    (_zip(("other.xml", XML)), R.ARCHIVE_UNEXPECTED),
    (_zip((f"{BASE}.exe", XML)), R.ARCHIVE_UNEXPECTED),
    (_zip((f"../{BASE}.xml", XML)), R.ARCHIVE_UNEXPECTED),
    (_zip((f"/{BASE}.xml", XML)), R.ARCHIVE_UNEXPECTED),
    (_zip((f"a/{BASE}.xml", XML)), R.ARCHIVE_UNEXPECTED),
    (_zip((f"{BASE}.xml/", b"")), R.ARCHIVE_UNEXPECTED),
    (_zip((f"{BASE}.xml", b" " * (8 * 1024 * 1024 + 1))), R.ARCHIVE_TOO_LARGE),
    (_zip((f"{BASE}.xml", XML))[:-10], R.ARCHIVE_BAD),
    (_zip((f"{BASE}.xml", XML), method=zipfile.ZIP_BZIP2), R.ARCHIVE_BAD),
    (b"x" * (8 * 1024 * 1024 + 1), R.ARCHIVE_TOO_LARGE),
]


@pytest.mark.parametrize(("content", "reason"), REFUSED, ids=range(len(REFUSED)))
def test_anything_but_one_plain_member_of_that_name_is_refused(content: bytes, reason: RejectReason) -> None:
    assert _reason(content) is reason


def test_a_member_whose_name_only_folds_to_the_right_one_is_refused() -> None:
    base = "YZKsiquc01res_202605120031"
    with pytest.raises(RejectedError) as caught:
        open_member(base, _zip((base.replace("K", "\u212a") + ".xml", XML)))
    assert caught.value.reason is R.ARCHIVE_UNEXPECTED


def test_a_bomb_that_lies_about_its_size_is_stopped() -> None:
    content = _zip((f"{BASE}.xml", b" " * (64 * 1024 * 1024)))
    lying = content.replace((64 * 1024 * 1024).to_bytes(4, "little"), (1000).to_bytes(4, "little"))
    assert _reason(lying) in (R.ARCHIVE_TOO_LARGE, R.ARCHIVE_BAD)


def test_damaged_content_is_refused() -> None:
    content = bytearray(_zip((f"{BASE}.xml", XML), method=zipfile.ZIP_STORED))
    content[80] ^= 0xFF
    assert _reason(bytes(content)) is R.ARCHIVE_BAD


def test_an_encrypted_archive_opens_with_its_password_only() -> None:
    content = _locked(b"right")
    assert open_member(BASE, content, b"right").content == XML
    assert _reason(content) is R.ENCRYPTED
    assert _reason(content, b"wrong") is R.ENCRYPTED


def test_without_the_extra_an_encrypted_archive_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    content = _locked(b"right")
    monkeypatch.setitem(__import__("sys").modules, "pyzipper", None)
    assert _reason(content, b"right") is R.ENCRYPTED


def test_what_a_member_holds_is_not_shown() -> None:
    assert "XmlMsg" not in repr(open_member(BASE, _zip((f"{BASE}.xml", XML))))


def test_an_archive_or_pdf_still_being_written_is_not_complete() -> None:
    whole = _zip((f"{BASE}.xml", XML))
    assert is_complete(_name(f"{BASE}.zip"), whole)
    assert not is_complete(_name(f"{BASE}.zip"), whole[:-10])
    pdf = _name("YZKsiquc01res_202605120031.pdf")
    assert is_complete(pdf, PDF)
    assert not is_complete(pdf, PDF[:-4])


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", R.EMPTY), (PDF[:-4], R.PDF_INCOMPLETE), (b"<XmlMsg/>%%EOF", R.PDF_INCOMPLETE)],
)
def test_a_pdf_that_is_none_is_refused(content: bytes, reason: RejectReason) -> None:
    with pytest.raises(RejectedError) as caught:
        parse(_name("YZKsiquc01res_202605120031.pdf"), content)
    assert caught.value.reason is reason


def test_a_pdf_where_only_xml_is_ever_sent_is_refused() -> None:
    assert archive.open_member(BASE, _zip((f"{BASE}.pdf", PDF))).extension is Extension.PDF
    with pytest.raises(RejectedError) as caught:
        parse(_name(f"{BASE}.zip"), _zip((f"{BASE}.pdf", PDF)))
    assert caught.value.reason is R.ARCHIVE_UNEXPECTED


@pytest.mark.parametrize(
    ("content", "text", "encoding"),
    [
        ("形式エラー".encode(), "形式エラー", "utf-8"),
        ("\ufeff形式エラー".encode(), "形式エラー", "utf-8"),
        ("形式エラー".encode("cp932"), "形式エラー", "cp932"),
        (b"\xff\xfe\xff\xff", "ÿþÿÿ", "unknown"),
    ],
)
def test_a_note_is_read_whatever_its_encoding(content: bytes, text: str, encoding: str) -> None:
    name = _name("OQSsiquc01req_202605120018.err")
    record = parse(name, content)
    assert record.model_dump(include={"text", "encoding"}) == {"text": text, "encoding": encoding}
    assert is_complete(name, content)
    assert not is_complete(name, b"")
