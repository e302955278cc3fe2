"""The store: the schema is what the model says, times have a zone, and no error quotes a value."""

import threading
from datetime import UTC, datetime, timedelta, timezone

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import insert, select, text, update
from sqlalchemy.exc import StatementError

from pipeline.patient_index import current_lists
from pipeline.storage import engine
from pipeline.storage.engine import StoreAwayError, StoreConflictError, StoreFaultError, insert_new, open_store, upsert
from pipeline.storage.schema import inbox, metadata, patient_lists, receipts

NOW = datetime(2026, 5, 12, 0, 15, 33, tzinfo=UTC)


def entry(event_id: str, at: datetime = NOW) -> dict[str, object]:
    return {"consumer": "parsing", "event_id": event_id, "at": at}


def test_the_migrations_make_the_schema_that_the_model_has(store) -> None:
    with store.reading() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": False})
        assert compare_metadata(context, metadata) == []


def test_several_processes_may_make_the_schema_at_once(store) -> None:
    threads = [threading.Thread(target=store.make_schema) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with store.reading() as connection:
        assert connection.scalar(text("SELECT count(*) FROM alembic_version")) == 1


def test_an_instant_comes_back_as_utc_whatever_zone_it_had(store) -> None:
    jst = timezone(timedelta(hours=9))
    with store.transaction() as connection:
        connection.execute(insert(inbox), [entry("a", datetime(2026, 5, 12, 9, 15, 33, tzinfo=jst))])
    with store.reading() as connection:
        assert connection.scalar(select(inbox.c.at)) == NOW
        assert connection.scalar(select(inbox.c.at)).tzinfo == UTC


def test_an_instant_without_a_zone_may_not_enter(store) -> None:
    with pytest.raises((StatementError, StoreFaultError)), store.transaction() as connection:
        connection.execute(insert(inbox), [entry("a", datetime(2026, 5, 12))])  # noqa: DTZ001 - the point


def test_a_second_writer_of_the_same_row_is_a_conflict_to_be_tried_again(store) -> None:
    with store.transaction() as connection:
        connection.execute(insert(inbox), [entry("a")])
    with pytest.raises(StoreConflictError), store.transaction() as connection:
        connection.execute(insert(inbox), [entry("a")])


def test_a_failing_transaction_leaves_nothing(store) -> None:
    with pytest.raises(ZeroDivisionError), store.transaction() as connection:  # noqa: PT012 - the block as a whole must leave nothing
        connection.execute(insert(inbox), [entry("a")])
        raise ZeroDivisionError
    with store.reading() as connection:
        assert connection.execute(select(inbox)).all() == []


def test_no_error_of_the_database_quotes_what_it_was_given(store) -> None:
    with pytest.raises((StoreFaultError, StoreAwayError)) as refused, store.transaction() as connection:
        connection.execute(text("INSERT INTO no_such_table VALUES (:value)"), {"value": "CANARY 見本　花子"})
    assert "CANARY" not in f"{refused.value}{refused.value!r}"
    assert refused.value.__cause__ is None


def test_what_is_there_stays_and_newer_facts_win(store) -> None:
    row = {"file_id": "f", "consumer": "c", "result": "done", "at": NOW}
    with store.transaction() as connection:
        insert_new(connection, receipts, [row])
        insert_new(connection, receipts, [{**row, "result": "discarded"}])
        assert connection.scalar(select(receipts.c.result)) == "done"
        older = {**row, "result": "old", "at": NOW - timedelta(seconds=1)}
        upsert(connection, receipts, [older], ("result", "at"), only_if_newer="at")
        assert connection.scalar(select(receipts.c.result)) == "done"
        newer = {**row, "result": "new", "at": NOW + timedelta(seconds=1)}
        upsert(connection, receipts, [newer], ("result", "at"), only_if_newer="at")
        assert connection.scalar(select(receipts.c.result)) == "new"


def test_a_server_that_does_not_answer_is_away() -> None:
    store = open_store("postgresql+psycopg://nobody:CANARY@127.0.0.1:9/none")
    with pytest.raises(StoreAwayError) as away, store.transaction():
        pass
    assert "CANARY" not in str(away.value)
    store.close()


@pytest.mark.postgresql
@pytest.mark.parametrize("rows", [1, 10])
def test_whoever_stands_still_in_a_transaction_is_put_out_and_a_reader_is_not(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.2)
    lock, look = text("SELECT pg_advisory_xact_lock(7)"), text("SELECT 1")
    table, many = text("CREATE TEMP TABLE given (a INT)"), text("INSERT INTO given VALUES (:a)")
    one, other = open_store(postgresql_url), open_store(postgresql_url)

    def sleep_over_a_lock() -> None:
        with one.transaction() as asleep:
            asleep.execute(lock)
            asleep.execute(table)
            asleep.execute(many, [{"a": number} for number in range(rows)])
            with other.transaction() as waiting:
                waiting.execute(text("SET LOCAL lock_timeout = '20s'"))
                waiting.execute(lock)
            asleep.execute(look)

    with other.reading() as reader:
        reader.execute(look)
        with pytest.raises(StoreAwayError):
            sleep_over_a_lock()
        assert reader.scalar(look) == 1
    with one.transaction() as again:
        assert again.scalar(look) == 1
    one.close()
    other.close()


@pytest.mark.postgresql
def test_a_reader_asleep_over_a_patient_list_does_not_keep_the_next_list_out(
    postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "IDLE_SECONDS", 0.2)
    one, other = open_store(postgresql_url), open_store(postgresql_url)
    one.make_schema()
    row = {"list_id": "l1", "clinic": "c001", "state": "current", "taken_at": NOW, "parts": 1, "rows": 0}
    with one.transaction() as connection:
        connection.execute(insert(patient_lists).values(**row))

    def sleep_over_the_list() -> None:
        with one.reading() as asleep:
            assert current_lists(asleep, ["c001"]) == {"c001": "l1"}
            with other.transaction() as swapping:
                swapping.execute(text("SET LOCAL lock_timeout = '5s'"))
                swapping.execute(update(patient_lists).values(state="replaced"))
            asleep.scalar(text("SELECT 1"))

    with pytest.raises(StoreAwayError):
        sleep_over_the_list()
    one.close()
    other.close()


@pytest.mark.postgresql
def test_a_server_that_takes_no_writes_is_away_until_another_is_reached(postgresql_url: str) -> None:
    """A standby, or a primary that was demoted: what comes meanwhile is no bug of ours and parks nothing."""
    store, admin = open_store(postgresql_url), open_store(postgresql_url)
    store.make_schema()
    name = store.engine.url.database
    store.close()
    with admin.transaction() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on'))
    row = {"file_id": "f", "consumer": "c", "result": "done", "at": NOW}
    with pytest.raises(StoreAwayError), store.transaction() as connection:
        insert_new(connection, receipts, [row])
    with admin.transaction() as connection:
        connection.execute(text(f'ALTER DATABASE "{name}" RESET default_transaction_read_only'))
    with store.transaction() as connection:
        insert_new(connection, receipts, [row])
    store.close()
    admin.close()
