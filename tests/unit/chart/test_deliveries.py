"""An order that comes while its former copy is being carried out is an order of its own."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pipeline.keyring import Keyring
from producers.chart.deliveries import Deliveries, Refused
from producers.chart.ledger import Ledger
from tests.support.chart import CLINIC, envelope_of, wanted_event

NOW = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    made = Ledger(tmp_path / "c001.chart.db")
    yield made
    made.close()


def test_what_is_sealed_anew_is_not_refused_with_the_copy_that_was_in_hand(ledger: Ledger, keyring: Keyring) -> None:
    deliveries, former, anew = Deliveries(ledger, CLINIC), wanted_event(keyring, 1), wanted_event(keyring, 1)
    deliveries.keep([envelope_of(former)], NOW)
    (in_hand,) = deliveries.oldest(1, ())
    deliveries.keep([envelope_of(anew)], NOW)
    deliveries.end([Refused(in_hand, "key_missing")], NOW)
    assert [wanted.sealed for wanted in deliveries.oldest(1, ())] == [anew.sealed]
    # A copy of the same order is refused with it.
    deliveries.end([Refused(wanted, "name_taken") for wanted in deliveries.oldest(1, ())], NOW)
    assert deliveries.oldest(1, ()) == []
