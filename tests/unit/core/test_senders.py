"""Is an event believed that names another sender than the broker let through?"""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pipeline.broker.port import Delivery
from pipeline.envelope import UnreadableMessageError, enclose, pack, read, write
from pipeline.events import DeliveryDone, Event, FileVanished, HoldKept

NOW = datetime(2026, 11, 2, 9, 0, tzinfo=UTC)
SINGLE = HoldKept(clinic="c002", edge="t1", file_id="f", copy_id="c", hold_id="h")
BATCHED = FileVanished(clinic="c002", edge="t1", file_id="f", copy_id="c", noticed_at=NOW)


def delivered(event: Event) -> Delivery:
    message = pack([write(enclose(event, NOW))])[0]
    return Delivery(
        "deletion",
        message.routing_key,
        message.message_id,
        message.body,
        message.headers,
        message.content_type,
        redelivered=False,
        tag=1,
    )


@pytest.mark.parametrize("event", [SINGLE, BATCHED], ids=["single", "batch"])
def test_an_event_under_its_own_key_is_read(event: Event) -> None:
    assert [each.event for each in read(delivered(event))] == [event]


@pytest.mark.parametrize("event", [SINGLE, BATCHED], ids=["single", "batch"])
@pytest.mark.parametrize("clinic_and_edge", ["c001.t1", "c002.t2"])
def test_an_event_under_the_key_of_another_edge_is_not_believed(event: Event, clinic_and_edge: str) -> None:
    key = f"{event.subject}.{clinic_and_edge}.{event.verb}.v1"
    with pytest.raises(UnreadableMessageError):
        read(replace(delivered(event), routing_key=key))


def test_an_event_under_the_key_of_another_type_is_not_believed() -> None:
    done = DeliveryDone(clinic="c001", edge="chart", file_id="f", revision=1, receipt="r", done_at=NOW)
    with pytest.raises(UnreadableMessageError):
        read(replace(delivered(done), routing_key="patients.c001.chart.changed.v1"))


def test_what_comes_back_from_a_retry_carries_its_consumers_name_and_is_read() -> None:
    assert [each.event for each in read(replace(delivered(SINGLE), routing_key="deletion"))] == [SINGLE]
