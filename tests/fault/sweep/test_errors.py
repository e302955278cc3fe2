"""A full or failing disk, or missing rights, at any call of an edge: nothing is lost, and all goes on afterwards."""

from itertools import islice
from pathlib import Path

import pytest

from tests.support.sweep.clinic import clinic
from tests.support.sweep.drive import Drive

SEED = 20260513
POINTS = 4


@pytest.mark.rabbitmq
def test_an_edge_survives_errors_of_its_disk_and_goes_on_when_they_are_over(tmp_path: Path, rabbit_url: str) -> None:
    with clinic(tmp_path / "site", broker=rabbit_url, seed=SEED) as made:
        drive = Drive(made, SEED)
        drive.settle()
        chosen = [point for role in ("terminal", "chart") for point in islice(drive.faults(role), POINTS)]
        outcomes = [outcome for point in chosen for outcome in drive.at(point)]
        assert [str(o.point) for o in outcomes if o.is_broken] == [], [o.why for o in outcomes if o.is_broken]
        assert sum(outcome.result == "held" for outcome in outcomes) >= POINTS
