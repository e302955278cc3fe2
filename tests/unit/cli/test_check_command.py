"""What `onshi check` says of the reserve for a full disk and of the spools."""

import json
import threading

import pytest

from pipeline.cli.roles import Assembly
from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.unit.cli.conftest import Office


def faults(office: Office) -> list[str]:
    return [str(fault) for fault in json.loads(office.say("check", "--json")[1])["faults"]]


@pytest.mark.parametrize("name", ["ballast", "edge/c001.t1.ballast", "edge/c001.chart.ballast"])
def test_a_spent_reserve_is_a_fault_and_one_that_was_never_made_is_none(office: Office, name: str) -> None:
    path = office.root / "state" / name
    assert not [fault for fault in faults(office) if "reserve" in fault]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    (fault,) = [fault for fault in faults(office) if "reserve" in fault]
    assert fault.startswith("disk: was full")
    path.write_bytes(b"x" * 4096)
    assert not [fault for fault in faults(office) if "reserve" in fault]


def test_a_centre_that_writes_to_this_machine_keeps_a_reserve(office: Office) -> None:
    assembly = Assembly(office.settings, [Role.PARSING])
    stop = threading.Event()
    try:
        (part,) = [part for part in assembly.parts() if part.name == "ballast"]
        thread = threading.Thread(target=part.run, args=(stop,))
        thread.start()
        path = office.root / "state" / "ballast"
        eventually(lambda: path.exists() and path.stat().st_size == office.settings.centre.ballast_bytes)
        stop.set()
        thread.join(10)
    finally:
        stop.set()
        assembly.close()
