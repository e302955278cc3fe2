"""Somebody who can write to the share swaps names while we erase, thousands of times: his victim's bytes stay.

The victim lies outside the share, holds what the target holds, and the attacker owns every race he wins: under the
target's name, under the quarantine's, and by swapping the folder itself.
"""

import contextlib
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from producers.terminal.folders import ShareAwayError, ShareFolder
from producers.terminal.handles import ObstacleError, Stamp, read_whole
from producers.terminal.wipe import Failure, Taken, Target, Wiped, destroy, inspect, quarantine_name, take
from tests.support.terminal import content, face_name

ROUNDS = 250
SWAPS = 2000
NAME = face_name(1)
BYTES = content(1)


def mac_of(read: bytes) -> str:
    return "same" if read == BYTES else "other"


@dataclass
class Arena:
    """A share with one target, a victim elsewhere, and a thread that swaps one for the other."""

    root: Path
    swap: "Callable[[Arena, str], None]"
    swaps: int = 0
    results: list[Wiped | Failure | str] = field(default_factory=list)

    @property
    def face(self) -> Path:
        return self.root / "face"

    @property
    def victim(self) -> Path:
        return self.root / "elsewhere" / NAME

    @property
    def stash(self) -> Path:
        return self.root / "stash"

    def make(self) -> None:
        self.face.mkdir(parents=True)
        self.victim.parent.mkdir()
        self.victim.write_bytes(BYTES)

    def attack(self, stop: threading.Event) -> None:
        while not stop.is_set():
            names = [NAME]
            with contextlib.suppress(OSError):
                names += [path.name for path in self.face.glob(".onshi-*")]
            for name in names:
                # Each step may find that the eraser was quicker.
                with contextlib.suppress(OSError):
                    self.swap(self, name)
                    self.swaps += 1

    def erase_once(self, folder: ShareFolder) -> Wiped | Failure | str:
        """Do what the eraser does, on whatever lies there."""
        try:
            descriptor = folder.descriptor()
            stamp, read = read_whole(descriptor, NAME, 1 << 20)
        except (ShareAwayError, ObstacleError) as met:
            return type(met).__name__
        if read != BYTES or stamp.identity == Stamp.of(self.victim.stat()).identity:
            return "not ours"  # it would never have been captured under this identity
        target = Target("copy", NAME, quarantine_name(), stamp, "same")
        reason = inspect(descriptor, target)
        if reason:
            return reason
        taken = take(descriptor, target, mac_of)
        if not isinstance(taken, Taken):
            return taken
        (result,) = destroy(descriptor, [taken], "ext4")
        return result

    def run(self, rounds: int) -> None:
        folder = ShareFolder("face", self.face, None)
        stop = threading.Event()
        attacker = threading.Thread(target=self.attack, args=(stop,))
        attacker.start()
        try:
            done = 0
            while done < rounds or self.swaps < SWAPS:
                done += 1
                self.put_target()
                self.results.append(self.erase_once(folder))
                assert self.victim.read_bytes() == BYTES
        finally:
            stop.set()
            attacker.join()
            folder.close()

    def put_target(self) -> None:
        fresh = self.root / "fresh"
        fresh.write_bytes(BYTES)
        with contextlib.suppress(OSError):
            fresh.rename(self.face / NAME)


def _away_and_back(arena: Arena, name: str, plant: Callable[[Path], None]) -> None:
    place = arena.face / name
    place.rename(arena.stash)
    try:
        plant(place)
    finally:
        arena.stash.rename(place)


def _symlink(arena: Arena, name: str) -> None:
    _away_and_back(arena, name, lambda place: place.symlink_to(arena.victim))


def _hard_link(arena: Arena, name: str) -> None:
    _away_and_back(arena, name, lambda place: os.link(arena.victim, place))


def _planted_for_good(arena: Arena, name: str) -> None:
    bait = arena.root / "bait"
    os.link(arena.victim, bait)
    try:
        bait.rename(arena.face / name)
    finally:
        bait.unlink(missing_ok=True)  # where both are the victim already, renaming does nothing


def _pipe(arena: Arena, name: str) -> None:
    _away_and_back(arena, name, os.mkfifo)


def _folder(arena: Arena, _name: str) -> None:
    arena.face.rename(arena.stash)
    try:
        arena.face.symlink_to(arena.victim.parent)
        arena.face.unlink()
    finally:
        arena.stash.rename(arena.face)


ATTACKS = [_symlink, _hard_link, _planted_for_good, _pipe, _folder]


@pytest.fixture(params=ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def arena(tmp_path: Path, request: pytest.FixtureRequest) -> Arena:
    made = Arena(tmp_path, request.param)
    made.make()
    return made


def test_a_racing_attacker_never_turns_the_eraser_on_his_victim(arena: Arena) -> None:
    arena.run(ROUNDS)
    assert arena.victim.read_bytes() == BYTES
    assert arena.swaps >= SWAPS


def test_a_file_moved_away_between_check_and_removal_is_not_said_to_be_removed(tmp_path: Path) -> None:
    face = tmp_path / "face"
    face.mkdir()
    (face / NAME).write_bytes(BYTES)
    folder = os.open(face, os.O_RDONLY)
    target = Target("copy", NAME, quarantine_name(), Stamp.of((face / NAME).stat()), "same")
    taken = take(folder, target, mac_of)
    assert isinstance(taken, Taken)
    unlink = os.unlink

    def swapped(name: str, *, dir_fd: int) -> None:
        (face / name).rename(face / "moved")
        (face / name).write_bytes(b"another")
        unlink(name, dir_fd=dir_fd)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("producers.terminal.wipe.os.unlink", swapped)
        (result,) = destroy(folder, [taken], "ext4")
    os.close(folder)
    assert isinstance(result, Failure)
    assert result.is_stranded
    assert (face / "moved").read_bytes() != BYTES
