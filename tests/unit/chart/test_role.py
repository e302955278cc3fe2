"""The chart's edge, whole: what is wanted arrives once, is answered always, and nothing readable stays behind."""

import json
import sqlite3
from pathlib import Path

import pytest

from pipeline.broker.embedded import EmbeddedBroker
from pipeline.envelope import pack, write
from pipeline.events import DeliveryDone, DeliveryRefused, EdgeReported
from pipeline.keyring import Keyring
from pipeline.sealing import recipient_of
from pipeline.settings import Settings
from producers.chart.ledger import LedgerBusyError
from tests.support.chart import (
    CLINIC,
    NAME_CANARY,
    Heard,
    envelope_of,
    file_id_of,
    open_embedded,
    publish,
    running,
    wanted_event,
)
from tests.support.eventually import eventually


def inbox_of(settings: Settings) -> Path:
    chart = settings.clinics[0].chart
    assert chart is not None
    return chart.inbox


def read_record(settings: Settings, number: int) -> dict[str, object]:
    record: dict[str, object] = json.loads((inbox_of(settings) / f"{file_id_of(number)}.json").read_bytes())
    return record


def test_what_is_wanted_lies_in_the_inbox_and_is_answered(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    publish(broker, *(wanted_event(keyring, number) for number in range(70)))
    with running(settings, broker):
        eventually(lambda: len(answers.of(DeliveryDone)) == 70)
        done = answers.of(DeliveryDone)
    assert {event.file_id for event in done} == {file_id_of(number) for number in range(70)}
    assert len(list(inbox_of(settings).iterdir())) == 140


def test_an_answer_names_its_order_as_cause_and_the_file_as_correlation(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    event = wanted_event(keyring, 1)
    publish(broker, event)
    with running(settings, broker):
        eventually(lambda: answers.of(DeliveryDone))
    assert (answers.envelopes[0].cause, answers.envelopes[0].correlation) == (event.id, event.file_id)


def test_an_order_that_comes_again_after_a_restart_is_answered_and_has_no_effect(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    publish(broker, wanted_event(keyring, 1))
    with running(settings, broker):
        first = eventually(lambda: answers.of(DeliveryDone))[0]
    for path in inbox_of(settings).iterdir():
        path.unlink()
    publish(broker, wanted_event(keyring, 1))
    with running(settings, broker):
        eventually(lambda: len(answers.of(DeliveryDone)) == 2)
    assert answers.of(DeliveryDone)[1] == first
    assert not list(inbox_of(settings).iterdir())


def test_an_older_revision_is_answered_as_done_and_replaces_nothing(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    with running(settings, broker):
        publish(broker, wanted_event(keyring, 1, revision=3))
        eventually(lambda: len(answers.of(DeliveryDone)) == 1)
        publish(broker, wanted_event(keyring, 1, revision=2))
        eventually(lambda: len(answers.of(DeliveryDone)) == 2)
    assert [event.revision for event in answers.of(DeliveryDone)] == [3, 2]
    assert read_record(settings, 1)["revision"] == 3


def test_two_revisions_that_wait_together_end_with_the_newer_and_one_original(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    publish(broker, wanted_event(keyring, 1, revision=2), wanted_event(keyring, 1, revision=1))
    with running(settings, broker):
        eventually(lambda: len(answers.of(DeliveryDone)) == 2)
    assert read_record(settings, 1)["revision"] == 2
    assert (inbox_of(settings) / f"{file_id_of(1)}.xml").exists()


def test_an_original_that_comes_again_with_a_newer_revision_is_not_given_twice(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    with running(settings, broker):
        publish(broker, wanted_event(keyring, 1))
        eventually(lambda: len(answers.of(DeliveryDone)) == 1)
        (inbox_of(settings) / f"{file_id_of(1)}.xml").unlink()
        publish(broker, wanted_event(keyring, 1, revision=2))
        eventually(lambda: len(answers.of(DeliveryDone)) == 2)
    assert not (inbox_of(settings) / f"{file_id_of(1)}.xml").exists()


def test_what_cannot_be_opened_is_refused_and_holds_up_nobody(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    alien = wanted_event(keyring, 1).model_copy(update={"file_id": file_id_of(9)})
    publish(broker, alien, wanted_event(keyring, 2))
    with running(settings, broker):
        (refused,) = eventually(lambda: answers.of(DeliveryRefused))
        eventually(lambda: answers.of(DeliveryDone))
    assert (refused.file_id, refused.reason) == (file_id_of(9), "seal_broken")


def test_a_refusal_says_which_key_is_not_here(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    wanted = wanted_event(keyring, 1)
    (settings.keys.dir / f"edge.{CLINIC}.chart.key").unlink()
    publish(broker, wanted)
    with running(settings, broker):
        (refused,) = eventually(lambda: answers.of(DeliveryRefused))
    assert (refused.reason, refused.sealed_to) == ("key_missing", recipient_of(wanted.sealed))


def test_what_was_refused_is_tried_again_when_it_is_wanted_again(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    obstacle = inbox_of(settings) / f"{file_id_of(1)}.json"
    obstacle.mkdir()
    with running(settings, broker):
        publish(broker, wanted_event(keyring, 1))
        eventually(lambda: answers.of(DeliveryRefused))
        obstacle.rmdir()
        publish(broker, wanted_event(keyring, 1))
        eventually(lambda: answers.of(DeliveryDone))
    assert read_record(settings, 1)["revision"] == 1


def test_another_clinics_delivery_is_never_written_here(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard, tmp_path: Path
) -> None:
    foreign = wanted_event(keyring, 1, clinic="c002")
    (message,) = pack([write(envelope_of(foreign))])
    misled = type(message)(
        message.exchange,
        f"delivery.{CLINIC}.chart.wanted.v1",
        message.message_id,
        message.body,
        message.headers,
        message.content_type,
    )
    publisher = broker.publisher()
    publisher.publish_confirmed([misled])
    publish(broker, wanted_event(keyring, 2))
    with running(settings, broker):
        eventually(lambda: answers.of(DeliveryDone))
    assert {path.stem for path in inbox_of(settings).iterdir()} == {file_id_of(2)}


def test_a_chart_that_is_away_costs_no_delivery_and_is_reported(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard, reports: Heard
) -> None:
    inbox = inbox_of(settings)
    inbox.rename(inbox.with_name("away"))
    publish(broker, *(wanted_event(keyring, number) for number in range(3)))
    with running(settings, broker) as role:
        report = eventually(
            lambda: next((r for r in reports.of(EdgeReported) if "chart_away" in r.faults and r.backlog == 3), None)
        )
        assert role.is_ready() == (False, "chart_away")
        assert report is not None
        assert report.custody == {"wanted": 3, "done": 0}
        inbox.with_name("away").rename(inbox)
        eventually(lambda: len(answers.of(DeliveryDone)) == 3, seconds=20)
        eventually(
            lambda: (r := reports.of(EdgeReported)) and r[-1].faults == ("patients_missing",) and not r[-1].backlog
        )
        assert not answers.of(DeliveryRefused)


def test_deliveries_go_on_while_the_broker_is_away_and_answers_wait(
    settings: Settings, keyring: Keyring, tmp_path: Path
) -> None:
    inbox = inbox_of(settings)
    with open_embedded(tmp_path / "one.db") as broker:
        inbox.rename(inbox.with_name("away"))
        publish(broker, wanted_event(keyring, 1))
        with running(settings, broker):
            eventually(lambda: broker.depth(f"edge.{CLINIC}.chart") == 0)
            eventually(lambda: _kept(settings) == 1)
            broker.close()
            inbox.with_name("away").rename(inbox)
            eventually(lambda: len(list(inbox.iterdir())) == 2, seconds=20)
    with open_embedded(tmp_path / "two.db") as broker:
        heard = Heard(broker, "forwarding")
        with running(settings, broker):
            assert eventually(lambda: heard.of(DeliveryDone))[0].file_id == file_id_of(1)


def _kept(settings: Settings) -> int:
    connection = sqlite3.connect(settings.edge.state / f"{CLINIC}.chart.db")
    try:
        return int(connection.execute("SELECT COUNT(*) FROM deliveries").fetchone()[0])
    finally:
        connection.close()


def test_no_name_is_readable_in_the_local_files(
    settings: Settings, keyring: Keyring, broker: EmbeddedBroker, answers: Heard
) -> None:
    with running(settings, broker):
        publish(broker, *(wanted_event(keyring, number) for number in range(5)))
        eventually(lambda: len(answers.of(DeliveryDone)) == 5)
        for path in settings.edge.state.iterdir():
            content = path.read_bytes()
            assert NAME_CANARY.encode() not in content
            assert b"canary" not in content


def test_a_second_role_of_the_same_clinic_is_refused(settings: Settings, broker: EmbeddedBroker) -> None:
    with running(settings, broker) as role:
        eventually(lambda: role.is_ready() == (True, ""))
        with pytest.raises(LedgerBusyError), running(settings, broker):
            pass
