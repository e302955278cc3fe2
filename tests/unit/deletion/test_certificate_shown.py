"""What a person reads in a certificate of erasure: what was done, how far it reaches, and nothing beyond."""

import json
from argparse import Namespace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import insert, update

from consumers.deletion import Deletion
from pipeline.certificates import STATEMENTS
from pipeline.cli import certificate
from pipeline.cli.desk import Desk
from pipeline.cli.main import WrongUseError
from pipeline.settings import KeysSettings, StoreSettings
from pipeline.storage.schema import access_log, certificates
from tests.support.centre import Centre
from tests.support.copies import NOW, add_copy, add_file, copy_id, erased

OVERCLAIMS = (
    "dod",
    "nist",
    "purge",
    "unrecoverable",
    "securely",
    "復元不可能",
    "完全消去",
    "完全に消去",
    "復元できない",
)


def certified(centre: Centre, deletion: Deletion, level: str = "L1") -> None:
    add_file(centre)
    add_copy(centre)
    centre.due(deletion, NOW)
    centre.handle(deletion, erased(level=level), NOW)


def show(
    centre: Centre, capsys: pytest.CaptureFixture[str], which: str, *, as_json: bool = False, clinic: str | None = None
) -> tuple[int, str]:
    places = {
        "store": StoreSettings(url=str(centre.store.engine.url)),
        "keys": KeysSettings(dir=centre.keyring.directory),
    }
    arguments = Namespace(json=as_json, which=which, clinic=clinic)
    desk = Desk(centre.settings.model_copy(update=places), arguments)
    desk.__dict__["store"] = centre.store  # made without migrations
    code = certificate.show(desk, arguments)
    return code, capsys.readouterr().out


@pytest.mark.parametrize("which", ["1", copy_id("a")], ids=["by number", "by copy"])
def test_a_certificate_is_shown_in_both_languages(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str], which: str
) -> None:
    certified(centre, deletion)
    code, text = show(centre, capsys, which)
    assert code == 0
    for part in ("消去証明", "Certificate of erasure", STATEMENTS["L1"], certificate.JAPANESE["L1"], "7 of 7 bytes"):
        assert part in text
    assert "2026-05-12 10:00:00" in text
    assert all(f"  C{number}  " in text for number in range(1, 9))
    assert "not recorded" not in text


@pytest.mark.parametrize("level", STATEMENTS)
def test_what_is_shown_claims_nothing_beyond_the_level(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    certified(centre, deletion, level)
    text = show(centre, capsys, "1")[1]
    assert not [word for word in OVERCLAIMS if word in text.lower()]
    assert ("一回上書きし" in text) is (level == "L1")
    assert certificate.LIMITS in text


def test_a_precondition_nobody_recorded_is_named_as_such(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    add_file(centre)
    add_copy(centre)
    centre.handle(deletion, erased(), NOW)
    assert "not recorded: C3, C5, C6" in show(centre, capsys, "1")[1]


def test_json_holds_every_field_and_the_proof(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(centre, deletion)
    shown: dict[str, Any] = json.loads(show(centre, capsys, "1", as_json=True)[1])
    stored = json.loads(str(centre.row(certificates)["content"]))
    assert {name: shown[name] for name in stored} == stored
    assert shown["proof"]["unchanged"]
    assert shown["proof"]["chain_holds"]


def test_it_says_until_when_the_chain_is_signed(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(centre, deletion)
    assert "Not signed yet" in show(centre, capsys, "1")[1]
    centre.due(deletion, NOW + timedelta(hours=2))
    assert "Signed up to here: 2026-05-12 12:00:00" in show(centre, capsys, "1")[1]


def test_an_edited_certificate_is_shown_with_a_warning(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(centre, deletion)
    content = str(centre.row(certificates)["content"]).replace('"size":7', '"size":8')
    with centre.store.transaction() as connection:
        connection.execute(update(certificates).values(content=content))
    code, text = show(centre, capsys, "1")
    assert code == 1
    assert "WARNING" in text
    assert "警告" in text


def test_a_number_two_clinics_have_must_be_narrowed(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(centre, deletion)
    row = {**centre.row(certificates), "clinic": "c2", "copy_id": copy_id("other")}
    with centre.store.transaction() as connection:
        connection.execute(insert(certificates).values(**row))
    with pytest.raises(WrongUseError, match="--clinic"):
        show(centre, capsys, "1")
    assert show(centre, capsys, "1", clinic="c1")[0] == 0
    with pytest.raises(WrongUseError, match="no such"):
        show(centre, capsys, "9")


def test_who_looked_at_a_certificate_is_in_the_access_log(
    centre: Centre, deletion: Deletion, capsys: pytest.CaptureFixture[str]
) -> None:
    certified(centre, deletion)
    show(centre, capsys, "1")
    assert [(row["action"], row["subject"]) for row in centre.rows(access_log)] == [("certificates.show", copy_id("a"))]
