"""What is said and done of a machine that is no longer let in. There is no broker here: it is told last."""

from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.cli.main import main

GROUP = '[broker]\nurl = "amqps://broker/onshi"\n[group]\nadmin = "admin"\nedge_url = "amqps://broker/onshi"\n'
CLINIC = '[[clinics]]\nid = "c001"\ninstitution_codes = ["9919000011"]\n'


@pytest.fixture
def group(tmp_path: Path) -> Path:
    root = tmp_path / "group"
    root.mkdir()
    (root / "onshi.toml").write_text(GROUP)
    (root / "clinic.c001.toml").write_text(CLINIC)
    assert main(["ca", "init", "--host", "broker", "-c", str(root)]) == 0
    return root


def enrol(group: Path, name: str) -> Path:
    """Enrol the clinic's terminal; returns its state folder."""
    out = group.parent / name
    main(["terminals", "enrol", "c001/t1", "--out", str(out), "-c", str(group)])
    assert (out / "onshi.toml").exists()
    return out / "state"


def revoke(group: Path) -> None:
    assert main(["ca", "revoke", "edge.c001.t1", "-c", str(group)]) == 0


def found_anew(group: Path) -> None:
    (group / "ca").rename(group.parent / "former")
    assert main(["ca", "init", "--host", "broker", "-c", str(group)]) == 0


@pytest.mark.parametrize("end", [revoke, found_anew])
def test_a_machine_after_one_whose_certificate_counts_no_more_knows_that_there_was_another(
    group: Path, end: Callable[[Path], None]
) -> None:
    assert not enrol(group, "first").exists()
    end(group)
    assert [path.name for path in enrol(group, "second").iterdir()] == ["c001.t1.db.lock"]


def test_a_name_that_is_nobodys_is_not_said_to_be_disconnected(
    group: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    enrol(group, "first")
    monkeypatch.setattr("pipeline.cli.authority.disconnect", lambda _settings, _name: 0)
    assert main(["ca", "disconnect", "edge.c001.t1", "-c", str(group)]) == 0
    capsys.readouterr()
    assert main(["ca", "disconnect", "edge.c01.t1", "-c", str(group)]) == 2
    assert "edge.c01.t1" in capsys.readouterr().err
