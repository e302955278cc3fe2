"""Does `docker-compose.yml` fit the product, the files it mounts, and what a container may do at most?"""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.authority import REGISTER
from pipeline.broker_settings import BrokerSettings
from pipeline.cli.grammar import parse
from pipeline.provisioning.server import ServerFiles, management_conf, server_conf, server_options
from pipeline.settings import HttpSettings, KeysSettings, StoreSettings, load
from pipeline.topology import CENTRE_ROLES, Role
from tests.support.compose import GROUP, ROOT, commands, mounts, read, words

COMPOSE = read()
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"].startswith("onshi:")}
LASTING = {name for name, service in SERVICES.items() if service.get("restart") != "no"}
TABLES = {"BROKER": BrokerSettings, "STORE": StoreSettings, "KEYS": KeysSettings, "HTTP": HttpSettings}
PREPARE = (ROOT / "infra/group/prepare.sh").read_text()
EACH = pytest.mark.parametrize("name", SERVICES)


def test_every_role_of_the_centre_is_a_service_of_its_own_that_can_be_scaled() -> None:
    for role in CENTRE_ROLES:
        service = SERVICES[role]
        assert list(commands(service)) == [["run", role, "-c", "/etc/onshi"]]
        assert "container_name" not in service
        assert "ports" not in service, "a second instance could not have it"
        assert service["depends_on"] == {
            "provision": {"condition": "service_completed_successfully"},
            "store": {"condition": "service_healthy"},
        }


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_one_of_ours_and_every_variable_a_setting(name: str) -> None:
    given = list(commands(OURS[name]))
    assert given
    for command in given:
        parse(command)
    for variable in OURS[name].get("environment", {}):
        table, key = re.fullmatch(r"ONSHI_([A-Z]+)_([A-Z_]+)", variable).groups()  # type: ignore[union-attr]
        assert key.lower() in {*TABLES[table].model_fields, "url_file"}, variable


