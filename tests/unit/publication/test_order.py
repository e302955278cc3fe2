"""Whatever keeps a vendor's event from leaving, nothing that was said later overtakes it."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import count
from typing import Any

import pytest

from consumers.publication import held
from pipeline import outbox
from pipeline.broker.port import BrokerAwayError, OutMessage, UnroutableError
from pipeline.envelope import enclose
from pipeline.events import Event, FileSettled
from pipeline.runner import Runner
from pipeline.storage.schema import outbox as outbox_table
from pipeline.storage.schema import vendor_held
from tests.support.publication import Publishing
from tests.support.vendors import table

FILES = ("one", "two", "three", "four")


class Streams:
    """Takes what has a stream. `missing` have none; `is_away`: nothing is taken at all."""

    def __init__(self) -> None:
        self.missing: set[str] = set()
        self.is_away = False
        self.taken: dict[str, list[str]] = {"acme": [], "beta": []}

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(0)) -> None:
        if self.is_away:
            raise BrokerAwayError("away")
        lost: list[str] = []
        for message in batch:
            vendor = message.routing_key.split(".")[2]
            if vendor in self.missing:
                lost.append(message.message_id)
            else:
                self.taken[vendor].append(json.loads(message.body)["handle"])
        if lost:
            raise UnroutableError(lost)

    def close(self) -> None:
        return


class Office:
    """A runner of publication, driven by hand."""

    def __init__(self, publishing: Publishing) -> None:
        self.publishing, self.streams = publishing, Streams()
        self._wall, self._elapsed = publishing.now, 0.0
        broker: Any = None
        self.runner = Runner(publishing.publication, publishing.centre.store, broker, self, has_vendors=True)
        self.runner._publisher = self.runner._chores._publisher = self.streams

    def now(self) -> datetime:
        return self._wall

    def monotonic(self) -> float:
        return self._elapsed

    def say(self, *file_ids: str) -> None:
        events: list[Event] = [FileSettled(clinic="c2", file_id=name, outcome="delivered") for name in file_ids]
        envelopes = [enclose(event, self.now()) for event in events]
        self.runner._transact([(each, self.publishing.publication.prepare(each)) for each in envelopes])

    def pass_time(self, seconds: int = 10) -> None:
        for _ in range(seconds):
            self._wall += timedelta(seconds=1)
            self._elapsed += 1
            self.runner._chores._due()
            self.runner._chores._relay()

    def heard(self, vendor: str) -> list[str]:
        """Name the files in the order in which a vendor heard of them first."""
        secret = self.publishing.publication._writer._secrets(vendor)
        names = {secret.handle("c2", name): name for name in FILES}
        return list(dict.fromkeys(names[handle] for handle in self.streams.taken[vendor]))


@pytest.fixture
def office(publishing: Publishing) -> Office:
    for name in FILES:
        publishing.add_file(name, clinic="c2")
    return Office(publishing)


def test_what_waits_for_a_stream_is_not_overtaken_when_it_appears(office: Office) -> None:
    office.streams.missing = {"acme"}
    office.say("one", "two")
    assert office.heard("beta") == ["one", "two"]
    office.streams.missing = set()
    office.say("three")
    office.pass_time()
    office.say("four")
    assert office.heard("acme") == office.heard("beta") == ["one", "two", "three", "four"]
    assert sum(map(len, office.streams.taken.values())) == 8


def test_what_was_released_and_could_not_leave_is_not_overtaken(office: Office) -> None:
    public = office.publishing.root / "acme.jwk"
    whole = public.read_text()
    public.write_text("{}")
    office.say("one", "two")
    public.write_text(whole)
    office.streams.is_away = True
    with pytest.raises(BrokerAwayError):
        office.pass_time(1)
    office.streams.is_away = False
    office.say("three")
    office.pass_time()
    assert office.heard("acme") == ["one", "two", "three"]


def test_what_could_not_leave_for_a_vendor_that_was_taken_out_is_dropped(office: Office) -> None:
    office.streams.missing = {"acme"}
    office.say("one")
    office.say("two")
    assert (unsent(office).count("acme"), len(office.publishing.centre.rows(vendor_held))) == (1, 1)
    office.publishing.configure(table("beta", clinics=["c2"]))
    office.pass_time(1)
    assert ("acme" in unsent(office), office.publishing.centre.rows(vendor_held)) == (False, [])
    assert office.heard("beta") == ["one", "two"]


def unsent(office: Office) -> list[str]:
    rows = office.publishing.centre.rows(outbox_table)
    return [row["routing_key"].split(".")[2] for row in rows if row["sent_at"] is None]


def test_what_is_sent_in_several_takes_keeps_its_order(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of thousands that wait, one take has a part: the next one must not have what comes after it, while it waits."""
    monkeypatch.setattr(outbox, "CLAIMED_AT_ONCE", 2)
    office.streams.is_away = True
    with pytest.raises(BrokerAwayError):
        office.say(*FILES)
    with pytest.raises(BrokerAwayError):
        office.pass_time()
    office.streams.is_away = False
    office.pass_time(40)
    assert office.heard("acme") == office.heard("beta") == list(FILES)
    assert not unsent(office)


def test_what_an_instance_with_a_slower_clock_holds_takes_its_place_behind(
    office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    public = office.publishing.root / "acme.jwk"
    whole = public.read_text()
    public.write_text("{}")
    office.say("one", "two")
    monkeypatch.setattr(held, "_counter", count(1), raising=False)
    office.say("three")
    public.write_text(whole)
    office.pass_time()
    assert office.heard("acme") == ["one", "two", "three"]


def test_what_is_heard_again_does_not_overtake_what_has_not_left_before_it(office: Office) -> None:
    office.streams.missing = {"acme"}
    office.say("one", "two")
    office.streams.missing = set()
    office.say("two")
    office.pass_time()
    assert office.heard("acme") == ["one", "two"]
