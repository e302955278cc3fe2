"""What was on its way to a chart whose machine is replaced reaches the new one, which has a key of its own."""

import threading
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from pipeline import outbox
from pipeline.broker.embedded import EmbeddedBroker
from pipeline.broker.port import BrokerAwayError, OutMessage
from pipeline.clock import SystemClock
from pipeline.contents import SealedDelivery, delivery_context
from pipeline.events import DeliveryRefused, DeliveryWanted, Event, RecordReconciled
from pipeline.fuse import MOST_IN_A_ROW
from pipeline.key_bundle import hand_over
from pipeline.keyring import Keyring
from pipeline.runner import Runner
from pipeline.sealing import Opener, UnsealError, recipient_of
from pipeline.settings import KeysSettings
from pipeline.topology import CHART_EDGE, Edge, Role, build, orders_queue
from tests.support.chart import CLINIC, EDGES, Heard, envelope_of, publish, running
from tests.support.eventually import eventually
from tests.support.forwarding import ForwardingClinic

CHART = Edge(CLINIC, CHART_EDGE)
AFTER = timedelta(minutes=15)
Handle = Callable[[Event], dict[str, str]]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[EmbeddedBroker]:
    made = EmbeddedBroker(tmp_path / "broker.db")
    made.declare(build(EDGES))
    yield made
    made.close()


@pytest.fixture
def runner(clinic: ForwardingClinic, broker: EmbeddedBroker) -> Runner:
    made = Runner(clinic.forwarding, clinic.store, broker, SystemClock())
    made._publisher = broker.publisher()
    return made


@pytest.fixture
def handle(runner: Runner, clinic: ForwardingClinic) -> Handle:
    """Handle one event as the runner does, and say what of it is parked."""

    def transact(event: Event) -> dict[str, str]:
        envelope = envelope_of(event)
        return runner._transact([(envelope, clinic.forwarding.prepare(envelope))])

    return transact


class _Away:
    """A publisher whose broker has just gone."""

    def publish_confirmed(self, _batch: Sequence[OutMessage], _deadline: timedelta = timedelta(0)) -> None:
        raise BrokerAwayError("gone")

    def close(self) -> None:
        return


def reconciled(file_id: str) -> RecordReconciled:
    return RecordReconciled(clinic=CLINIC, file_id=file_id, revision=1, needs_review=True)


def unopened(file_id: str, order: DeliveryWanted | None = None) -> DeliveryRefused:
    """What a chart says of an order that it cannot open; one of a release before does not say which."""
    return DeliveryRefused(
        clinic=CLINIC,
        edge=CHART_EDGE,
        file_id=file_id,
        revision=order.revision if order else 1,
        reason="key_missing",
        sealed_to=recipient_of(order.sealed) if order else "",
    )


def replaced(clinic: ForwardingClinic, name: str, *, again: bool = True) -> Keyring:
    machine = clinic.keyring.directory.parent / name
    hand_over(clinic.keyring.directory, CHART, machine, again=again)
    return Keyring(machine)


def original(machine: Keyring, order: DeliveryWanted) -> bytes | None:
    """What a machine finds in an order; none where it cannot open it."""
    context = delivery_context(order.file_id, order.revision)
    try:
        return SealedDelivery.from_bytes(Opener(machine).open(CLINIC, context, order.sealed)).original
    except UnsealError:
        return None


def test_what_was_ordered_to_the_former_machine_is_sealed_anew_for_the_one_that_refuses_it(
    clinic: ForwardingClinic, broker: EmbeddedBroker, runner: Runner, handle: Handle, face: Path
) -> None:
    file_id = clinic.add_file(1, face)
    replaced(clinic, "former", again=False)
    handle(reconciled(file_id))
    machine = replaced(clinic, "new")
    assert handle(unopened(file_id)) == {}
    orders = Heard(broker, orders_queue(CHART)).of(DeliveryWanted)
    assert [original(machine, order) for order in orders] == [None, face.read_bytes()]
    assert clinic.delivery(file_id) == ("wanted", 1, 0, None)
    # And whatever is said again, hourly, can be opened too.
    with clinic.store.transaction() as connection:
        runner._chores.mark(connection, clinic.now)
        later = clinic.now + timedelta(hours=1)
        again = outbox.to_repeat(connection, Role.FORWARDING, later, AFTER)
    assert [original(machine, DeliveryWanted.model_validate_json(each.body)) for each in again] == [face.read_bytes()]


