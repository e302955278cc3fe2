"""Everything is on the disk before what relies on it begins, and each defect that would change this is found out."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.rabbit import RabbitNode
from tests.support.sweep.clinic import Clinic, clinic
from tests.support.sweep.defects import DEFECTS, SEEN_IN_ORDER, SEEN_IN_SWEEP
from tests.support.sweep.drive import Drive

SEED = 20260514
pytestmark = [pytest.mark.rabbitmq, pytest.mark.xdist_group("order")]

CHECKS = {
    "terminal": {
        "spool flushed before ledger",
        "ledger flushed before publish",
        "confirm before mark",
        "intent flushed before rename",
        "overwriting flushed before unlink",
        "folder flushed before ledger",
    },
    "chart": {
        "only temporary names are written",
        "file flushed before its name",
        "stage flushed before its name",
        "folder flushed before ledger",
        "effect before receipt",
    },
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, rabbit_node: RabbitNode) -> Iterator[Clinic]:
    url = rabbit_node.url(rabbit_node.add_vhost())
    with clinic(tmp_path_factory.mktemp("order") / "site", broker=url, seed=SEED) as opened:
        Drive(opened, SEED).settle()
        yield opened


@pytest.mark.parametrize("role", CHECKS)
def test_an_edge_flushes_before_it_relies_on_what_it_wrote(made: Clinic, role: str) -> None:
    found = Drive(made, SEED).follow(role)
    assert found.broken == []
    assert set(found.looked_at) == CHECKS[role]


@pytest.mark.parametrize("defect", SEEN_IN_ORDER)
def test_the_order_check_finds_out_a_planted_defect(made: Clinic, defect: str) -> None:
    role, check = SEEN_IN_ORDER[defect]
    made.plant(role, defect)
    try:
        found = Drive(made, SEED).follow(role)
    finally:
        made.plant(role, "")
    assert [line for line in found.broken if line.startswith(check)]


@pytest.mark.parametrize("defect", SEEN_IN_SWEEP)
def test_the_sweep_finds_out_a_planted_defect(tmp_path: Path, rabbit_url: str, defect: str) -> None:
    role, point, complaint = SEEN_IN_SWEEP[defect]
    with clinic(tmp_path / "site", broker=rabbit_url, seed=SEED) as opened:
        drive = Drive(opened, SEED, end_seconds=15)
        opened.plant(role, defect)
        drive.settle()
        # A chart that is back sooner than the terminal erases would hide what is wrong.
        (outcome,) = drive.at(point, back_when=lambda: _shows(opened, defect))
        assert outcome.is_broken
        assert any(complaint in why for why in outcome.why), outcome.why


def _shows(opened: Clinic, defect: str) -> bool:
    return defect != "erase_before_delivery" or not any(opened.face.iterdir())


def test_every_planted_defect_is_looked_for() -> None:
    assert set(DEFECTS) == {*SEEN_IN_ORDER, *SEEN_IN_SWEEP}
