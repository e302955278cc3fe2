from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.terminal import BenchMaker, benches


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[BenchMaker]:
    with benches(tmp_path) as make:
        yield make