def test_a_refusal_that_was_parked_before_is_mended_by_its_replay(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id = clinic.add_file(1, face)
    handle(reconciled(file_id))
    # Its machine has another key than the centre believes: nothing to be done from here.
    assert list(handle(unopened(file_id)).values()) == ["key_missing"]
    assert clinic.delivery(file_id) == ("refused", 1, 0, "key_missing")
    machine = replaced(clinic, "new")
    assert handle(unopened(file_id)) == {}
    assert clinic.delivery(file_id) == ("wanted", 1, 0, None)
    orders = Heard(broker, orders_queue(CHART)).of(DeliveryWanted)
    assert [original(machine, order) for order in orders] == [None, face.read_bytes()]


def test_what_the_new_machine_has_against_a_file_is_set_aside_for_a_person(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id = clinic.add_file(1, face)
    handle(reconciled(file_id))
    replaced(clinic, "new")
    (order,) = Heard(broker, orders_queue(CHART)).of(DeliveryWanted)
    assert handle(unopened(file_id, order)) == {}
    refusal = unopened(file_id).model_copy(update={"reason": "name_taken"})
    assert list(handle(refusal).values()) == ["name_taken"]
    assert clinic.delivery(file_id) == ("refused", 1, 0, "name_taken")


def test_a_machine_that_is_replaced_once_more_is_given_what_it_can_open(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id, heard = clinic.add_file(1, face), Heard(broker, orders_queue(CHART))
    handle(reconciled(file_id))
    for name in ("second", "third"):
        machine = replaced(clinic, name)
        assert handle(unopened(file_id, heard.of(DeliveryWanted)[-1])) == {}
        assert original(machine, heard.of(DeliveryWanted)[-1]) == face.read_bytes()


def test_an_older_copy_of_an_order_that_was_sealed_anew_is_nothing_to_see_to(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id, heard = clinic.add_file(1, face), Heard(broker, orders_queue(CHART))
    handle(reconciled(file_id))
    (former,) = heard.of(DeliveryWanted)
    replaced(clinic, "new")
    assert handle(unopened(file_id)) == {}
    assert handle(unopened(file_id, former)) == {}
    assert clinic.delivery(file_id) == ("wanted", 1, 0, None)
    assert len(heard.of(DeliveryWanted)) == 2


def test_of_what_was_decided_since_only_the_newest_is_sealed_anew_and_nothing_set_aside(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id, heard = clinic.add_file(1, face), Heard(broker, orders_queue(CHART))
    handle(reconciled(file_id))
    clinic.set_file(file_id, revision=2)
    handle(reconciled(file_id).model_copy(update={"revision": 2}))
    first, second = heard.of(DeliveryWanted)
    machine = replaced(clinic, "new")
    assert handle(unopened(file_id, first)) == {}
    assert handle(unopened(file_id, second)) == {}
    *_, last = heard.of(DeliveryWanted)
    assert (last.revision, original(machine, last)) == (2, face.read_bytes())
    assert clinic.delivery(file_id) == ("wanted", 2, 0, None)


def test_an_order_that_was_sealed_anew_and_not_sent_goes_out_when_the_refusal_comes_again(
    clinic: ForwardingClinic, broker: EmbeddedBroker, runner: Runner, handle: Handle, face: Path
) -> None:
    file_id, heard = clinic.add_file(1, face), Heard(broker, orders_queue(CHART))
    handle(reconciled(file_id))
    (former,) = heard.of(DeliveryWanted)
    machine = replaced(clinic, "new")
    runner._publisher = _Away()
    with pytest.raises(BrokerAwayError):
        handle(unopened(file_id, former))
    runner._publisher = broker.publisher()
    assert handle(unopened(file_id, former)) == {}
    assert original(machine, heard.of(DeliveryWanted)[-1]) == face.read_bytes()


def test_a_chart_of_a_release_before_that_refuses_twice_is_not_ordered_to_without_end(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    """Both refusals have one id there: had the second the order said again, each would bring the next."""
    file_id, heard = clinic.add_file(1, face), Heard(broker, orders_queue(CHART))
    handle(reconciled(file_id))
    replaced(clinic, "new")
    assert handle(unopened(file_id)) == {}
    handle(unopened(file_id).model_copy(update={"reason": "name_taken"}))
    assert len(heard.of(DeliveryWanted)) == 2


def test_a_file_that_a_person_gave_up_is_not_ordered_anew(
    clinic: ForwardingClinic, broker: EmbeddedBroker, handle: Handle, face: Path
) -> None:
    file_id = clinic.add_file(1, face)
    handle(reconciled(file_id))
    clinic.set_file(file_id, outcome="rejected")
    replaced(clinic, "new")
    assert list(handle(unopened(file_id)).values()) == ["key_missing"]
    assert len(Heard(broker, orders_queue(CHART)).of(DeliveryWanted)) == 1


def test_more_than_would_end_the_trust_in_an_edge_reaches_a_new_machine(
    clinic: ForwardingClinic, broker: EmbeddedBroker, face: Path
) -> None:
    ids = [clinic.add_file(number, face) for number in range(2 * MOST_IN_A_ROW)]
    role = Runner(clinic.forwarding, clinic.store, broker, SystemClock(), is_shared=True)
    settings, stop = clinic.settings, threading.Event()
    at_work = threading.Thread(target=role.run, args=(stop,))
    at_work.start()
    try:
        publish(broker, *(reconciled(file_id) for file_id in ids))
        eventually(lambda: broker.depth(orders_queue(CHART)) == len(ids), what="all ordered")
        machine = replaced(clinic, "new").directory
        with running(settings.model_copy(update={"keys": KeysSettings(dir=machine)}), broker):
            eventually(lambda: {clinic.outcome(file_id) for file_id in ids} == {"delivered"}, 60, "all delivered")
    finally:
        stop.set()
        at_work.join(30)
    chart = settings.clinics[0].chart
    assert chart is not None
    assert {path.stem for path in chart.inbox.glob("*.json")} == set(ids)
