from datetime import UTC, datetime

import pytest

from pipeline.oqs.names import (
    Direction,
    Extension,
    Folder,
    MessageKind,
    Phase,
    parse_name,
    request_name,
    response_name,
)

ACCEPTED = [
    ("OQSsiquc01res_face_99190000113fb0c1d97a64e8250b7e_20260512091533.xml", MessageKind.FACE, "01"),
    ("OQSsiquc01res_face_20260512091533.xml", MessageKind.FACE, "01"),
    ("OQSsiquc01res_face_991900001140012345678901234567_20260512091533.xml", MessageKind.FACE, "01"),
    ("OQSsiquc01res_face_991900001180012345678901234567_20260512091533.xml", MessageKind.FACE, "01"),
    ("oqsSIQUC01RES_FACE_x_20260512091533.XML", MessageKind.FACE, "01"),
    ("OQSsiquc01res_face_20260512091533.zip", MessageKind.FACE, "01"),
    ("OQSsiquc01res_202605120011.xml", MessageKind.ELIGIBILITY, "01"),
    ("OQSsiquc01res_202605120011.zip", MessageKind.ELIGIBILITY, "01"),
    ("OQSsiimm01res_202605120021.xml", MessageKind.REGISTRATION, "01"),
    ("OQSmuquc01res_202605120001.xml", MessageKind.BULK_ELIGIBILITY, "01"),
    ("OQSmuquc02res_202605120001.zip", MessageKind.BULK_ELIGIBILITY, "02"),
    ("OQSmuimm02res_202605120001.xml", MessageKind.BULK_REGISTRATION, "02"),
    ("OQSmutic02res_202605120001.xml", MessageKind.BULK_MEDICAL_AID, "02"),
    ("OQSmuhvq01res_202605120001.xml", MessageKind.BULK_VISIT, "01"),
    ("OQSmuonq02res_202605120001.zip", MessageKind.BULK_ONLINE, "02"),
    ("OQSsihvq01res_202605120001.xml", MessageKind.VISIT, "01"),
    ("OQSsionq01res_202605120001.xml", MessageKind.ONLINE, "01"),
    ("OQSsihvd01res_202605120001.xml", MessageKind.WITHDRAWAL, "01"),
    ("YZKsiquc01res_202605120031.pdf", MessageKind.MEDICATION, "01"),
    ("YZKsiquc01res_202605120031.xml", MessageKind.MEDICATION, "01"),
    ("TKKsiquc01res_202605120031.PDF", MessageKind.CHECKUP, "01"),
    ("OQSsiquc01req_202605120018.err", MessageKind.ELIGIBILITY, "01"),
    ("OQSsiquc01req_202605120018.xml", MessageKind.ELIGIBILITY, "01"),
]


@pytest.mark.parametrize(("name", "kind", "phase"), ACCEPTED)
def test_a_name_of_ours_is_read(name: str, kind: MessageKind, phase: Phase) -> None:
    found = parse_name(name)
    assert found is not None
    assert (found.kind, found.phase) == (kind, phase)
    assert found.base_name + name[-4:] == name


REFUSED = [
    "",
    "del20260512.txt",
    "DELFILE.txt",
    "OQSsiquc01res_202605120011.xml.tmp",
    "OQSsiquc01res_202605120011.tmp",
    "OQSsiquc01res_202605120011",
    "OQSsiquc01res_.xml",
    "OQSsiquc01res_face_.xml",
    "OQSsiquc01res_face_20260512091533.pdf",
    "OQSsiquc01req_face_20260512091533.xml",
    "OQSsiquc01res_202605120011.pdf",
    "OQSsiquc01res_202605120011.err",
    "OQSsiquc01req_202605120011.zip",
    "OQSsiquc02res_202605120011.xml",
    "OQSmuquc03res_202605120011.xml",
    "OQSsiurl01res_202605120011.xml",
    "OQSsiinq01res_202605120011.xml",
    "OQSsimed01res_202605120011.xml",
    "EPSsiDMP01res_202605120011.xml",
    "PMHsimsm01res_202605120011.xml",
    "CISsiquc01res_202605120011.xml",
    "CIPsiquc01res_202605120011.xml",
    "TKKmuquc01res_202605120011.xml",
    "../OQSsiquc01res_202605120011.xml",
    "..\\OQSsiquc01res_202605120011.xml",
    "res/OQSsiquc01res_202605120011.xml",
    "OQSsiquc01res_../../x.xml",
    "OQSsiquc01res_202605120011.xml:stream",
    "OQSsiquc01res_2026:x.xml",
    "OQSsiquc01res_202605120011.xml.",
    "OQSsiquc01res_202605120011.xml ",
    " OQSsiquc01res_202605120011.xml",
    "OQSsiquc01res_202605120011.xml\n",
    "OQSsiquc01res_2026\x0005120011.xml",
    "OQSsiquc01res_2026\u202e0011.xml",
    "OQSsiquc01res_2026\u200b0011.xml",
    "OQSsiquc01res_２０２６.xml",
    "OQSſiquc01res_202605120011.xml",
    "O\u212aSsiquc01res_202605120011.xml",
    "YZ\u212asiquc01res_202605120011.xml",
    "OQSsiquc01res_<script>.xml",
    "OQSsiquc01res_" + "1" * 200 + ".xml",
    "CON",
    "NUL.xml",
    "xOQSsiquc01res_202605120011.xml",
    "OQSsiquc01res_202605120011.xml.xml",
]


