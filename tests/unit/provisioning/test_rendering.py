"""What is rendered for a configuration, and what is changed to get there?"""

import json
import ssl
from datetime import UTC, date, datetime
from pathlib import Path
from typing import cast

import pytest
from joserfc.jwk import ECKey

from pipeline.authority import AuthorityError, Purpose, found, name_hash
from pipeline.cli.group_files import GroupFiles
from pipeline.cli.main import main
from pipeline.group import GroupSettings
from pipeline.provisioning.difference import Action, Change, Held, compare
from pipeline.provisioning.live import Writer
from pipeline.provisioning.management import Management, _mistrust
from pipeline.provisioning.rendering import Kind, Rendering, render, within_reach
from pipeline.provisioning.versions import parse_version
from pipeline.setting_text import text_of
from pipeline.settings import Settings, SettingsError, load
from pipeline.topology import CENTRE_ROLES

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
MAIN = '[broker]\nurl = "amqps://broker/onshi"\n[group]\nadmin = "admin"\n'
CLINIC = '[[clinics]]\nid = "{0}"\ninstitution_codes = ["{1}"]\n[[clinics.terminals]]\nid = "t1"\nface = "{0}/f"\n'
CLINIC += 'res = "{0}/r"\nreq = "{0}/q"\n'


def directory(path: Path, vendor: str = "") -> Path:
    (path / "onshi.toml").write_text(MAIN)
    (path / "clinic.c001.toml").write_text(CLINIC.format("c001", "9919000011"))
    (path / "clinic.c002.toml").write_text(CLINIC.format("c002", "9919000029"))
    (path / "vendor.acme.toml").write_text(f'[[vendors]]\nid = "acme"\nclinics = ["c001"]\n{vendor}')
    return path


@pytest.fixture
def group(tmp_path: Path) -> Settings:
    return load(directory(tmp_path), {})


# The configuration


def test_a_directory_is_read_as_one_configuration(group: Settings, tmp_path: Path) -> None:
    assert [clinic.id for clinic in group.clinics] == ["c001", "c002"]
    assert [vendor.id for vendor in group.vendors] == ["acme"]
    assert group.clinics[0].terminals[0].face == tmp_path / "c001" / "f"
    assert group.group
    assert group.group.ca_dir == tmp_path / "ca"


def test_every_fault_of_every_file_is_named_with_its_file(tmp_path: Path) -> None:
    directory(tmp_path, "colour = 1\n")
    (tmp_path / "clinic.c002.toml").write_text(CLINIC.format("C002", "9919000029"))
    (tmp_path / "other.toml").write_text('[broker]\nurl = "embedded:"\n')
    (tmp_path / "torn.toml").write_text("[[clinics")
    with pytest.raises(SettingsError) as wrong:
        load(tmp_path, {})
    said = "\n".join(wrong.value.faults)
    for part in (
        "clinic.c002.toml: clinics.1.id",
        "vendor.acme.toml: vendors.0.colour",
        "other.toml: broker.url",
        "torn.toml",
    ):
        assert part in said


@pytest.mark.parametrize(
    "text",
    [
        'cert_file = "a.crt"',
        'url = "amqp://broker/onshi"\nca_file = "ca.crt"',
    ],
    ids=["half a pair", "certificates without TLS"],
)
def test_certificates_that_could_not_be_used_are_a_fault(tmp_path: Path, text: str) -> None:
    path = tmp_path / "onshi.toml"
    url = "" if "url" in text else 'url = "amqps://broker/onshi"\n'
    path.write_text(f"[broker]\n{url}{text}\n{CLINIC.format('c001', '9919000011')}")
    with pytest.raises(SettingsError, match="broker"):
        load(path, {})


def test_a_management_password_never_crosses_a_network_in_clear(tmp_path: Path) -> None:
    directory(tmp_path)
    (tmp_path / "onshi.toml").write_text(f'{MAIN}management_url = "http://broker:15672"\n')
    with pytest.raises(SettingsError, match="without TLS only on this machine"):
        load(tmp_path, {})


