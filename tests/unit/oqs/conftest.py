from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.oqs.names import FileName, parse_name
from pipeline.oqs.parse import parse
from pipeline.oqs.records import Record

SAMPLES = Path(__file__).parents[2] / "samples"


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """Bytes of the one sample whose name ends so."""

    def find(ending: str) -> bytes:
        (path,) = SAMPLES.glob(f"*/*{ending}")
        return path.read_bytes()

    return find


@pytest.fixture
def record_of() -> Callable[[str], Record]:
    def read(ending: str) -> Record:
        (path,) = SAMPLES.glob(f"*/*{ending}")
        return parse(named(path.name), path.read_bytes())

    return read


def named(name: str) -> FileName:
    found = parse_name(name)
    assert found is not None
    return found
