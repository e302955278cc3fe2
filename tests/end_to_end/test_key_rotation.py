"""A clinic's keys are replaced while its terminal works on another machine: it hears of them, and no file is lost."""

import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select

from pipeline.cli.main import main
from pipeline.events import EdgeReported
from pipeline.key_bundle import hand_over
from pipeline.keyring import EpochKey, read_ring
from pipeline.sealing import KeyClass
from pipeline.storage import Store, open_store
from pipeline.storage.schema import copies, edges, files
from pipeline.topology import Edge
from tests.support.eventually import eventually
from tests.support.site import Site, site

pytestmark = [pytest.mark.rabbitmq, pytest.mark.timeout(280)]
BEFORE, MEANWHILE = 20, 60


@pytest.fixture
def centre(tmp_path: Path, rabbit_url: str) -> Iterator[Site]:
    with site(tmp_path / "centre", broker=rabbit_url) as made:
        yield made


@pytest.fixture
def machine(tmp_path: Path, rabbit_url: str, centre: Site) -> Iterator[Site]:
    """The clinic's own machine: it has public keys, its own pair, and no store."""
    with site(tmp_path / "machine", broker=rabbit_url) as made:
        shutil.rmtree(made.settings.keys.dir)
        hand_over(centre.settings.keys.dir, Edge("c001", "t1"), made.settings.keys.dir)
        yield made


@pytest.fixture
def store(centre: Site) -> Iterator[Store]:
    opened = open_store(centre.settings.store.url)
    opened.make_schema()
    yield opened
    opened.close()


def simulate(machine: Site, count: int, seed: int, *words: str) -> list[str]:
    own = ["simulate", "--terminal", "t1", "--count", str(count), "--seed", str(seed), "-c", str(machine.config)]
    return [*own, "--patients", str(machine.root / f"{seed}.csv"), *words]


def rotate(centre: Site, key_class: KeyClass) -> tuple[EpochKey, EpochKey]:
    """Replace the key of this class that is sealed to now; returns the former one and the new one."""
    assert main(["keys", "rotate", "--class", key_class, "-c", str(centre.config)]) == 0
    ring = read_ring(centre.settings.keys.dir)[0]
    newest = max((key for key in ring.epochs if key.key_class is key_class), key=lambda key: key.generation)
    same = [key for key in ring.epochs if (key.key_class, key.epoch) == (newest.key_class, newest.epoch)]
    return same[0], same[-1]


def sealed_to(store: Store) -> Counter[str]:
    """Count the files that the centre has opened and read, by the key they came sealed to."""
    query = select(files.c.original_key, func.count()).where(files.c.sealed_record.is_not(None))
    query = query.group_by(files.c.original_key)
    with store.reading() as connection:
        return Counter(
            {str(key): int(count) for key, count in connection.execute(query.group_by(files.c.original_key))}
        )


def reported(store: Store) -> EdgeReported | None:
    with store.reading() as connection:
        report = connection.scalar(select(edges.c.report).where(edges.c.edge == "t1"))
    return EdgeReported.model_validate_json(report) if report else None


def test_a_terminal_hears_of_new_keys_under_load_and_what_it_sealed_to_the_former_is_opened(
    centre: Site, machine: Site, store: Store
) -> None:
    assert main(simulate(machine, BEFORE, 1)) == 0
    terminal = machine.start("terminal")
    parsing = centre.start("parsing")
    eventually(lambda: sealed_to(store).total() >= BEFORE, 120, "first files stored")
    # Nobody reads meanwhile: what is captured now lies on the broker, sealed to the former key.
    centre.kill(parsing)
    load = [sys.executable, "-m", "pipeline.cli", *simulate(machine, MEANWHILE, 2, "--rate", "10")]
    with subprocess.Popen(load, stdout=subprocess.DEVNULL) as writing:
        eventually(lambda: len(list(machine.face.iterdir())) > BEFORE + 5, 60, "files come")
        former, new = rotate(centre, KeyClass.ORIGINAL)
        centre.start("parsing")
        deletion = centre.start("deletion")
        eventually(lambda: sealed_to(store)[new.identifier] > 0, 120, "the terminal seals to the new key")
        assert writing.wait(120) == 0
    eventually(lambda: sealed_to(store).total() == BEFORE + MEANWHILE, 120, "every file stored and read")
    counted = sealed_to(store)
    assert counted.keys() == {former.identifier, new.identifier}
    assert counted[former.identifier] > BEFORE, "some were sealed to the former key and opened after its replacement"
    with store.reading() as connection:
        assert connection.scalar(select(func.count()).select_from(copies)) == BEFORE + MEANWHILE
    assert main(["parked", "list", "-c", str(centre.config), "--json"]) == 0

    _, standing = rotate(centre, KeyClass.STANDING)
    eventually(lambda: (report := reported(store)) and report.standing_key == standing.identifier, 60, "it says so")
    ours = {key.identifier for key in read_ring(machine.settings.keys.dir)[0].epochs}
    assert {new.identifier, standing.identifier} <= ours
    assert not (machine.settings.keys.dir / "slots.bin").exists()
    assert centre.stop(deletion) == machine.stop(terminal) == 0
