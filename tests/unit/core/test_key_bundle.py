"""What does a clinic's machine get of the keys, and what does it learn later?"""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline import keyring
from pipeline.key_bundle import accept, hand_over, published
from pipeline.key_events import KeysPublished
from pipeline.keyring import Keyring, read_ring
from pipeline.sealing import KeyClass, Opener, Sealer, UnsealError
from pipeline.topology import Edge

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
LATER = datetime(2027, 6, 2, 9, 0, tzinfo=UTC)
EDGE, OTHER = Edge("c001", "t1"), Edge("c002", "t1")


@pytest.fixture
def centre(tmp_path: Path) -> Path:
    keyring.issue(tmp_path / "centre", ["c001", "c002"], [EDGE, OTHER], NOW)
    return tmp_path / "centre"


def test_a_machine_can_seal_and_only_the_centre_can_open(centre: Path, tmp_path: Path) -> None:
    hand_over(centre, EDGE, tmp_path / "machine")
    machine = Keyring(tmp_path / "machine")
    sealed = Sealer().seal(machine.epoch_key("c001", KeyClass.ORIGINAL, NOW), "c001", "name", b"content")
    with pytest.raises(UnsealError):
        Opener(machine).open("c001", "name", sealed)
    assert Opener(Keyring(centre)).open("c001", "name", sealed) == b"content"


def test_what_is_sealed_to_a_machine_it_alone_can_open(centre: Path, tmp_path: Path) -> None:
    hand_over(centre, EDGE, tmp_path / "machine")
    sealed = Sealer().seal(Keyring(centre).edge_key("c001", "t1"), "c001", "order", b"content")
    assert Opener(Keyring(tmp_path / "machine")).open("c001", "order", sealed) == b"content"
    with pytest.raises(UnsealError):
        Opener(Keyring(centre)).open("c001", "order", sealed)


def test_a_machine_gets_nothing_of_another_clinic_and_no_private_half(centre: Path, tmp_path: Path) -> None:
    hand_over(centre, EDGE, tmp_path / "machine")
    names = {path.name for path in (tmp_path / "machine").iterdir()}
    assert names == {"keyring.json", "identity.c001.key", "edge.c001.t1.key"}
    assert {key.clinic for key in read_ring(tmp_path / "machine")[0].epochs} == {"c001"}


def test_a_machine_that_was_replaced_gets_another_pair(centre: Path, tmp_path: Path) -> None:
    hand_over(centre, EDGE, tmp_path / "first")
    hand_over(centre, EDGE, tmp_path / "second", again=True)
    sealed = Sealer().seal(Keyring(centre).edge_key("c001", "t1"), "c001", "order", b"content")
    assert Opener(Keyring(tmp_path / "second")).open("c001", "order", sealed) == b"content"
    with pytest.raises(UnsealError):
        Opener(Keyring(tmp_path / "first")).open("c001", "order", sealed)


def told(centre: Path) -> KeysPublished:
    return published(Keyring(centre).ring, [EDGE])[0]


def test_a_machine_learns_the_coming_months_in_any_order_and_twice_is_once(centre: Path, tmp_path: Path) -> None:
    machine = tmp_path / "machine"
    hand_over(centre, EDGE, machine)
    early = told(centre)
    keyring.issue(centre, ["c001"], [EDGE], LATER)
    late = told(centre)
    assert early.id != late.id
    assert accept(machine, late) == 3 * 7
    assert accept(machine, late) == accept(machine, early) == 0
    for at in (NOW, LATER):
        assert Keyring(machine).epoch_key("c001", KeyClass.ORIGINAL, at) == Keyring(centre).epoch_key(
            "c001", KeyClass.ORIGINAL, at
        )


def test_the_same_keys_are_the_same_event_and_a_changed_word_about_a_known_month_changes_nothing(
    centre: Path, tmp_path: Path
) -> None:
    machine = tmp_path / "machine"
    hand_over(centre, EDGE, machine)
    event = told(centre)
    assert event.id == told(centre).id
    forged = event.model_copy(update={"keys": tuple(k.model_copy(update={"public": "00" * 32}) for k in event.keys)})
    assert accept(machine, forged) == 0
    assert Keyring(machine).epoch_key("c001", KeyClass.ORIGINAL, NOW) != bytes(32)


def test_the_centre_itself_learns_nothing_from_its_own_word(centre: Path) -> None:
    assert accept(centre, told(centre)) == 0
