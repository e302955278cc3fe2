"""Settings: every fault at once, and nothing guessed."""

from datetime import date, time
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.cli.init import configuration
from pipeline.settings import SettingsError, load
from tests.support.centre import clinic_of


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "onshi.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_configuration_that_init_writes_is_valid_and_its_paths_are_absolute(tmp_path: Path) -> None:
    settings = load(write(tmp_path, configuration(os_user="root")), {})
    terminal = settings.clinics[0].terminals[0]
    assert terminal.face == tmp_path / "oqs/face"
    assert settings.store.url == f"sqlite:///{tmp_path}/state/onshi.db"
    assert settings.keys.dir == tmp_path / "state/keys"
    assert settings.staff_of("root") is not None


def test_every_fault_is_named_at_once(tmp_path: Path) -> None:
    text = configuration().replace('"9919000011"', '"12"').replace('mode = "own"', 'mode = "sometimes"')
    text = text.replace('url = "embedded:"', 'url = "http://x"').replace('role = "manager"', 'rolle = "manager"')
    with pytest.raises(SettingsError) as wrong:
        load(write(tmp_path, text), {})
    said = " ".join(wrong.value.faults)
    for part in ("institution_codes", "mode", "broker.url", "rolle", "role"):
        assert part in said


def test_a_group_begins_without_a_clinic_and_nothing_else_does(tmp_path: Path) -> None:
    broker = '[broker]\nurl = "amqps://h/onshi"\n'
    assert load(write(tmp_path, broker + "[group]\n"), {}).clinics == ()
    with pytest.raises(SettingsError) as wrong:
        load(write(tmp_path, broker + "[brokr]\n"), {})
    assert [fault.partition(":")[0] for fault in wrong.value.faults] == ["clinics", "brokr"]


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('id = "t1"', 'id = "chart"', "chart's name"),
        ('res = "oqs/res"', 'res = "oqs/face"', "given twice"),
        ('id = "c001"', 'id = "C 1"', "id"),
        ("[broker]", "[brokr]", "no such setting"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, old: str, new: str, part: str) -> None:
    with pytest.raises(SettingsError, match=part):
        load(write(tmp_path, configuration().replace(old, new, 1)), {})


def test_the_environment_overrides_and_secrets_come_from_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("amqp://u:CANARY@h/\n")
    text = configuration().replace('url = "embedded:"', 'url_file = "secret"')
    settings = load(write(tmp_path, text), {"ONSHI_STORE_URL": "postgresql://h/db", "ONSHI_HTTP_PORT": "0"})
    assert settings.broker.url == "amqp://u:CANARY@h/"
    assert settings.store.url == "postgresql://h/db"
    assert settings.http.port == 0
    assert "CANARY" not in repr(settings)


@pytest.mark.parametrize(
    ("written", "medication", "checkup"),
    [
        ("", ("data", "pdf"), ("data", "pdf")),
        ("clinical = true", ("data", "pdf"), ("data", "pdf")),
        ("clinical = false", (), ()),
        ('clinical = { medication = ["data"], checkup = false }', ("data",), ()),
        ('clinical = { checkup = ["pdf"] }', ("data", "pdf"), ("pdf",)),
    ],
)
def test_a_chart_says_which_clinical_information_it_wants_in_which_form(
    tmp_path: Path, written: str, medication: tuple[str, ...], checkup: tuple[str, ...]
) -> None:
    text = configuration().replace('inbox = "chart/inbox"', f'inbox = "chart/inbox"\n{written}')
    chart = load(write(tmp_path, text), {}).clinics[0].chart
    assert chart is not None
    assert (chart.clinical.medication, chart.clinical.checkup) == (medication, checkup)
    assert bool(chart.clinical) == bool(medication or checkup)


def test_an_unknown_form_of_clinical_information_is_refused(tmp_path: Path) -> None:
    text = configuration().replace(
        'inbox = "chart/inbox"', 'inbox = "chart/inbox"\nclinical = { medication = ["fax"] }'
    )
    with pytest.raises(SettingsError, match="medication"):
        load(write(tmp_path, text), {})


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="onshi init"):
        load(tmp_path / "onshi.toml", {})


@pytest.mark.parametrize(
    ("written", "seconds"), [('"90s"', 90), ('"15m"', 900), ('"24h"', 86400), ('"7d"', 604800), ("3600", 3600)]
)
def test_a_duration_carries_its_unit(tmp_path: Path, written: str, seconds: int) -> None:
    text = configuration().replace('mode = "own"', f'mode = "beside"\n  erase_after = {written}')
    terminal = load(write(tmp_path, text), {}).clinics[0].terminals[0]
    assert terminal.erase_after.total_seconds() == seconds


