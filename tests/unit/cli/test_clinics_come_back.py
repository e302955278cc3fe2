"""An id that a clinic had is that clinic's for ever: another one under it would be searched among its patients."""

from pathlib import Path

import pytest

from pipeline.cli.main import main

MAIN = '[broker]\nurl = "amqps://broker/onshi"\n[group]\nadmin = "admin"\n'
FORMER = '[[clinics]]\nid = "c002"\ninstitution_codes = {}\n'
DATED = '[{ code = "9919000029", to = 2026-03-31 }, { code = "9919000037", from = 2026-04-01 }]'


def add(root: Path, codes: str, new: str) -> int:
    (root / "onshi.toml").write_text(MAIN)
    (root / "clinic.c002.toml.retired").write_text(FORMER.format(codes))
    return main(["clinics", "add", "c002", "--code", new, "-c", str(root)])


@pytest.mark.parametrize("codes", ['["9919000029"]', DATED])
def test_another_clinic_under_the_id_of_one_that_left_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], codes: str
) -> None:
    assert add(tmp_path, codes, "9919000045") == 2
    said = capsys.readouterr().err
    assert "9919000029" in said
    assert "another id" in said
    assert not (tmp_path / "clinic.c002.toml").exists()


@pytest.mark.parametrize(("codes", "new"), [('["9919000029"]', "9919000029"), (DATED, "9919000037")])
def test_a_clinic_that_left_comes_back_under_its_id(tmp_path: Path, codes: str, new: str) -> None:
    # The broker is told last, and there is none here.
    assert add(tmp_path, codes, new) == 1
    assert (tmp_path / "clinic.c002.toml").exists()
