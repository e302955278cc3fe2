"""How does a test drive one centre consumer, without a broker?"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, select

from pipeline.clinic_settings import Clinic
from pipeline.consumer import Consumer
from pipeline.envelope import enclose
from pipeline.events import Event
from pipeline.keyring import Keyring, issue
from pipeline.outcome import Outcome
from pipeline.settings import Settings
from pipeline.storage.engine import Store, open_store
from pipeline.storage.schema import metadata

TERMINALS = ("t1", "t2")


def make_settings(root: Path, fetch: Mapping[str, Any] | None = None) -> Settings:
    """Two clinics; nothing is asked by itself unless `fetch` says how."""
    terminals = [{"id": name, **{part: root / name / part for part in ("face", "res", "req")}} for name in TERMINALS]
    clinics = [
        {"id": "c1", "institution_codes": ["9919000011"], "terminals": terminals},
        {"id": "c2", "institution_codes": ["9919000012"]},
    ]
    clinics = [{**clinic, "fetch": fetch if fetch is not None else {"enabled": False}} for clinic in clinics]
    return Settings.model_validate({"root": root, "clinics": clinics})


def clinic_of(*codes: object) -> Clinic:
    """A clinic of these institution codes."""
    return Clinic.model_validate({"id": "c1", "institution_codes": list(codes)})


def make_keyring(root: Path, settings: Settings, now: datetime) -> Keyring:
    issue(root / "keys", [clinic.id for clinic in settings.clinics], settings.edges, now)
    return Keyring(root / "keys")


def make_store(url: str) -> Store:
    store = open_store(url)
    with store.transaction() as connection:
        metadata.create_all(connection)
    return store


class Centre:
    """A store and its keys; consumers are driven as the runner drives them, one event or one second at a time."""

    def __init__(self, settings: Settings, keyring: Keyring, store: Store) -> None:
        self.settings, self.keyring, self.store = settings, keyring, store

    def handle(self, consumer: Consumer[Any, Any], event: Event, now: datetime) -> Outcome:
        (outcome,) = self.handle_batch(consumer, [event], now)
        return outcome

    def handle_batch(self, consumer: Consumer[Any, Any], events: Sequence[Event], now: datetime) -> list[Outcome]:
        """Handle several in one transaction; unlike the runner, never take a batch apart."""
        batch = [consumer.prepare(enclose(event, now)) for event in events]
        with self.store.transaction() as connection:
            facts = consumer.gather(connection, batch)
            outcomes = [consumer.decide(prepared, facts, now) for prepared in batch]
            consumer.apply(connection, outcomes, now)
        return outcomes

    def due(self, consumer: Consumer[Any, Any], now: datetime) -> list[Event]:
        with self.store.transaction() as connection:
            outcomes = consumer.due(connection, now)
            consumer.apply(connection, outcomes, now)
        return events_of(outcomes)

    def rows(self, table: Table) -> list[dict[str, Any]]:
        with self.store.reading() as connection:
            order = list(table.primary_key.columns)
            return [dict(row) for row in connection.execute(select(table).order_by(*order)).mappings()]

    def row(self, table: Table) -> dict[str, Any]:
        (only,) = self.rows(table)
        return only

    def insert(self, table: Table, **values: object) -> None:
        with self.store.transaction() as connection:
            connection.execute(insert(table).values(**values))


def events_of(outcomes: Iterable[Outcome]) -> list[Event]:
    return [event for outcome in outcomes for event in outcome.events]


def types_of(events: Sequence[Event]) -> list[str]:
    return [event.type_name() for event in events]