@pytest.mark.parametrize(
    "url", ["http://localhost:1@broker", "https://onshi:secret@broker", "https://broker/rabbit", "xhttp://localhost"]
)
def test_an_address_that_would_be_read_otherwise_than_it_looks_is_a_fault(tmp_path: Path, url: str) -> None:
    directory(tmp_path)
    (tmp_path / "onshi.toml").write_text(f'{MAIN}management_url = "{url}"\n')
    with pytest.raises(SettingsError, match="management_url"):
        load(tmp_path, {})


def test_half_a_pair_for_the_management_is_a_fault(tmp_path: Path) -> None:
    directory(tmp_path)
    (tmp_path / "onshi.toml").write_text(f'{MAIN}admin_cert_file = "admin.crt"\n')
    with pytest.raises(SettingsError, match="admin_cert_file and admin_key_file belong together"):
        load(tmp_path, {})


def test_written_tables_read_back_as_they_were(tmp_path: Path) -> None:
    tables = {
        "clinics": [{"id": "c001", "institution_codes": ["9919000011"], "terminals": [{"id": "t1", "face": "a\\b"}]}]
    }
    tables["clinics"][0]["chart"] = {"inbox": "診察", "clinical": True}  # type: ignore[assignment]
    import tomllib  # noqa: PLC0415

    assert tomllib.loads(text_of(tables, "two\nlines")) == tables


def test_a_clinic_whose_code_changes_can_be_given_another_terminal(tmp_path: Path) -> None:
    directory(tmp_path)
    path = tmp_path / "clinic.c001.toml"
    changes = '["9919000011", { code = "9919000037", from = 2026-04-01 }]'
    path.write_text(path.read_text().replace('["9919000011"]', changes))
    before, files = load(tmp_path, {}), GroupFiles(load(tmp_path, {}))
    assert files.write(path, files.tables(path)).clinics == before.clinics
    assert before.clinics[0].code_days[0].code == "9919000037"
    days = {"codes": [{"code": "9919000037", "from": date(2026, 4, 1)}]}
    assert text_of(days) == '[[codes]]\ncode = "9919000037"\nfrom = 2026-04-01\n'


# The rendering


@pytest.mark.parametrize(
    ("text", "version"),
    [("3.10.8", (3, 10, 8)), ("4.1.0-rc.1", (4, 1, 0)), ("4.3.1+12.g0", (4, 3, 1)), ("3.13", (3, 13))],
)
def test_a_version_is_read_as_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    ("version", "applies_to"),
    [
        ((3, 10, 8), "queues"),
        ((3, 11, 28), "queues"),
        ((3, 12, 0), "streams"),
        ((4, 0, 1), "streams"),
        ((4, 3, 5), "streams"),
    ],
    ids=str,
)
def test_a_policy_names_the_type_of_queue_where_the_version_knows_it(
    group: Settings, version: tuple[int, ...], applies_to: str
) -> None:
    policy = render(group, version).objects[Kind.POLICY, ("vendor.acme",)]
    assert policy == {
        "pattern": r"^vendor\.acme$",
        "definition": {"max-age": "604800s"},
        "apply-to": applies_to,
        "priority": 0,
    }


def test_versions_differ_in_nothing_else(group: Settings) -> None:
    oldest, newest = (render(group, version).objects for version in ((3, 10, 8), (4, 3, 5)))
    assert {key for key in oldest if oldest[key] != newest[key]} == {(Kind.POLICY, ("vendor.acme",))}
    assert oldest.keys() == newest.keys()


def test_nobody_but_the_provisioning_user_may_configure_and_nobody_has_a_password(group: Settings) -> None:
    made = render(group, (3, 10, 8))
    for (kind, _), body in made.objects.items():
        if kind is Kind.PERMISSION:
            assert body["configure"] == "^$"
        if kind is Kind.USER:
            assert body == {"tags": "", "password_hash": ""}


