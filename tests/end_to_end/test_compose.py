"""The services of `docker-compose.yml`, started as processes from its own words, carry files to their end."""

import json
import subprocess
from pathlib import Path

import pytest

from pipeline.topology import CENTRE_ROLES
from tests.support.authority_node import AuthorityNode, free_ports
from tests.support.compose import ROOT, Processes
from tests.support.eventually import eventually

COUNT = 10
EDGES = ("terminal", "chart")


def prepare(directory: Path) -> None:
    subprocess.run([ROOT / "infra/group/prepare.sh", directory / "group"], check=True, capture_output=True, timeout=60)


@pytest.mark.rabbitmq
@pytest.mark.postgresql
@pytest.mark.timeout(280)
def test_every_service_of_ours_starts_from_the_files_words_and_ten_files_become_final(
    tmp_path: Path, postgresql_url: str
) -> None:
    tls, management = free_ports()
    made = Processes(tmp_path, {"broker:5671": f"localhost:{tls}", "broker:15671": f"localhost:{management}"})
    group = tmp_path / "group"
    prepare(tmp_path)
    for path in (group / "config").iterdir():
        path.write_text(made.local(path.read_text()))
    # The password is PostgreSQL's own business; where the store is, the file of secrets says.
    (group / "secrets/store_url").write_text(postgresql_url)
    made.once("office", "ca", "init", "--host", "localhost", "-c", "/etc/onshi")
    prepare(tmp_path)
    node = AuthorityNode(group / "ca", tls, management, (group / "secrets/broker_admin.conf").read_text())
    try:
        node.start()
        made.once("provision")
        made.start(*CENTRE_ROLES)
        made.once("enrolment")
        made.start(*EDGES)
        made.wait_until_healthy(*CENTRE_ROLES, *EDGES)
        made.once("simulation")

        def is_final() -> bool:
            state = json.loads(made.once("office", "status", "--json", "-c", "/etc/onshi"))
            return state["files"]["erased"] == COUNT and state["outcomes"]["delivered"] == COUNT

        clinic = made.host_path("volume:clinic")
        eventually(lambda: len(list((clinic / "chart/inbox").glob("*.json"))) == COUNT, 120, "ten files delivered")
        eventually(is_final, 120, "ten files final")
        assert list((clinic / "oqs/face").iterdir()) == []
        assert len(list((clinic / "chart/inbox").glob("*.json"))) == COUNT
        made.once("office", "verify", "-c", "/etc/onshi")
        made.once("office", "provision", "audit", "-c", "/etc/onshi")
        # A second `up` repeats what runs once, and changes nothing.
        made.once("provision")
        made.once("enrolment")
        assert made.stop() == dict.fromkeys((*CENTRE_ROLES, *EDGES), 0)
    finally:
        made.close()
        node.close()
