"""Room for what is in hand: given up when the disk is full, made again when there is room for twice as much."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.ballast import Ballast, held, is_spent

SIZE = 1 << 16


class Disk:
    """What `statvfs` tells; the ballast itself is really written."""

    def __init__(self) -> None:
        self.free = 1 << 30

    def statvfs(self, _: object) -> SimpleNamespace:
        return SimpleNamespace(f_blocks=1 << 20, f_frsize=4096, f_bavail=self.free // 4096)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    made = Disk()
    monkeypatch.setattr(os, "statvfs", made.statvfs)
    return made


def test_it_takes_real_room_and_gives_it_back(tmp_path: Path, disk: Disk) -> None:
    path = tmp_path / "ballast"
    ballast = Ballast(path, SIZE, "here")
    assert not is_spent(path)
    assert ballast.tend()
    assert held(path) == SIZE
    ballast.release()
    assert is_spent(path)
    assert held(path) == 0


def test_it_is_given_up_when_there_is_nearly_no_room_and_made_again_when_there_is_twice_its_size(
    tmp_path: Path, disk: Disk
) -> None:
    ballast = Ballast(tmp_path / "ballast", SIZE, "here")
    ballast.tend()
    disk.free = 0
    assert not ballast.tend()
    assert ballast.bytes_held() == 0
    disk.free = 2 * SIZE - 4096
    assert not ballast.tend()
    disk.free = 2 * SIZE
    assert ballast.tend()
    assert ballast.bytes_held() == SIZE


def test_a_size_of_nothing_keeps_none_and_is_always_whole(tmp_path: Path, disk: Disk) -> None:
    disk.free = 0
    assert Ballast(tmp_path / "ballast", 0, "here").tend()
    assert not (tmp_path / "ballast").exists()


def test_of_a_small_disk_it_takes_a_small_part(tmp_path: Path, disk: Disk) -> None:
    ballast = Ballast(tmp_path / "ballast", 1 << 40, "here")
    disk.free = 0
    assert not ballast.tend()
    assert ballast.bytes_held() == 0


def test_a_folder_that_is_away_has_none(tmp_path: Path) -> None:
    assert not Ballast(tmp_path / "away" / "ballast", SIZE, "here").tend()
