"""Where in a file may a name stand and still be found?"""

from pathlib import Path

import pytest

from pipeline.invariants import canaries

CHUNK = 4096


@pytest.mark.parametrize("before", [0, CHUNK - 15, CHUNK - 5, CHUNK, 2 * CHUNK - 3, 3 * CHUNK + 1])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16-le", "utf-16-be"])
def test_a_name_is_found_wherever_it_stands_among_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, encoding: str
) -> None:
    monkeypatch.setattr(canaries, "_CHUNK", CHUNK)
    word = "Ōta John".encode(encoding)
    path = tmp_path / "ballast"
    path.write_bytes(bytes(before) + word + bytes(2 * CHUNK))
    assert canaries._holds(path, [b"absent", word], [])
    path.write_bytes(bytes(before) + word[:-2] + bytes(2 * CHUNK))
    assert not canaries._holds(path, [b"absent", word], [])
