"""Does publication say the same on PostgreSQL, and once, when two instances release what waited?"""

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from consumers.publication import held
from pipeline.events import ConsentRecorded, DeliveryDone, Event, FileSettled
from pipeline.storage.schema import vendor_held
from pipeline.vendor_events import RecordReconciledNotice
from tests.support.centre import make_store
from tests.support.eventually import eventually
from tests.support.publication import Publishing, reconciled
from tests.support.vendors import opened, table

pytestmark = pytest.mark.postgresql
NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)


@pytest.fixture
def office(tmp_path: Path, postgresql_url: str) -> Iterator[Publishing]:
    store = make_store(postgresql_url)
    yield Publishing(tmp_path, store, NOW)
    store.close()


def settled(file_id: str) -> FileSettled:
    return FileSettled(clinic="c1", file_id=file_id, outcome="delivered")


def consent(office: Publishing) -> ConsentRecorded:
    until = office.now + timedelta(days=1)
    return ConsentRecorded(clinic="c1", grant_id="grant-1", category="medication", until=until, granted=True)


def test_a_day_of_results_consents_and_a_key_that_cannot_be_used(office: Publishing) -> None:
    for name in ("one", "two", "three"):
        office.add_file(name)
    office.add_grant("grant-1", "one")
    notice = office.told(reconciled("one"))["acme"]
    assert isinstance(notice, RecordReconciledNotice)
    assert notice.record
    assert opened(notice.record, office.key)["record"]["results"][0]["name"] == "見本　花子"
    assert notice.results[0].verdicts == ("name_mismatch", "address_mismatch")
    assert sorted(office.told(consent(office))) == ["acme"]

    public = office.root / "acme.jwk"
    whole = public.read_text()
    public.write_text("{}")
    done = DeliveryDone(clinic="c1", file_id="two", revision=1, receipt="r", done_at=office.now)
    events: list[Event] = [reconciled("two"), done, settled("two"), reconciled("three")]
    for event in events:
        assert "acme" not in office.told(event)
    assert [row["type"] for row in office.centre.rows(vendor_held)].count("record.reconciled") == 2
    assert office.due() == []
    public.write_text(whole)
    released = [notice for notice in office.due() if notice.edge == "acme"]
    assert [type(notice).type_name() for notice in released] == [f"onshi.{event.type_name()}" for event in events]
    assert office.centre.rows(vendor_held) == []
    assert sorted(office.told(settled("three"))) == ["acme"]


def test_what_waits_for_a_vendor_that_was_taken_out_is_dropped(office: Publishing) -> None:
    office.add_file("one")
    (office.root / "acme.jwk").unlink()
    assert office.told(reconciled("one")) == {}
    office.configure(table("beta"))
    assert office.due() == []
    assert office.centre.rows(vendor_held) == []


def test_two_instances_that_release_at_once_say_it_once_and_neither_fails(office: Publishing) -> None:
    office.add_file("one")
    public = office.root / "acme.jwk"
    whole = public.read_text()
    public.write_text("{}")
    office.told(reconciled("one"))
    public.write_text(whole)
    store, said = office.centre.store, list[int]()

    def other() -> None:
        with store.transaction() as connection:
            said.append(len(office.publication.due(connection, office.now)))

    second = threading.Thread(target=other)
    with store.transaction() as connection:
        outcomes = office.publication.due(connection, office.now)
        second.start()
        eventually(lambda: waits_for_us(office), 30, "the other instance waits for the rows")
        office.publication.apply(connection, outcomes, office.now)
    second.join(30)
    assert (len(outcomes), said) == (1, [0])
    with store.reading() as connection:
        assert held.waiting(connection) == []


def waits_for_us(office: Publishing) -> bool:
    with office.centre.store.reading() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        return bool(connection.exec_driver_sql(query).scalar())
