"""What does the command line say of a standing key that is replaced?"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from sqlalchemy import insert

from pipeline import holds
from pipeline.keyring import issue
from pipeline.storage.schema import files
from tests.unit.cli.conftest import Office


def test_a_manager_replaces_the_standing_key_and_sees_the_former_one_until_its_end(office: Office) -> None:
    (standing,) = [key for key in office.ask("keys", "list") if key["class"] == "standing"]
    now = datetime.now(UTC)
    with office.store.transaction() as connection:
        own = {"file_id": "f", "clinic": "c001", "terminal": "t1", "kind": "face", "outcome": "pending"}
        connection.execute(insert(files), [{**own, "suffix": ".xml", "captured_at": now, "stored_at": now}])
        holds.add(connection, office.keyring, file_id="f", reason="a dispute", staff="s1", now=now)
    done = office.ask("keys", "rotate", "--class", "standing")
    assert (done["replaced"], done["rewrapped"]) == (1, 1)
    assert [hold["reason"] for hold in office.ask("hold", "list")] == ["a dispute"]
    states = {key["key_id"]: key["state"] for key in office.ask("keys", "list") if key["class"] == "standing"}
    assert states.pop(standing["key_id"]) == "replaced"
    assert list(states.values()) == ["standing"]
    code, said = office.say("keys", "rotate", "--class", "standing", "--clinic", "nowhere")
    assert code == 2, said


def test_restoring_names_the_keys_that_the_backup_is_too_old_for(office: Office, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("a long enough passphrase")
    kept = (str(tmp_path / "kept"), "--passphrase-file", str(tmp_path / "passphrase"))
    assert office.say("keys", "backup", *kept)[0] == 0
    assert "NOT in this backup" not in office.say("keys", "restore", *kept)[1]
    folder = office.settings.keys.dir
    issue(folder, ["c001"], office.settings.edges, datetime.now(UTC) + timedelta(days=32))
    (folder / "slots.bin").unlink()
    code, said = office.say("keys", "restore", *kept)
    assert code == 0
    assert said.count("NOT in this backup") >= 3
    assert "`onshi keys rotate --class clinical`" in said
