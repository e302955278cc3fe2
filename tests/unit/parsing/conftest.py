from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from consumers.parsing import consumer as module
from consumers.parsing.reading import Reading, read
from pipeline.clinic_settings import Clinic
from pipeline.contents import SealedFile
from tests.support.line import Line

Spoil = Callable[[Reading], Reading]


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    made = Line(tmp_path / "line")
    yield made
    made.centre.store.close()


@pytest.fixture
def parser(monkeypatch: pytest.MonkeyPatch) -> Callable[[Spoil | None], None]:
    """Give the parser a fault (what it read is changed), or mend it."""

    def give(spoil: Spoil | None) -> None:
        def other(original: SealedFile, clinic: Clinic) -> Reading:
            got = read(original, clinic)
            return spoil(got) if spoil else got

        monkeypatch.setattr(module, "read", other)

    return give