@pytest.mark.parametrize("name", REFUSED)
def test_a_name_of_others_or_a_trick_is_left_alone(name: str) -> None:
    assert parse_name(name) is None


def test_the_time_in_a_face_name_is_japanese_time() -> None:
    found = parse_name("OQSsiquc01res_face_99190000113fb0c1d97a64e8250b7e_20260512091533.xml")
    assert found is not None
    assert found.written_at == datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)
    assert found.correlation is None


@pytest.mark.parametrize("free_part", ["abc", "20261399999999", "9919000011_2026051209153"])
def test_a_face_name_without_a_readable_time_is_still_a_face(free_part: str) -> None:
    found = parse_name(f"OQSsiquc01res_face_{free_part}.xml")
    assert found is not None
    assert (found.kind, found.written_at) == (MessageKind.FACE, None)


def test_request_answer_and_return_share_one_correlation() -> None:
    names = ["OQSsiquc01req_AB12.xml", "oqssiquc01RES_AB12.xml", "OQSsiquc01req_AB12.err", "OQSsiquc01res_AB12.zip"]
    assert {found.correlation for name in names if (found := parse_name(name))} == {"OQSsiquc01req_AB12"}


@pytest.mark.parametrize(
    ("name", "folders"),
    [
        ("OQSsiquc01res_face_20260512091533.xml", {Folder.FACE}),
        ("OQSsiquc01res_202605120011.xml", {Folder.RES}),
        ("OQSsiquc01req_202605120011.xml", {Folder.RES, Folder.REQ}),
        ("OQSsiquc01req_202605120011.err", {Folder.RES}),
    ],
)
def test_each_name_belongs_in_its_folders_only(name: str, folders: set[Folder]) -> None:
    found = parse_name(name)
    assert found is not None
    assert {folder for folder in Folder if found.belongs_in(folder)} == folders


def test_an_answer_is_named_after_its_request() -> None:
    name = request_name(MessageKind.BULK_VISIT, "02", "202605120007")
    assert name == "OQSmuhvq02req_202605120007.xml"
    assert response_name(name) == "OQSmuhvq02res_202605120007.xml"
    found = parse_name(response_name(name))
    assert found is not None
    assert (found.direction, found.extension) == (Direction.RESPONSE, Extension.XML)


@pytest.mark.parametrize("name", ["OQSsiquc01res_202605120011.xml", "x.xml", "OQSsiquc01req_202605120011.err"])
def test_only_a_request_has_an_answer(name: str) -> None:
    with pytest.raises(ValueError, match="not the name of a request"):
        response_name(name)


@pytest.mark.parametrize(
    "free_part",
    [
        "",
        "1" * 11,
        "1" * 21,
        "20260512req1",
        "20260512RES1",
        "20260512ReQ1",
        "2026_0512_00",
        "２０２６０５１２０００１",
        "../../../../x",
    ],
)
def test_a_free_part_that_others_would_misread_is_refused(free_part: str) -> None:
    with pytest.raises(ValueError, match="free part"):
        request_name(MessageKind.ELIGIBILITY, "01", free_part)


@pytest.mark.parametrize(("kind", "phase"), [(MessageKind.FACE, "01"), (MessageKind.ELIGIBILITY, "02")])
def test_no_request_is_named_that_does_not_exist(kind: MessageKind, phase: Phase) -> None:
    with pytest.raises(ValueError, match=r"never asked|no such phase"):
        request_name(kind, phase, "202605120001")
