"""Why a hold was set and released is kept sealed, and told to staff."""

from datetime import UTC, datetime

from sqlalchemy import insert, select

from pipeline.settings import Settings
from pipeline.storage.schema import access_log, files, holds
from tests.unit.cli.conftest import Office

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
WHY, WHY_NOT = "dispute over 山田", "settled with 山田"


def held(office: Office) -> None:
    about = {"clinic": "c001", "terminal": "t1", "kind": "face", "suffix": ".xml", "captured_at": NOW, "stored_at": NOW}
    with office.store.transaction() as connection:
        connection.execute(insert(files).values(file_id="f1", outcome="delivered", **about))
    # Nothing of it lies on a terminal any more: missed at once, and standing all the same.
    assert office.say("hold", "add", "f1", "--reason", WHY)[0] == 1


def test_the_reason_of_a_release_is_sealed_and_shown_beside_that_of_the_hold(office: Office) -> None:
    held(office)
    (shown,) = office.ask("hold", "list")
    assert (shown["reason"], shown["release_reason"]) == (WHY, None)
    assert office.ask("hold", "remove", "f1", "--reason", WHY_NOT) == {"released": 1}
    assert office.ask("hold", "list") == []
    (shown,) = office.ask("hold", "list", "--released")
    assert (shown["reason"], shown["release_reason"], shown["released_by"]) == (WHY, WHY_NOT, "s1")
    assert WHY_NOT in office.say("hold", "list", "--released")[1]
    with office.store.reading() as connection:
        row = connection.execute(select(holds)).one()
        assert "hold.list" in set(connection.scalars(select(access_log.c.action)))
    assert "山田".encode() not in row.sealed_reason + row.sealed_release_reason


def test_who_is_not_staff_sees_holds_without_their_reasons(office: Office) -> None:
    held(office)
    path = office.root / "onshi.toml"
    settings: Settings = office.settings
    path.write_text(path.read_text().replace(f'os_user = "{settings.staff[0].os_user}"', 'os_user = "somebody-else"'))
    (shown,) = office.ask("hold", "list")
    assert (shown["state"], shown["reason"]) == ("missed", None)