@pytest.mark.parametrize("written", ['"soon"', '"-1h"', "-5", "true"])
def test_what_is_no_duration_is_named(tmp_path: Path, written: str) -> None:
    text = configuration().replace('mode = "own"', f'mode = "beside"\n  erase_after = {written}')
    with pytest.raises(SettingsError, match="erase_after"):
        load(write(tmp_path, text), {})


@pytest.mark.parametrize(
    ("old", "new", "part"),
    [
        ('url = "embedded:"', 'url = "amqp://["', "broker.url"),
        ('"sqlite:///state/onshi.db"', '"postgresql://u:secret@h:port/x"', "store.url"),
        ('dir = "state/keys"', "dir = 3", "keys.dir"),
        ('mode = "own"', "rescue = [1]", "rescue"),
        ('res = "oqs/res"', 'res = "oqs/../oqs/face"', "given twice"),
        ("[keys]", "[centre]\nlease_seconds = inf\n[keys]", "lease_seconds"),
        ('url = "embedded:"', 'url_file = "secret.bin"', "url_file"),
    ],
)
def test_what_cannot_be_meant_is_a_fault_of_the_configuration(tmp_path: Path, old: str, new: str, part: str) -> None:
    (tmp_path / "secret.bin").write_bytes(b"\xff\xfe")
    text = configuration()
    assert old in text
    with pytest.raises(SettingsError) as wrong:
        load(write(tmp_path, text.replace(old, new)), {})
    assert part in " ".join(wrong.value.faults)
    assert "u:secret" not in str(wrong.value)


def test_an_institution_code_may_have_days_and_a_plain_one_is_for_ever() -> None:
    clinic = clinic_of("9919000011", {"code": "9919000029", "from": date(2026, 6, 1)})
    assert clinic.institution_codes == ("9919000011", "9919000029")
    assert [clinic.code_on(date(2026, 5, 31)), clinic.code_on(date(2026, 6, 1))] == ["9919000011", "9919000029"]
    moved = clinic_of({"code": "9919000011", "to": "2026-05-31"}, {"code": "9919000029", "from": "2026-06-01"})
    assert [moved.code_on(date(2026, 5, 31)), moved.code_on(date(2026, 6, 1))] == ["9919000011", "9919000029"]


def test_a_result_may_carry_a_code_a_month_outside_of_its_days() -> None:
    clinic = clinic_of({"code": "9919000011", "to": "2026-05-31"}, {"code": "9919000029", "from": "2026-06-01"})
    assert clinic.accepts_code("9919000011", date(2026, 7, 1))
    assert not clinic.accepts_code("9919000011", date(2026, 7, 2))
    assert clinic.accepts_code("9919000029", date(2026, 5, 1))
    assert not clinic.accepts_code("9919000029", date(2026, 4, 30))
    assert clinic.accepts_code("9919000011", None)
    assert not clinic.accepts_code("9919000037", date(2026, 5, 1))


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "991900001"},
        {"code": "9919000011", "from": "2026-06-01", "to": "2026-05-31"},
        {"code": "9919000011", "until": "2026-05-31"},
        {"from": "2026-05-31"},
    ],
)
def test_wrong_days_of_a_code_are_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        clinic_of(wrong)


def test_reference_numbers_and_bookings_are_configured_by_clinic(tmp_path: Path) -> None:
    path = tmp_path / "onshi.toml"
    path.write_text(
        '[[clinics]]\nid = "c1"\ninstitution_codes = ["9919000011"]\n'
        '[clinics.chart]\ninbox = "in"\npatients = "p.csv"\n'
        '[clinics.references]\nenabled = true\nat = "19:30"\n[clinics.bookings]\npath = "bookings.csv"\n'
    )
    (clinic,) = load(path).clinics
    assert (clinic.references.enabled, clinic.references.at) == (True, time(19, 30))
    assert clinic.bookings is not None
    assert (clinic.bookings.path, clinic.bookings.at) == (tmp_path / "bookings.csv", time(18))
    path.write_text('[[clinics]]\nid = "c1"\ninstitution_codes = ["9919000011"]\n[clinics.bookings]\npath = "b"\n')
    with pytest.raises(SettingsError, match="bookings needs"):
        load(path)
