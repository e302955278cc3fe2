"""What does the command line say of a standing key that is replaced?"""

from datetime import UTC, datetime

from sqlalchemy import insert

from pipeline import holds
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
