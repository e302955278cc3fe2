"""What `onshi check` says of the reserve for a full disk and of the spools."""

import json
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import text

from pipeline import authority
from pipeline.authority import Purpose
from pipeline.broker_settings import BrokerSettings
from pipeline.cli import check
from pipeline.cli.roles import Assembly
from pipeline.settings import EdgeSettings, StoreSettings
from pipeline.storage import open_store
from pipeline.topology import Role
from tests.support.eventually import eventually
from tests.unit.cli.conftest import Office

DAY = timedelta(days=1)


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


@pytest.mark.parametrize(("days", "named"), [(29, True), (31, False), (-1, True)])
def test_a_certificate_that_ends_within_a_month_is_named(office: Office, days: int, *, named: bool) -> None:
    made, now = authority.found(office.root / "ca", "Test", datetime.now(UTC)), datetime.now(UTC)
    made.issue("edge.c001.t1", Purpose.CLIENT, office.root, now - 3 * DAY, age=DAY * (days + 3))
    broker = BrokerSettings(
        url="amqps://localhost:1/onshi",
        ca_file=made.certificate_file,
        cert_file=office.root / "edge.c001.t1.crt",
        key_file=office.root / "edge.c001.t1.key",
    )
    settings = office.settings.model_copy(update={"broker": broker})
    assert bool(list(check._certificates(settings))) == named
    (office.root / "edge.c001.t1.crt").write_text("")
    (fault,) = check._certificates(settings)
    assert fault.endswith("is no certificate that can be read")


@pytest.mark.parametrize(("seconds", "said"), [(61, "61 s ahead"), (-3600, "3600 s behind"), (59, ""), (-59, "")])
def test_a_share_whose_machine_has_another_time_says_how_far_the_clocks_are_apart(seconds: int, said: str) -> None:
    found = list(check._drift(Path("face"), 1e9, 1e9 + seconds))
    assert [said in fault for fault in found] == ([True] if said else [])


def test_the_space_of_the_edges_state_counts_where_it_is_a_disk_of_its_own(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "LEAST_FREE_BYTES", 1 << 60)
    (fault,) = check._disk(office.settings)
    assert str(office.root) in fault
    other = office.settings.model_copy(update={"edge": EdgeSettings(state=Path("/dev/shm/none/yet"))})
    assert len(list(check._disk(other))) == 2


def test_a_group_that_has_no_clinic_yet_needs_no_keys(office: Office) -> None:
    group = '[broker]\nurl = "amqp://127.0.0.1:1/"\ndeclare = false\n[group]\nadmin = "admin"\n[keys]\ndir = "none"\n'
    (office.root / "onshi.toml").write_text(group)
    assert not [fault for fault in faults(office) if fault.startswith("keys.dir")]


@pytest.mark.postgresql
def test_a_store_that_takes_no_writes_is_a_fault(office: Office, postgresql_url: str) -> None:
    """Roles only wait for it, as for one that comes back: whoever sets up a group asks here first."""
    settings = office.settings.model_copy(update={"store": StoreSettings(url=postgresql_url)})
    assert list(check._store(settings)) == []
    admin = open_store(postgresql_url)
    with admin.transaction() as connection:
        name = admin.engine.url.database
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    admin.close()
    (fault,) = check._store(settings)
    assert fault.startswith("store.url: takes no writes")
