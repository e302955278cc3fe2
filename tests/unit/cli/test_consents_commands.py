"""What does `onshi consents` answer, to whom, and what is written down?"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from pipeline.oqs.times import parse_instant
from pipeline.persons import patient_hash
from pipeline.storage.schema import access_log, fetch_runs, grants, requests, standings, unheld_answers
from tests.unit.cli.conftest import Office

NOW = datetime.now(UTC)
HOUR = timedelta(hours=1)
PERSON = "ab" * 32


def _grant(
    office: Office, name: str, until: datetime, *, category: str = "medication", at: datetime | None = None
) -> None:
    held: dict[str, Any] = {
        "clinic": "c001", "person_hash": PERSON, "category": category, "source": "reader", "grant_id": name,
        "granted": True, "consented_at": at or NOW - 25 * HOUR, "until": until,
    }  # fmt: skip
    seen = {
        "terminal": "t1", "file_id": "f1", "may_request": True, "recorded_at": NOW,
        "patient_hash": patient_hash(office.keyring.identity("c001"), "00042"),
    }  # fmt: skip
    with office.store.transaction() as connection:
        connection.execute(insert(grants).values(**held, **seen))
        connection.execute(delete(standings).where(standings.c.category == category))
        connection.execute(insert(standings).values(**held, expiring_told=False, expired_told=False))


def _request(office: Office, grant_id: str, **changes: Any) -> None:
    row: dict[str, Any] = {
        "request_id": f"r-{grant_id}", "clinic": "c001", "terminal": "t1", "kind": "YZKsiquc", "state": "answered",
        "category": "medication", "base_hash": "b", "person_hash": PERSON, "sealed_request": b"", "grant_id": grant_id,
        "file_category": "2", "period": "202604", "asked_by": "consent", "wanted_at": NOW, "withdraw_at": NOW,
        "placed_at": NOW,
    }  # fmt: skip
    with office.store.transaction() as connection:
        connection.execute(insert(requests).values(**(row | changes)))


@pytest.mark.parametrize("who", ["00042", PERSON[:12]])
def test_what_may_be_asked_now_and_until_when_is_found_by_person_or_patient(office: Office, who: str) -> None:
    until = NOW.replace(microsecond=0) + HOUR
    _grant(office, "g1", until)
    _grant(office, "g2", NOW - HOUR, category="checkup")
    _request(office, "g1")
    shown = office.ask("consents", "show", who)
    assert {row["category"]: row["may_ask_now"] for row in shown["standing"]} == {"medication": True, "checkup": False}
    assert [(row["grant_id"], row["period"], row["state"]) for row in shown["uses"]] == [("g1", "202604", "answered")]
    _, text = office.say("consents", "show", who)
    assert "薬剤情報 medication (reader): 照会可" in text
    assert "特定健診情報 checkup (reader): 期限切れ" in text


def test_chart_number_never_comes_into_the_access_log(office: Office) -> None:
    _grant(office, "g1", NOW + HOUR)
    office.ask("consents", "show", "00042")
    with office.store.reading() as connection:
        rows = connection.execute(select(access_log.c.action, access_log.c.subject)).all()
    assert [tuple(row) for row in rows] == [("consents.show", PERSON[:12])]


def test_unknown_person_is_wrong_use_and_written_down(office: Office) -> None:
    assert office.say("consents", "show", "999")[0] == 2
    with office.store.reading() as connection:
        assert connection.scalars(select(access_log.c.result)).all() == ["unknown"]


def test_nothing_may_be_asked_in_the_last_minute(office: Office) -> None:
    _grant(office, "g1", NOW + timedelta(seconds=59))
    assert [row["may_ask_now"] for row in office.ask("consents", "list")] == [False]


def test_uses_name_the_grant_and_who_asked(office: Office) -> None:
    _grant(office, "g1", NOW + HOUR)
    _request(office, "g1", asked_by="s1")
    (row,) = office.ask("consents", "uses")
    assert (row["grant_id"], row["asked_by"], row["person"]) == ("g1", "s1", PERSON[:12])


def test_missed_names_what_ran_out_unasked_and_why(office: Office) -> None:
    _grant(office, "g1", NOW - HOUR)
    _grant(office, "g2", NOW - HOUR, category="checkup")
    _grant(office, "g3", NOW - HOUR, category="operation")
    _request(office, "g2", category="checkup")
    with office.store.transaction() as connection:
        connection.execute(insert(fetch_runs).values(grant_id="g1", result="validity", clinic="c001", at=NOW))
        thin = {"file_id": "f9", "result": 0, "clinic": "c001", "terminal": "t1", "reason": "thin", "granted": 2}
        connection.execute(insert(unheld_answers).values(**thin, recorded_at=NOW - 2 * HOUR))
    found = [(row["grant_id"], row["reason"]) for row in office.ask("consents", "missed")]
    assert found == [("g1", "validity"), (None, "thin")]


def test_consent_that_a_newer_one_replaced_did_not_run_out(office: Office) -> None:
    _grant(office, "g1", NOW - HOUR, at=NOW - 25 * HOUR)
    _grant(office, "g2", NOW + HOUR, at=NOW - 23 * HOUR)
    assert office.ask("consents", "missed") == []


def test_instants_of_the_table_are_japanese(office: Office) -> None:
    at = parse_instant("20260512091533")
    assert at is not None
    _grant(office, "g1", at + 24 * HOUR, at=at)
    assert "2026-05-12 09:15:33" in office.say("consents", "list")[1]