def reach(settings: Settings) -> set[str]:
    """List what `onshi check` asks for first, which a broker must tell this machine's user of."""
    picked = within_reach(settings)
    return {spec.name for spec in (*picked.exchanges, *picked.queues)}


def test_what_a_machine_asks_for_first_is_what_its_user_has_a_right_to(group: Settings) -> None:
    queues = {name for role in CENTRE_ROLES for name in (role.value, f"{role}.parked")}
    exchanges = {f"onshi.{name}" for name in ("events", "public", "retry", "return", "dead")}
    assert reach(group) == {*queues, *exchanges, "unrouted"}
    machine = group.model_copy(update={"group": None, "clinics": group.clinics[:1]})
    assert reach(machine) == {"onshi.intake", "edge.c001.t1"}
    assert reach(machine.model_copy(update={"clinics": ()})) == set()


def test_every_user_has_a_row_for_every_topic_exchange(group: Settings) -> None:
    made = render(group, (3, 10, 8)).objects
    users = {key[0] for kind, key in made if kind is Kind.USER}
    rows = {key for kind, key in made if kind is Kind.TOPIC_PERMISSION}
    assert users == {"service.centre", "edge.c001.t1", "edge.c002.t1", "vendor.acme"}
    assert rows == {(user, exchange) for user in users for exchange in ("onshi.intake", "onshi.events", "onshi.public")}


def test_a_vendor_that_is_disabled_keeps_its_stream_and_loses_its_user(tmp_path: Path) -> None:
    made = render(load(directory(tmp_path, "disabled = true\n"), {}), (3, 10, 8)).objects
    assert (Kind.QUEUE, ("vendor.acme",)) in made
    assert (Kind.USER, ("vendor.acme",)) not in made


# The difference


def changes(wanted: Rendering, found: Rendering) -> list[tuple[Action, Kind, str, Held | None]]:
    return [(c.action, c.kind, c.name, c.held) for c in compare(wanted, found, GroupSettings(admin="admin"))]


def rendering(*objects: tuple[Kind, str], messages: int | None = None) -> Rendering:
    made = Rendering("onshi")
    for kind, key in objects:
        made.put(kind, tuple(key.split(" ")), {})
        if kind is Kind.QUEUE:
            made.messages[key] = messages
    return made


def test_what_is_as_configured_needs_no_change(group: Settings) -> None:
    assert compare(render(group, (3, 10, 8)), render(group, (3, 10, 8)), GroupSettings()) == []


def test_rights_are_narrowed_before_they_are_given(group: Settings) -> None:
    made = [change.kind for change in compare(render(group, (3, 10, 8)), Rendering("onshi"), GroupSettings())]
    assert made.index(Kind.PERMISSION) > max(at for at, kind in enumerate(made) if kind is Kind.TOPIC_PERMISSION)


def test_a_user_that_goes_goes_before_its_queue() -> None:
    found = rendering((Kind.QUEUE, "edge.c001.t1"), (Kind.BINDING, "onshi.events edge.c001.t1 k"), messages=0)
    found.put(Kind.USER, ("edge.c001.t1",), {})
    assert [kind for _, kind, _, _ in changes(Rendering("onshi"), found)] == [Kind.USER, Kind.BINDING, Kind.QUEUE]


@pytest.mark.parametrize(
    ("messages", "held"), [(0, None), (1, Held.MESSAGES), (None, Held.MESSAGES)], ids=["empty", "one", "not said"]
)
def test_only_a_queue_known_to_be_empty_goes_by_itself(messages: int | None, held: Held | None) -> None:
    found = rendering((Kind.QUEUE, "vendor.acme"), messages=messages)
    assert changes(Rendering("onshi"), found) == [(Action.DELETE, Kind.QUEUE, "vendor.acme", held)]


