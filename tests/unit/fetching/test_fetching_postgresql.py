"""Do two processes on PostgreSQL ask for each thing once?"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consumers.consent import Consent
from pipeline.events import RequestPlace
from pipeline.oqs.eligibility import ConsentCategory
from pipeline.storage.schema import requests
from tests.support.centre import Centre, events_of, make_keyring, make_settings, make_store
from tests.support.consents import ENABLED, NOW, arrive, granted, refused
from tests.unit.fetching.test_fetching import DAY, SECOND, SOON

pytestmark = pytest.mark.postgresql


@pytest.fixture
def centre(tmp_path: Path, postgresql_url: str) -> Iterator[Centre]:
    settings = make_settings(tmp_path, ENABLED)
    store = make_store(postgresql_url)
    yield Centre(settings, make_keyring(tmp_path, settings, NOW), store)
    store.close()


def test_two_processes_at_one_moment_make_each_request_once_and_order_one_at_a_time(centre: Centre) -> None:
    arrive(centre, [granted(NOW, NOW + DAY), granted(NOW, NOW + DAY, ConsentCategory.DIAGNOSIS)])
    arrive(centre, [refused(ConsentCategory.DIAGNOSIS)], NOW + SECOND, now=SOON)
    first, second = (Consent(centre.settings, centre.keyring) for _ in range(2))
    orders = []
    for step in range(3):
        now = SOON + (3 + step) * SECOND
        # Both ask before either has committed.
        with centre.store.transaction() as one, centre.store.transaction() as other:
            mine, yours = first.due(one, now), second.due(other, now)
            first.apply(one, mine, now)
            second.apply(other, yours, now)
        orders += [event for event in events_of([*mine, *yours]) if isinstance(event, RequestPlace)]
    assert len(orders) == 1
    assert sorted(row["file_category"] for row in centre.rows(requests)) == ["2", "2", "2"]
