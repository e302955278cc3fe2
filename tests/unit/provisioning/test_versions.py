"""Which version of RabbitMQ is told what, and is anything rendered that one of them would refuse or lose?

`rendered.json` holds the whole rendering of a small group, and apart from it what differs in each version.
`python -m tests.unit.provisioning.test_versions` writes it anew; look at the difference before it is committed.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.broker.definitions import NO_LIMIT
from pipeline.errors import PermanentError
from pipeline.provisioning.rendering import Kind, render
from pipeline.provisioning.server import MESSAGE_BYTES, server_conf
from pipeline.provisioning.versions import (
    NEEDED_FLAGS,
    abilities_of,
    demand_flags,
    disabled_flags,
    parse_version,
    password_hash,
)
from pipeline.settings import load
from pipeline.topology import DELIVERY_LIMIT

FILE = Path(__file__).with_name("rendered.json")
VERSIONS = ("3.10.8", "3.11.28", "3.12.14", "3.13.7", "4.0.9", "4.1.8", "4.2.5", "4.3.5", "4.4.0")
TEXT = """\
[broker]
url = "amqps://broker/onshi"
[[clinics]]
id = "c001"
institution_codes = ["9919000011"]
[[clinics.terminals]]
id = "t1"
face = "f"
res = "r"
req = "q"
[clinics.chart]
inbox = "inbox"
patients = "patients.csv"
[[vendors]]
id = "acme"
clinics = ["c001"]
"""

Objects = dict[str, dict[str, Any]]


def rendered(version: str) -> Objects:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "onshi.toml").write_text(TEXT)
        made = render(load(Path(folder), {}), parse_version(version))
    return {" ".join([kind, *key]).strip(): body for (kind, key), body in made.objects.items()}


def held() -> dict[str, Objects]:
    found: dict[str, Objects] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize("version", VERSIONS)
def test_each_version_is_told_what_was_agreed(version: str) -> None:
    kept = held()
    assert rendered(version) == {**kept["every version"], **kept[version]}


def test_only_policies_depend_on_the_version_for_a_queue_could_never_be_changed() -> None:
    kept = held()
    assert {name for version in VERSIONS for name in kept[version]} == {"policy vendor.acme"}
    assert kept.keys() == {"every version", *VERSIONS}


REFUSED = {
    "x-queue-mode": "refused from 4.3",
    "x-queue-version": "refused from 4.3 where it is 1, and of classic queues only",
    "x-queue-master-locator": "refused from 4.3",
    "x-max-priority": "means something else for quorum queues from 4.3",
}


def queues(version: str) -> Objects:
    return {name: body for name, body in rendered(version).items() if name.startswith("queue ")}


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_rendered_that_a_version_deprecates_or_has_taken_away(version: str) -> None:
    for name, body in rendered(version).items():
        if name.startswith(("queue ", "exchange ")):
            assert body["durable"], f"{name}: transient queues are refused from 4.3"
            assert not body["auto_delete"]
            assert not REFUSED.keys() & body["arguments"].keys(), name
        if name.startswith("policy "):
            assert not [key for key in body["definition"] if key.startswith("ha-")], "no mirroring from 4.0"


def test_every_queue_says_its_type_for_a_virtual_host_may_have_a_default_of_its_own() -> None:
    assert {body["arguments"]["x-queue-type"] for body in queues("4.4.0").values()} == {"quorum", "stream"}


def test_every_queue_says_its_delivery_limit_for_4_0_drops_at_the_twentieth_return_where_none_is_said() -> None:
    limits = {
        name: body["arguments"].get("x-delivery-limit")
        for name, body in queues("4.0.9").items()
        if body["arguments"]["x-queue-type"] == "quorum"
    }
    work = {name for name, body in queues("4.0.9").items() if body["arguments"].get("x-dead-letter-routing-key")}
    work = {name for name in work if ".retry." not in name}
    assert {limits[name] for name in work} == {DELIVERY_LIMIT}
    assert {limits[name] for name in limits.keys() - work} == {NO_LIMIT}


def test_a_broker_older_than_3_10_is_refused() -> None:
    with pytest.raises(PermanentError, match=r"older than RabbitMQ 3\.10"):
        abilities_of((3, 9, 29))


def test_a_message_as_large_as_the_product_makes_them_is_taken_by_4_x_too() -> None:
    # 8 MiB of a file and its record, sealed, each step in base64: more than the 16 MiB that 4.x takes by default.
    assert f"max_message_size = {MESSAGE_BYTES}\n" in server_conf(5671)
    assert 16 << 20 < MESSAGE_BYTES <= 512 << 20


def flag(name: str, state: str, stability: str = "stable") -> dict[str, str]:
    return {"name": name, "state": state, "stability": stability}


@pytest.mark.parametrize("name", NEEDED_FLAGS)
def test_a_cluster_that_came_from_an_older_version_without_what_we_need_is_named(name: str) -> None:
    rows = [flag(each, "disabled" if each == name else "enabled") for each in NEEDED_FLAGS]
    with pytest.raises(PermanentError, match=f"not enabled: {name}$"):
        demand_flags(rows)


def test_flags_that_graduated_or_are_experiments_are_nobody_s_business() -> None:
    rows = [flag("khepri_db", "disabled", "experimental"), flag("rabbitmq_4.2.0", "enabled", "required")]
    demand_flags(rows)
    assert disabled_flags(rows) == []
    assert disabled_flags([*rows, flag("message_containers", "disabled")]) == ["message_containers"]


@pytest.mark.parametrize(
    ("row", "found"),
    [
        pytest.param({"password_hash": "", "hashing_algorithm": "sha256"}, "", id="before 4.4, none"),
        pytest.param({"password_hash": "kI3GCq=="}, "kI3GCq==", id="before 4.4, one"),
        pytest.param({"has_password": False}, "", id="4.4, none"),
        pytest.param({"has_password": True}, None, id="4.4, one"),
        pytest.param({}, None, id="nothing said, so that it is set anew rather than believed"),
    ],
)
def test_a_user_s_password_is_seen_by_whatever_a_version_shows_of_it(row: dict[str, Any], found: str | None) -> None:
    assert password_hash(row) == found


def written() -> str:
    made = {version: rendered(version) for version in VERSIONS}
    first = made[VERSIONS[0]]
    same = {name: body for name, body in first.items() if all(each.get(name) == body for each in made.values())}
    apart = {v: {name: body for name, body in each.items() if name not in same} for v, each in made.items()}
    return json.dumps({"every version": same, **apart}, indent=1, sort_keys=True) + "\n"


def test_a_kind_that_is_only_ever_found_is_never_wanted() -> None:
    kinds = list(Kind)
    found_only = kinds[kinds.index(Kind.PERMISSION_ELSEWHERE) :]
    assert not [name for name in rendered("4.4.0") if name.startswith(tuple(found_only))]


if __name__ == "__main__":
    FILE.write_text(written(), encoding="utf-8")