@pytest.mark.parametrize(
    ("kind", "key", "held"),
    [
        (Kind.USER, "alice", Held.OTHERS),
        (Kind.QUEUE, "alices", Held.OTHERS),
        (Kind.EXCHANGE, "alices", Held.OTHERS),
        (Kind.BINDING, "alices alices k", Held.OTHERS),
        (Kind.BINDING, "onshi.events alices k", None),
        (Kind.USER, "vendor.gone", None),
        (Kind.POLICY, "vendor.gone", None),
        (Kind.OPERATOR_POLICY, "drop", Held.OTHERS),
        (Kind.OPERATOR_POLICY, "vendor.gone", Held.OTHERS),
        (Kind.PARAMETER, "shovel drain onshi", Held.OTHERS),
        (Kind.PARAMETER, "shovel drain elsewhere", Held.SHOWN),
        (Kind.OTHER_VHOST, "elsewhere", Held.SHOWN),
        (Kind.FEATURE_FLAG, "stream_queue", Held.SHOWN),
        (Kind.PERMISSION_ELSEWHERE, "edge.c001.t1 elsewhere", None),
    ],
)
def test_what_is_not_ours_is_shown_and_left_unless_it_carries_what_is_ours(
    kind: Kind, key: str, held: Held | None
) -> None:
    assert changes(Rendering("onshi"), rendering((kind, key), messages=0)) == [(Action.DELETE, kind, key.strip(), held)]


def test_the_provisioning_user_is_never_a_difference() -> None:
    found = rendering((Kind.USER, "admin"), (Kind.PERMISSION, "admin"))
    assert changes(Rendering("onshi"), found) == []


def test_a_queue_of_another_kind_is_never_replaced_by_itself() -> None:
    wanted, found = rendering((Kind.QUEUE, "parsing")), rendering((Kind.QUEUE, "parsing"), messages=0)
    found.objects[Kind.QUEUE, ("parsing",)]["durable"] = False
    assert changes(wanted, found) == [(Action.REPLACE, Kind.QUEUE, "parsing", Held.MESSAGES)]


def test_a_queue_that_is_replaced_gets_back_the_bindings_that_end_with_it(group: Settings) -> None:
    wanted, found = render(group, (3, 10, 8)), render(group, (3, 10, 8))
    found.put(Kind.QUEUE, ("parsing",), {**found.objects[Kind.QUEUE, ("parsing",)], "durable": False})
    made = compare(wanted, found, GroupSettings())
    bound = [key for kind, key in wanted.objects if kind is Kind.BINDING and key[1] == "parsing"]
    assert [(c.action, c.key) for c in made[:1]] == [(Action.REPLACE, ("parsing",))]
    assert [(c.action, c.key, c.held) for c in made[1:]] == [(Action.CREATE, key, Held.MESSAGES) for key in bound]


def test_what_is_only_shown_no_option_changes() -> None:
    shown = Change(Action.DELETE, Kind.OTHER_VHOST, ("edge.c001.vhost",), held=Held.SHOWN)
    assert not Writer(cast(Management, None), "onshi", force="", prune=True).may(shown)


def test_force_for_one_clinic_deletes_no_other_queue() -> None:
    writer = Writer(cast(Management, None), "onshi", force="edge.c001.")
    held = [
        Change(Action.DELETE, Kind.QUEUE, (name,), held=Held.MESSAGES) for name in ("edge.c001.t1", "edge.c0011.t1")
    ]
    others = Change(Action.REPLACE, Kind.QUEUE, ("parsing",), held=Held.MESSAGES)
    assert [writer.may(change) for change in (*held, others)] == [True, False, False]


def test_a_clinic_is_not_retired_by_half_where_the_authority_cannot_sign(tmp_path: Path) -> None:
    group = load(directory(tmp_path), {})
    authority = group.group.ca_dir if group.group else tmp_path
    found(authority, "Test", NOW)
    (authority / "ca.key").unlink()
    assert main(["clinics", "retire", "c002", "-c", str(tmp_path)]) == 1
    assert load(tmp_path, {}).clinics == group.clinics


