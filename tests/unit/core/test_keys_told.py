"""An edge that was told of a new key, and does not seal to it, is told again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import select, update

from pipeline import standing_keys
from pipeline.cli.key_care import tell_edges
from pipeline.storage.schema import outbox
from tests.support.centre import Centre, make_keyring, make_settings, make_store
from tests.support.edge_report import hear

MAY = datetime(2026, 5, 12, 1, 0, tzinfo=UTC)
SOON, LATER = MAY + timedelta(minutes=1), MAY + timedelta(hours=1)
KEY = "keys.c1.t1.published.v1"


@pytest.fixture
def centre(tmp_path: Path) -> Iterator[Centre]:
    settings = make_settings(tmp_path)
    store = make_store(f"sqlite:///{tmp_path}/onshi.db")
    yield Centre(settings, make_keyring(tmp_path, settings, MAY), store)
    store.close()


def unsent(centre: Centre) -> list[str]:
    with centre.store.reading() as connection:
        return list(connection.scalars(select(outbox.c.routing_key).where(outbox.c.sent_at.is_(None))))


@pytest.mark.parametrize(
    ("seals_to", "reported_at", "is_said"),
    [("former", LATER, True), ("former", SOON, False), ("new", LATER, False)],
    ids=["it does not seal to it", "it had no time yet", "it seals to it"],
)
def test_what_an_edge_did_not_hear_is_said_again(
    centre: Centre, seals_to: str, reported_at: datetime, *, is_said: bool
) -> None:
    former = centre.keyring.standing_id("c1")
    (new,) = standing_keys.rotate(centre.keyring.directory, ["c1"], MAY)
    tell_edges(centre.settings, centre.keyring, centre.store, MAY)
    assert KEY in unsent(centre)
    with centre.store.transaction() as connection:
        connection.execute(update(outbox).values(sent_at=MAY))
    hear(centre.store, reported_at, standing_key=former if seals_to == "former" else new.identifier)
    tell_edges(centre.settings, centre.keyring, centre.store, LATER)
    assert unsent(centre) == ([KEY] if is_said else [])
