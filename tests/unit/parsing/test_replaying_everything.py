"""Everything that was ever said, said again in any order: nothing changes."""

import random
from pathlib import Path
from typing import Any

import pytest

from pipeline.storage.schema import metadata, outbox, results
from tests.support.line import Line
from tests.unit.reconciliation.people import row

SAMPLES = Path(__file__).parents[2] / "samples"


def everything(line: Line) -> dict[str, list[dict[str, Any]]]:
    return {table.name: line.rows(table) for table in metadata.sorted_tables if table is not outbox}


@pytest.mark.parametrize("seed", [1, 2])
def test_replaying_everything_in_any_order_changes_nothing(line: Line, seed: int) -> None:
    line.patients(row())
    captured = [line.captured(path) for name in ("face", "res") for path in sorted((SAMPLES / name).iterdir())]
    captured.append(line.captured(SAMPLES, "OQSsiquc01res_face_1_20260512091533.xml", b"<broken"))
    line.run(*captured)
    assert len(line.rows(results)) > 10
    before, delivered = everything(line), len({(f, r) for f, r, _ in line.deliveries})
    again = [*captured, *line.said]
    random.Random(seed).shuffle(again)
    line.run(*again)
    assert everything(line) == before
    assert len({(f, r) for f, r, _ in line.deliveries}) == delivered
