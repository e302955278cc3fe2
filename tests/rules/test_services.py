"""Do the descriptions of services start what there is, and end it as it wants to be ended?"""

import re
import shlex
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from pipeline.cli.grammar import parse
from pipeline.cli.supervise import GRACE_SECONDS
from pipeline.settings import EdgeSettings, KeysSettings
from pipeline.topology import CENTRE_ROLES, EDGE_ROLES

INFRA = Path(__file__).parents[2] / "infra"
UNITS = sorted((INFRA / "systemd").glob("*.service"))
PROGRAM = "/opt/onshi/.venv/bin/onshi"
INSTANCES = {"onshi@.service": CENTRE_ROLES, "onshi-edge@.service": EDGE_ROLES, "onshi.service": ("",)}


def test_every_unit_is_known_here() -> None:
    assert {unit.name for unit in UNITS} == INSTANCES.keys()


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_runs_a_command_of_ours_and_lets_it_finish(unit: Path) -> None:
    text = unit.read_text()
    (start,) = re.findall(r"(?m)^ExecStart=(.+)$", text)
    for instance in INSTANCES[unit.name]:
        program, *words = shlex.split(start.replace("%i", instance))
        assert program == PROGRAM
        parse(words)
    (seconds,) = re.findall(r"(?m)^TimeoutStopSec=(\d+)$", text)
    assert int(seconds) > GRACE_SECONDS
    for line in ("User=onshi", "KillSignal=SIGTERM", "Restart=always", "UMask=0077", "LimitCORE=0"):
        assert f"\n{line}\n" in text
    assert "\nNoNewPrivileges=yes\n" in text


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_takes_a_unit_as_it_is(unit: Path, tmp_path: Path) -> None:
    verify = shutil.which("systemd-analyze")
    if verify is None:
        pytest.skip("systemd-analyze is not on this machine")
    # The program and the account are not on this machine: only what is written is looked at.
    text = unit.read_text().replace(PROGRAM, "/bin/true").replace("User=onshi\n", "")
    here = tmp_path / unit.name.replace("@", "@parsing")
    here.write_text(text)
    done = subprocess.run([verify, "verify", "--man=no", here], capture_output=True, text=True, check=False, timeout=60)
    assert [line for line in done.stderr.splitlines() if here.name in line] == []


def test_the_windows_service_starts_and_ends_a_terminal() -> None:
    service = ET.parse(INFRA / "windows/onshi-terminal.xml").getroot()
    assert service.tag == "service"
    start, stop = (shlex.split(service.findtext(name, "")) for name in ("startarguments", "stoparguments"))
    assert start[start.index("--exec") + 1] == PROGRAM
    assert parse(start[start.index("--exec") + 2 :]).roles == ["terminal"]
    pattern = stop[-1].replace("python.*", r"python\S*")
    assert re.fullmatch(pattern, f"{PROGRAM[:-5]}python3 {' '.join(start[start.index('--exec') + 1 :])}")
    assert "-TERM" in stop
    assert int(service.findtext("stoptimeout", "0").split()[0]) > GRACE_SECONDS


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_a_unit_may_write_where_its_configuration_keeps_state_and_keys(unit: Path) -> None:
    text = unit.read_text()
    (config,) = (Path(path) for path in re.findall(r"(?m)^ExecStart=.+ --config (\S+)$", text))
    folder = config.parent if config.suffix else config
    # What `onshi terminals enrol` writes, and the settings' own defaults.
    kept = ("state", "keys") if unit.name == "onshi-edge@.service" else (EdgeSettings().state, KeysSettings().dir)
    (writable,) = (line.split() for line in re.findall(r"(?m)^ReadWritePaths=(.+)$", text))
    for name in kept:
        assert any((folder / name).is_relative_to(path) for path in writable), name
