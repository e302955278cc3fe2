"""The witness of the fault matrix sees what it is there to see, and nothing else."""

import json
from pathlib import Path

import pytest

from tests.support.eventually import eventually
from tests.support.witness import Witness

CONTENT = b"<XmlMsg/>"


@pytest.fixture
def face(tmp_path: Path) -> Path:
    (tmp_path / "inbox").mkdir()
    (tmp_path / "face").mkdir()
    return tmp_path / "face"


def arrive(witness: Witness, root: Path, name: str = "one.xml", content: bytes = CONTENT) -> Path:
    (root / name).write_bytes(content)
    return witness.put(root / name)


def deliver(root: Path, name: str = "one.xml", content: bytes = CONTENT, file_id: str = "f1") -> None:
    for suffix, written in ((".xml", content), (".json", json.dumps({"name": name}).encode())):
        # Complete when its name appears, as the chart role writes: the witness takes whatever it sees.
        (root / "aside").write_bytes(written)
        (root / "aside").rename(root / "inbox" / f"{file_id}{suffix}")


def test_a_file_that_was_delivered_before_it_left_is_no_complaint(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        path = arrive(witness, tmp_path)
        deliver(tmp_path)
        path.unlink()
        eventually(lambda: not witness.there, 10, "its leaving seen")
        eventually(lambda: len(witness.taken) == 2, 10)
    assert (witness.lost, witness.duplicates, witness.pieces, witness.wrong_erasures) == (0, 0, 0, 0)


def test_a_file_that_left_before_it_was_delivered_is_a_wrong_erasure_though_it_came_later(
    tmp_path: Path, face: Path
) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        path = arrive(witness, tmp_path)
        path.unlink()
        eventually(lambda: not witness.there, 10, "its leaving seen")
        deliver(tmp_path)
        eventually(lambda: len(witness.taken) == 2, 10)
    assert (witness.lost, witness.wrong_erasures) == (0, 1)


def test_a_file_whose_record_had_not_come_when_it_left_is_a_wrong_erasure(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        path = arrive(witness, tmp_path)
        (tmp_path / "inbox" / "f1.xml").write_bytes(CONTENT)
        path.unlink()
        eventually(lambda: not witness.there, 10, "its leaving seen")
    assert witness.wrong_erasures == 1


def test_a_file_that_never_came_is_lost_and_one_that_nobody_wrote_is_a_piece(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        arrive(witness, tmp_path)
        deliver(tmp_path, content=CONTENT[:4])
        eventually(lambda: len(witness.taken) == 2, 10)
    assert (witness.lost, witness.pieces) == (1, 1)


def test_a_delivery_that_comes_again_is_a_duplicate(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        arrive(witness, tmp_path)
        for times in (1, 2):
            deliver(tmp_path)
            eventually(lambda goal=2 * times: witness.taken.total() == goal, 10)
    assert witness.duplicates == 2


def test_an_absent_folder_or_another_one_in_its_place_shows_nothing_of_any_file(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        arrive(witness, tmp_path)
        face.rename(tmp_path / "away")
        looked = witness.looks
        eventually(lambda: witness.looks > looked + 1, 10)
        face.mkdir()
        looked = witness.looks
        eventually(lambda: witness.looks > looked + 1, 10)
        face.rmdir()
        (tmp_path / "away").rename(face)
        assert (len(witness.there), witness.wrong_erasures) == (1, 0)


def test_what_somebody_else_may_take_away_is_not_ours_to_complain_of(tmp_path: Path, face: Path) -> None:
    with Witness(tmp_path / "inbox", face) as witness:
        path = arrive(witness, tmp_path)
        witness.release(path.name)
        path.unlink()
        looked = witness.looks
        eventually(lambda: witness.looks > looked + 1, 10)
    assert witness.wrong_erasures == 0
