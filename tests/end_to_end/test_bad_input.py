"""Whatever lies in the folders: a typed reason, the service alive, and nothing of others touched."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.site import Site, names, site

SAMPLES = Path(__file__).parents[1] / "samples"
FACE = SAMPLES / "face" / "OQSsiquc01res_face_99190000113fb0c1d97a64e8250b7e_20260512091533.xml"
PREFIX = "OQSsiquc01res_face_9919000011"


def face_name(number: int) -> str:
    return f"{PREFIX}{number:020x}_20260512091533.xml"


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><XmlMsg><MessageHeader>&c;</MessageHeader></XmlMsg>'
)
EXTERNAL = (
    b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/hostname">]>'
    b"<XmlMsg><MessageHeader>&e;</MessageHeader></XmlMsg>"
)


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Site]:
    with site(tmp_path / "site") as running:
        config = running.config.read_text() + "\n[edge]\nunfinished_seconds = 2\n"
        running.config.write_text(config)
        yield running


def reasons(made: Site) -> dict[str, str]:
    return {row["name"]: row["reason"] for row in made.ask("files", "list")}


def test_every_hostile_file_gets_its_reason_and_leaves_the_terminal(made: Site) -> None:
    whole = FACE.read_bytes()
    bad = {
        face_name(1): (BOMB, "doctype"),
        face_name(2): (EXTERNAL, "doctype"),
        face_name(3): (whole[: len(whole) // 2], "truncated"),
        face_name(4): (whole.decode().encode("cp932"), "encoding"),
        face_name(5): (b"", "empty"),
        face_name(6): (b"\x1f\x8b\x08\x00" + bytes(64), "not_xml"),
        face_name(7): (whole.replace(b"XmlMsg", b"Message"), "wrong_root"),
        face_name(8): (b"<?xml version='1.0'?>" + b"<a>" * 2000 + b"</a>" * 2000, "too_deep"),
        face_name(9): (whole.replace(b"9919000011", b"9919999999"), "foreign_institution"),
    }
    for name, (content, _) in bad.items():
        (made.face / name).write_bytes(content)
    made.simulate(5)
    process = made.start()
    made.wait_until_final(len(bad) + 5)
    told = reasons(made)
    assert {name: told[name] for name in bad} == {name: reason for name, (_, reason) in bad.items()}
    assert names([made.face]) == []
    assert len(list(made.inbox.glob("*.json"))) == 5
    assert made.ask("status")["outcomes"]["rejected"] == len(bad)
    assert made.stop(process) == 0


def test_what_is_no_plain_file_of_ours_is_held_untouched_with_its_victim(made: Site, tmp_path: Path) -> None:
    victim = tmp_path / "victim.xml"
    victim.write_bytes(FACE.read_bytes())
    (made.face / face_name(1)).symlink_to(victim)
    linked = tmp_path / "linked.xml"
    linked.write_bytes(FACE.read_bytes())
    os.link(linked, made.face / face_name(2))
    (made.face / face_name(3)).mkdir()
    os.mkfifo(made.face / face_name(4))
    with (made.face / face_name(5)).open("wb") as large:
        large.truncate((8 << 20) + 1)
    made.simulate(3)
    process = made.start()
    made.wait_until_final(3)
    eventually(lambda: made.state()["files"]["held"] == 5, 60, "five refused copies")
    told = reasons(made)
    assert {told[face_name(n)] for n in (1, 2)} == {"linked"} or told[face_name(1)] == "not_regular"
    assert told[face_name(2)] == "linked"
    assert told[face_name(3)] == told[face_name(4)] == "not_regular"
    assert told[face_name(5)] == "too_large"
    assert victim.read_bytes() == linked.read_bytes() == FACE.read_bytes()
    assert len(names([made.face])) == 5
    assert made.stop(process) == 0


def test_files_of_other_systems_are_never_touched(made: Site) -> None:
    others = {
        "del20260512.txt": b"DELFILE",
        "OQSsiquc01res_face_half.tmp": b"<XmlMsg>",
        "EPSsiDMP01res_202605120001.xml": FACE.read_bytes(),
        "PMHsimsm01res_202605120001.xml": FACE.read_bytes(),
        "letter.docx": b"word",
    }
    for name, content in others.items():
        (made.res / name).write_bytes(content)
    (made.res / "sub").mkdir()
    shutil.copy(FACE, made.res / "sub" / FACE.name)
    before = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in made.res.rglob("*") if path.is_file()}
    made.simulate(3)
    process = made.start()
    made.wait_until_final(3)
    assert made.stop(process) == 0
    after = {path: (path.stat().st_mtime_ns, path.stat().st_ino) for path in made.res.rglob("*") if path.is_file()}
    assert after == before


def test_every_sample_of_every_kind_flows_to_its_final_state(made: Site) -> None:
    for folder in ("face", "res"):
        for path in sorted((SAMPLES / folder).iterdir()):
            target = made.face if folder == "face" else made.res
            shutil.copy(path, target / path.name)
    count = len(list((SAMPLES / "face").iterdir())) + len(list((SAMPLES / "res").iterdir()))
    made.simulate(1)
    process = made.start()
    made.wait_until_final(count + 1)
    rows = made.ask("files", "list")
    assert not [row for row in rows if row["outcome"] == "rejected"]
    assert names([made.face, made.res]) == []
    assert made.ask("status")["parked"] == {}
    assert made.stop(process) == 0
