"""Withdrawals and the consents they end, in any order, repeated, before two processes that restart: one ledger."""

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from consumers.consent import Consent
from pipeline.events import RecordParsed
from pipeline.oqs.eligibility import ConsentCategory, ConsentGroup, Header, Withdrawal
from pipeline.oqs.names import MessageKind
from pipeline.oqs.records import ConsentWithdrawalRecord
from pipeline.storage.schema import fetch_runs, files, grants, receipts, requests, standings, unheld_answers
from tests.support.asking_world import digits
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.consents import NOW, face, store_file

MINUTE: Final = timedelta(minutes=1)
OPEN: Final = "99991231235959"
_TABLES: Final = (fetch_runs, files, grants, receipts, requests, standings, unheld_answers)
_FLAG: Final = {MessageKind.VISIT: "2", MessageKind.ONLINE: "3"}


@dataclass(frozen=True)
class Told:
    """A file of the service: consents stored for home visits or online care, refused there, or withdrawn."""

    kind: MessageKind
    minute: int
    what: str

    @property
    def at(self) -> datetime:
        return NOW + self.minute * MINUTE

    def store(self, centre: Centre, number: int) -> RecordParsed:
        if self.what == "withdrawn":
            withdrawn = Withdrawal(
                insurer_number="39999990", number="1234", birthdate="19410203", treatment_flag=_FLAG[self.kind]
            )
            record = ConsentWithdrawalRecord(
                schema_kind="consent_withdrawal", header=Header(segment="1"), withdrawal=withdrawn, status="1"
            )
            return store_file(centre, f"w{number}", record, self.at, kind=MessageKind.WITHDRAWAL)
        group = ConsentGroup(category=ConsentCategory.MEDICATION, flag="0")
        if self.what == "given":
            group = ConsentGroup(
                category=ConsentCategory.MEDICATION, flag="1", consented_at=digits(self.at), available_until=OPEN
            )
        return store_file(centre, f"f{number}", face(group), self.at, kind=self.kind)


TOLD = st.lists(
    st.builds(
        Told, st.sampled_from(sorted(_FLAG)), st.integers(-5, 0), st.sampled_from(["given", "withdrawn", "refused"])
    ),
    min_size=2,
    max_size=5,
    unique=True,
)


@pytest.fixture(scope="module")
def quick() -> Iterator[Centre]:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        configured = make_settings(root)
        store = make_store("sqlite://")
        yield Centre(configured, make_keyring(root, configured, NOW), store)
        store.close()


def _ledger(centre: Centre, told: Sequence[Told], order: Sequence[int], restarts: Sequence[int] = ()) -> Any:
    """Hear the files in this order, in turn by two processes; each file is parsed just before it is first heard."""
    with centre.store.transaction() as connection:
        for table in _TABLES:
            connection.execute(table.delete())
    processes = [Consent(centre.settings, centre.keyring) for _ in range(2)]
    events: dict[int, RecordParsed] = {}
    for turn, number in enumerate(order):
        if turn in restarts:
            processes = [Consent(centre.settings, centre.keyring) for _ in range(2)]
        if number not in events:
            events[number] = told[number].store(centre, number)
        centre.handle(processes[turn % 2], events[number], NOW + MINUTE)
    said = {
        tuple(row[name] for name in ("grant_id", "granted", "consented_at", "until")) for row in centre.rows(grants)
    }
    held = [(row["category"], row["source"], row["granted"], row["grant_id"]) for row in centre.rows(standings)]
    return said, held


@given(told=TOLD, data=st.data())
@settings(
    max_examples=14,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_withdrawals_leave_one_ledger_in_whatever_order_they_come(
    quick: Centre, told: list[Told], data: st.DataObject
) -> None:
    numbers = list(range(len(told)))
    expected = _ledger(quick, told, numbers)
    order = data.draw(st.permutations([*numbers, data.draw(st.sampled_from(numbers))]))
    restarts = data.draw(st.lists(st.integers(0, len(order)), max_size=2))
    assert _ledger(quick, told, order, restarts) == expected


@given(told=TOLD, data=st.data())
@settings(
    max_examples=10,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
def test_no_consent_stands_that_was_withdrawn_at_or_after_it(
    quick: Centre, told: list[Told], data: st.DataObject
) -> None:
    _, held = _ledger(quick, told, data.draw(st.permutations(range(len(told)))))
    standing = {source for category, source, granted, _ in held if granted and category == "medication"}
    for kind in _FLAG:
        own = [one for one in told if one.kind is kind]
        given_last = max((one.minute for one in own if one.what == "given"), default=None)
        ended_last = max((one.minute for one in own if one.what != "given"), default=None)
        source = "visit" if kind is MessageKind.VISIT else "online"
        stands = given_last is not None and (ended_last is None or given_last > ended_last)
        assert (source in standing) is stands