@EACH
def test_a_service_may_do_the_least(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", service["user"]), "not root, and by number"
    forbidden = {"privileged", "cap_add", "devices", "pid", "ipc", "network_mode", "userns_mode"}
    assert not forbidden & service.keys()
    assert "docker.sock" not in str(service)
    assert re.fullmatch(r"[\w/]+:v?\d+\.\d+[\w.-]*", service["image"]), "pinned to a version"
    if name in LASTING:
        assert service["stop_grace_period"]
        assert service["healthcheck"]["test"]


@EACH
def test_no_secret_stands_in_the_file(name: str) -> None:
    for key, value in SERVICES[name].get("environment", {}).items():
        if re.search("PASSWORD|SECRET|TOKEN|KEY_FILE|URL_FILE", key):
            assert str(value).startswith(("/run/secrets/", "/var/lib/onshi/ca/")), key


@EACH
def test_what_is_mounted_is_in_the_tree_or_made_by_preparing(name: str) -> None:
    made_by_init = {
        "ca/ca.crt",
        "ca/crl",
        "ca/register",
        "ca/centre/service.centre.crt",
        "ca/centre/service.centre.key",
    }
    made_by_init |= {f"ca/broker/{file}" for file in BROKER_FILES}
    for inside, source in mounts(COMPOSE, SERVICES[name]).items():
        assert inside.startswith("/")
        if source.startswith("volume:"):
            assert source.removeprefix("volume:") in COMPOSE["volumes"]
        elif source.startswith(GROUP):
            own = source.removeprefix(f"{GROUP}/")
            made = rf"\bkeep {own[8:]}$" if own.startswith("secrets/") else rf'[ "]"?\$group/{own}"'
            assert own in made_by_init or re.search(made, PREPARE, re.MULTILINE), own
        else:
            assert (ROOT / source).exists(), source


BROKER_FILES = ("onshi.conf", "advanced.config", "enabled_plugins", "broker.crt", "broker.key")


def test_the_broker_finds_the_files_that_ca_init_names() -> None:
    inside = mounts(COMPOSE, SERVICES["broker"])
    place = Path("/etc/rabbitmq/onshi")
    files = ServerFiles(place / "ca.crt", place / "broker.crt", place / "broker.key", place / "crl")
    named = re.findall(r"/etc/rabbitmq/onshi/[\w.]+", server_options(files) + management_conf(files, 15671))
    assert set(named) <= inside.keys()
    ports = re.findall(r"(?:default|ssl\.port) = (\d+)", server_conf(5671) + management_conf(files, 15671))
    assert sorted(port.split(":")[-1] for port in SERVICES["broker"]["ports"]) == sorted(ports, key=str)
    assert SERVICES["broker"]["hostname"] == "broker"


def test_the_key_of_the_authority_is_given_to_no_running_role() -> None:
    holders = {
        name
        for name, service in SERVICES.items()
        for source in mounts(COMPOSE, service).values()
        if source in (f"{GROUP}/ca", f"{GROUP}/ca/ca.key", GROUP)
    }
    assert holders == {"office", "provision", "enrolment"}
    assert not holders & LASTING


def test_who_shows_the_groups_certificates_is_given_the_authoritys_register() -> None:
    settings = load(ROOT / "infra/group/config", {})
    assert settings.group
    inside = mounts(COMPOSE, SERVICES[Role.DELETION])
    assert str((settings.group.ca_dir / REGISTER).parent) in inside
    assert str(settings.group.ca_dir / "ca.crt") in inside
    shared = mounts(COMPOSE, SERVICES[Role.PARSING])
    assert shared.items() <= inside.items()


def test_only_a_broker_is_reached_from_other_machines() -> None:
    open_to_all = {
        name: service["ports"]
        for name, service in SERVICES.items()
        if any(not port.startswith("127.0.0.1:") for port in service.get("ports", []))
    }
    assert open_to_all.keys() == {"broker"}
    assert [port for port in open_to_all["broker"] if not port.startswith("127.")] == ["5671:5671"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert all("outside" not in service["networks"] for service in OURS.values())


def test_a_health_check_asks_what_is_served() -> None:
    health = (ROOT / "pipeline/health.py").read_text()
    for name in OURS.keys() & LASTING:
        (address,) = re.findall(r"http://127\.0\.0\.1:(\d+)(/\w+)", " ".join(SERVICES[name]["healthcheck"]["test"]))
        assert address[0] == OURS[name]["environment"]["ONSHI_HTTP_PORT"] == str(HttpSettings().port)
        assert f'self.path == "{address[1]}"' in health


def test_prometheus_asks_every_role_and_the_broker_and_finds_its_files() -> None:
    scraped = yaml.safe_load((ROOT / "infra/prometheus/prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in scraped["scrape_configs"]}
    (roles,) = jobs["onshi"]["dns_sd_configs"]
    assert sorted(roles["names"]) == sorted(CENTRE_ROLES)
    assert roles["port"] == HttpSettings().port
    for job in ("rabbitmq", "rabbitmq-queues"):
        assert jobs[job]["static_configs"] == [{"targets": ["broker:15692"]}]
    (manager,) = scraped["alerting"]["alertmanagers"]
    assert manager["static_configs"] == [{"targets": ["alertmanager:9093"]}]
    inside = mounts(COMPOSE, SERVICES["prometheus"])
    assert {"/etc/prometheus/prometheus.yml", *(f"/etc/prometheus/{file}" for file in scraped["rule_files"])} <= set(
        inside
    )
    alerts = yaml.safe_load((ROOT / "infra/alertmanager/alertmanager.yml").read_text())
    told = alerts["receivers"][0]["webhook_configs"][0]["url_file"]
    assert told in mounts(COMPOSE, SERVICES["alertmanager"])
    known = set(re.findall(r"alert: (\w+)", (ROOT / "infra/prometheus/rules.yml").read_text()))
    matchers = [each for rule in alerts["inhibit_rules"] for side in rule.values() for each in side]
    assert {name for each in matchers for name in re.findall(r'^alertname="(\w+)"$', each)} <= known
    roles = {name for each in matchers for name in re.findall(r'^(?:consumer|role)="(\w+)"$', each)}
    assert roles <= set(CENTRE_ROLES)


def test_grafana_finds_its_dashboards_and_prometheus() -> None:
    inside = mounts(COMPOSE, SERVICES["grafana"])
    provider = yaml.safe_load((ROOT / "infra/grafana/provisioning/dashboards/onshi.yml").read_text())["providers"][0]
    assert inside[provider["options"]["path"]] == "./infra/grafana/dashboards"
    source = yaml.safe_load((ROOT / "infra/grafana/provisioning/datasources/prometheus.yml").read_text())
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert SERVICES["prometheus"]["ports"] == ["127.0.0.1:9090:9090"]


def test_the_example_configuration_is_one_of_ours_and_names_the_services() -> None:
    settings = load(ROOT / "infra/group/config", {})
    assert settings.group
    assert settings.broker.url == settings.group.edge_url == "amqps://broker:5671/onshi"
    assert not settings.broker.declare
    assert settings.group.management_url == "https://broker:15671"
    for path in (settings.group.ca_file, settings.group.admin_password_file):
        assert str(path) in mounts(COMPOSE, SERVICES["office"]) or str(path).startswith("/var/lib/onshi/ca/")
    assert "@store:5432/onshi" in PREPARE
    assert f"default_user = {settings.group.admin}" in PREPARE
    (who,) = settings.staff
    assert f"--gid 10001 {who.os_user}" in CONTAINER


CONTAINER = (ROOT / "infra/container/Containerfile").read_text()


def test_the_image_is_pinned_and_of_no_root() -> None:
    stages = re.findall(r"(?m)^FROM (\S+)", CONTAINER)
    assert len(stages) == 2
    assert all(re.fullmatch(r"python:3\.\d+\.\d+-slim-\w+", stage) for stage in stages)
    user = re.findall(r"(?m)^USER (\S+)", CONTAINER)
    assert user == [service["user"] for service in OURS.values()][:1]
    assert {service["user"] for service in OURS.values()} == set(user)
    assert "--require-hashes" in CONTAINER
    assert words(SERVICES["parsing"])[0] == "onshi"
    assert 'ENTRYPOINT ["onshi"]' in CONTAINER
    assert {service["build"]["dockerfile"] for service in OURS.values()} == {"infra/container/Containerfile"}