def test_a_change_shows_no_more_than_names() -> None:
    assert Change(Action.DELETE, Kind.BINDING, ("onshi.events", "q", "")).name == 'onshi.events q ""'


# The authority


def test_there_is_one_authority_in_a_directory(tmp_path: Path) -> None:
    made = found(tmp_path, "Test", NOW)
    with pytest.raises(AuthorityError, match="already"):
        found(tmp_path, "Test", NOW)
    assert (tmp_path / "ca.key").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "crl").iterdir()] == [f"{name_hash(made._certificate.subject)}.r0"]


def test_a_revocation_counts_for_every_certificate_of_the_name_but_the_newest(tmp_path: Path) -> None:
    made = found(tmp_path / "ca", "Test", NOW)
    for _ in range(2):
        made.issue("edge.c001.t1", Purpose.CLIENT, tmp_path, NOW)
    newest = made.issue("edge.c001.t1", Purpose.CLIENT, tmp_path, NOW)
    made.issue("edge.c001.t2", Purpose.CLIENT, tmp_path, NOW)
    assert made.revoke("edge.c001.t1", NOW, but=newest.serial) == 2
    assert made.revoke("edge.c001.t1", NOW, but=newest.serial) == 0
    assert made.standing("edge.c001.t1", NOW) == (newest,)
    assert len(made.standing("edge.c001.t2", NOW)) == 1
    assert (tmp_path / "edge.c001.t1.key").stat().st_mode & 0o077 == 0


def test_a_name_no_certificate_can_carry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AuthorityError, match="longer"):
        found(tmp_path / "ca", "Test", NOW).issue("e" * 65, Purpose.CLIENT, tmp_path, NOW)


def test_a_group_without_a_clinic_gets_its_authority_and_is_told_what_comes_next(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "onshi.toml").write_text(MAIN)
    assert main(["ca", "init", "--host", "broker", "-c", str(tmp_path)]) == 0
    assert "onshi provision apply" in capsys.readouterr().out
    assert main(["ca", "renew", "service.centre", "--out", str(tmp_path / "out"), "-c", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "in place of the former pair; the former counts until its own day" in said
    assert "crl" not in said


def test_who_revokes_is_told_to_copy_the_list_and_a_program_is_told_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "onshi.toml").write_text(MAIN)
    words = ["service.centre", "-c", str(tmp_path)]
    main(["ca", "init", "--host", "broker", "-c", str(tmp_path)])
    assert main(["ca", "renew", "--out", str(tmp_path / "out"), "--revoke", *words]) == 0
    *_, copy, disconnect = capsys.readouterr().out.splitlines()
    assert copy.startswith("copy ")
    assert disconnect.endswith("onshi ca disconnect service.centre")
    assert main(["ca", "revoke", "--json", *words]) == 0
    assert json.loads(capsys.readouterr().out) == {"revoked": 1}
    assert main(["ca", "revoke", *words]) == 1
    assert "crl" not in capsys.readouterr().out


# What a vendor hands in


def test_the_private_half_of_a_vendors_key_is_refused_and_kept_nowhere(tmp_path: Path) -> None:
    found(load(directory(tmp_path), {}).root / "ca", "Test", NOW)
    private = tmp_path / "handed.pem"
    private.write_bytes(ECKey.generate_key("P-256").as_pem(private=True))
    words = ["--record", "face", "--public-key", str(private), "--out", str(tmp_path / "out"), "-c", str(tmp_path)]
    assert main(["vendors", "add", "beta", *words]) == 2
    assert [path.name for path in tmp_path.iterdir() if "beta" in path.name] == []


@pytest.mark.parametrize(
    ("code", "sentence"), [(9, "has not begun"), (10, "has ended"), (62, "another host"), (20, "not signed by whom")]
)
def test_each_fault_of_the_managements_certificate_has_its_own_sentence(code: int, sentence: str) -> None:
    error = ssl.SSLCertVerificationError("certificate verify failed")
    error.verify_code = code
    assert sentence in _mistrust(error)
