"""The days on which certificates end: read from the files that are used, and from the authority's register."""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pipeline.authority import Authority, Purpose, found
from pipeline.broker.tls import Certificates, files_of
from pipeline.cli.roles import Assembly
from pipeline.clock import SystemClock
from pipeline.expiry import FORGOTTEN_SECONDS, UNREADABLE, ExpiryWatch, ends_at, signed_by
from pipeline.metrics import CERTIFICATE_EXPIRY
from pipeline.settings import load
from pipeline.topology import Role
from tests.support.eventually import eventually

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
DAY = timedelta(days=1)


def shown() -> dict[str, float]:
    (metric,) = CERTIFICATE_EXPIRY.collect()
    return {sample.labels["certificate"]: sample.value for sample in metric.samples}


def in_days(days: int) -> float:
    return (NOW + days * DAY).timestamp()


@pytest.fixture
def authority(tmp_path: Path) -> Iterator[Authority]:
    CERTIFICATE_EXPIRY.clear()
    yield found(tmp_path / "ca", "Test", NOW)
    CERTIFICATE_EXPIRY.clear()


def test_a_renewed_file_counts_from_the_next_look_on(authority: Authority, tmp_path: Path) -> None:
    authority.issue("edge.c001.t1", Purpose.CLIENT, tmp_path, NOW, age=40 * DAY)
    pair = Certificates(authority.certificate_file, tmp_path / "edge.c001.t1.crt", tmp_path / "edge.c001.t1.key")
    watch = ExpiryWatch(files_of(pair), None, SystemClock())
    watch.look()
    assert shown() == {"broker_client": in_days(40), "broker_authority": authority.not_after.timestamp()}
    authority.issue("edge.c001.t1", Purpose.CLIENT, tmp_path, NOW, age=400 * DAY)
    watch.look()
    assert shown()["broker_client"] == in_days(400)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_a_file_that_nobody_can_connect_with_has_ended(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "some.crt"
    if content is not None:
        path.write_bytes(content)
    assert ends_at(path) == UNREADABLE


def test_of_several_certificates_in_a_file_the_first_to_end_counts(authority: Authority, tmp_path: Path) -> None:
    for days in (40, 10, 90):
        authority.issue(f"b{days}", Purpose.SERVER, tmp_path, NOW, age=days * DAY)
    chain = tmp_path / "chain.crt"
    chain.write_bytes(b"".join((tmp_path / f"b{days}.crt").read_bytes() for days in (40, 10, 90)))
    assert ends_at(chain) == in_days(10)


def test_the_register_shows_the_newest_of_each_name_and_none_that_was_revoked(
    authority: Authority, tmp_path: Path
) -> None:
    for name, days in (("broker", 30), ("edge.c001.t1", 10), ("edge.c001.t1", 200), ("vendor.acme", 90)):
        authority.issue(name, Purpose.CLIENT, tmp_path, NOW, age=days * DAY)
    wanted = {"broker": in_days(30), "edge.c001.t1": in_days(200), "vendor.acme": in_days(90)}
    assert signed_by(authority.directory, NOW) == wanted
    # Of a name that ended unrenewed people hear for a week, then it is as if retired.
    assert "broker" in signed_by(authority.directory, NOW + 31 * DAY)
    assert "broker" not in signed_by(authority.directory, NOW + 30 * DAY + timedelta(seconds=FORGOTTEN_SECONDS + 1))
    assert signed_by(tmp_path / "none", NOW) == {}


def test_the_register_of_an_authority_of_before_counts_and_moves_with_the_next_word(
    authority: Authority, tmp_path: Path
) -> None:
    authority.issue("edge.c001.t1", Purpose.CLIENT, tmp_path, NOW)
    place = authority.directory
    (place / "register/issued.json").rename(place / "issued.json")
    (place / "register").rmdir()
    assert list(signed_by(place, NOW)) == ["edge.c001.t1"]
    assert authority.revoke("edge.c001.t1", NOW) == 1
    assert signed_by(place, NOW) == {}
    assert not (place / "issued.json").exists(), "nothing brings back what was revoked"


def test_a_name_that_is_revoked_is_shown_no_more(authority: Authority, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    authority.issue("vendor.acme", Purpose.CLIENT, tmp_path, now)
    watch = ExpiryWatch({}, authority.directory, SystemClock())
    watch.look()
    assert list(shown()) == ["vendor.acme"]
    authority.revoke("vendor.acme", now)
    watch.look()
    assert shown() == {}


GROUP = """\
[broker]
url = "amqps://localhost:1/onshi"
declare = false
ca_file = "ca/ca.crt"
cert_file = "service.centre.crt"
key_file = "service.centre.key"
[group]
admin = "admin"
[[clinics]]
id = "c001"
institution_codes = ["9919000011"]
[[clinics]]
id = "c002"
institution_codes = ["9919000029"]
"""


@pytest.mark.parametrize(
    ("role", "names"),
    [
        (Role.PARSING, {"broker_authority", "broker_client"}),
        (Role.DELETION, {"broker_authority", "broker_client", "service.centre", "vendor.acme"}),
    ],
)
def test_a_role_shows_its_own_pair_and_deletion_what_the_group_s_authority_signed(
    authority: Authority, tmp_path: Path, role: Role, names: set[str]
) -> None:
    for name in ("service.centre", "vendor.acme"):
        authority.issue(name, Purpose.CLIENT, tmp_path, datetime.now(UTC))
    (tmp_path / "onshi.toml").write_text(GROUP)
    assembly, stop = Assembly(load(tmp_path, {}), [role]), threading.Event()
    (part,) = (part for part in assembly.parts() if part.name == "certificates")
    thread = threading.Thread(target=part.run, args=(stop,))
    thread.start()
    try:
        eventually(lambda: shown().keys() == names)
    finally:
        stop.set()
        thread.join(20)
        assembly.close()


def test_a_process_without_certificates_watches_none(tmp_path: Path) -> None:
    (tmp_path / "onshi.toml").write_text('[[clinics]]\nid = "c001"\ninstitution_codes = ["9919000011"]\n')
    assembly = Assembly(load(tmp_path, {}), [Role.PARSING])
    assert "certificates" not in {part.name for part in assembly.parts()}
    assembly.close()
