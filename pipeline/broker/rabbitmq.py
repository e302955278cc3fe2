"""How is the `Broker` port kept on RabbitMQ, 3.10 to 4.x?

Publishers and subscriptions have a connection each: an alarm that blocks publishing must not hold back
acknowledgements. Nothing reconnects by itself: a lost link raises `BrokerAwayError`, the next call opens a new one,
and how long to pause between is the caller's business. Of a cluster any node may be the new one (`rabbitmq_hosts`).
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from pika import SSLOptions, URLParameters
from pika.channel import Channel
from pika.credentials import ExternalCredentials
from pika.exceptions import ChannelClosedByBroker

from pipeline.broker.addresses import each_url
from pipeline.broker.definitions import exchange_arguments, queue_arguments, stream_arguments
from pipeline.broker.port import BrokerAwayError, NotAllowedError, OutMessage, TopologyError, UnroutableError
from pipeline.broker.rabbitmq_confirms import Batch, Window
from pipeline.broker.rabbitmq_hosts import Hosts
from pipeline.broker.rabbitmq_link import OPEN_SECONDS, Link, Ready
from pipeline.broker.rabbitmq_subscription import RabbitSubscription
from pipeline.broker.tls import Certificates, context_of
from pipeline.errors import OnshiError, PermanentError
from pipeline.topology import Binding, Exchange, ExchangeSpec, QueueSpec, StreamSpec, Topology

HEARTBEAT_SECONDS = 10
"""A line that died without a word is noticed after 15 to 30 s: pika looks every so many seconds and five more."""
BLOCKED_SECONDS = 30
CONNECT_SECONDS = 5
ANSWER_SECONDS = 30.0
"""How long one question about the topology may take. A first quorum queue on a slow disk takes seconds."""

FORBIDDEN = 403

LOG = logging.getLogger("onshi.broker")

_T = TypeVar("_T")

Start = str | int | datetime
"""Where reading of a stream begins: `first`, `last`, `next`, an offset, or a time (aware UTC)."""


def _each(url: str, certificates: Certificates | None) -> list[URLParameters]:
    try:
        each = [URLParameters(one) for one in each_url(url)]
    except Exception:  # noqa: BLE001 - pika raises many kinds, and their texts may hold the URL's password
        raise PermanentError("configuration", "broker.url is not a URL that AMQP can use") from None
    for parameters in each:
        _complete(parameters, certificates)
    return each


def _complete(parameters: URLParameters, certificates: Certificates | None) -> None:
    if parameters.heartbeat is None:  # a `?heartbeat=` of the URL is the operator's word
        parameters.heartbeat = HEARTBEAT_SECONDS
    parameters.blocked_connection_timeout = BLOCKED_SECONDS
    parameters.socket_timeout = CONNECT_SECONDS
    parameters.stack_timeout = CONNECT_SECONDS
    parameters.connection_attempts = 1
    if certificates is not None and parameters.ssl_options is not None:
        parameters.ssl_options = SSLOptions(context_of(certificates), parameters.host)
        if certificates.cert is not None:
            parameters.credentials = ExternalCredentials()


class RabbitBroker:
    """`Broker` on an `amqp://` or `amqps://` URL of one node or of several (`pipeline.broker.addresses`).

    With certificates TLS 1.3 is demanded, whatever the query says.
    """

    def __init__(self, url: str, certificates: Certificates | None = None) -> None:
        # pika prints whole frames, so bodies, at DEBUG; what it prints as errors is raised here anyway.
        logging.getLogger("pika").setLevel(logging.CRITICAL)
        self._url = url
        self._certificates = certificates
        self._hosts = Hosts(_each(url, certificates), self._fresh)
        self._may_ask = True

    def __repr__(self) -> str:
        return f"RabbitBroker({self._hosts})"

    def _fresh(self, number: int) -> URLParameters:
        """Make the parameters of one connection to this node.

        A certificate that was renewed counts for the next one, without a restart.
        Never shared: pika takes the TLS options out of what it is given for a moment, and one that looks meanwhile
        would try without.

        Raises:
            BrokerAwayError: a file is being replaced, or is gone.
        """
        try:
            return _each(self._url, self._certificates)[number]
        except PermanentError as error:
            raise BrokerAwayError(str(error)) from error

    def declare(self, topology: Topology) -> None:
        for stream in topology.streams:
            self._declare_stream(stream)
        self._with_channel(lambda desk: desk.declare(topology))

    def check(self, topology: Topology) -> bool:
        """Ask for every exchange and queue by name. AMQP has no question for arguments or bindings.

        Who was refused once asks no more: each refusal is an error in the broker's log, and a connection.
        """
        if self._may_ask:
            try:
                self._with_channel(lambda desk: desk.check(topology))
            except NotAllowedError as refusal:
                self._may_ask = False
                LOG.info("topology not asked for", extra={"reason": str(refusal)})
        return self._may_ask

    def publisher(self) -> "RabbitPublisher":
        return RabbitPublisher(self._hosts)

    def subscribe(self, queue: str, prefetch: int) -> RabbitSubscription:
        return self._hosts.first(lambda host, _: RabbitSubscription(host, queue, prefetch))

    def depth(self, queue: str) -> int:
        return self._with_channel(lambda desk: desk.depth(queue))

    def server_version(self) -> str:
        """Return what the broker says it is, as "3.10.8". A declaration that succeeds proves no feature."""
        return self._with_channel(lambda desk: desk.link.server_version)

    def read_stream(self, stream: str, start: Start, prefetch: int) -> RabbitSubscription:
        """Read a stream from a place on, as a vendor does; each delivery has the header `x-stream-offset`.

        Raises:
            TopologyError: there is no such stream.
        """
        place = {"x-stream-offset": start}
        return self._hosts.first(lambda host, _: RabbitSubscription(host, stream, prefetch, place))

    def _declare_stream(self, stream: StreamSpec) -> None:
        try:
            self._with_channel(lambda desk: desk.declare_stream(stream))
        except TopologyError as fault:
            # It stands with another retention, which only a policy could change; a vendor's events stay where they are.
            try:
                self._with_channel(lambda desk: desk.check(Topology((), (QueueSpec(stream.name),))))
            except NotAllowedError:
                raise fault from None
            LOG.warning("a stream keeps its older settings", extra={"reason": stream.name})

    def close(self) -> None:
        """Nothing to let go: every publisher and subscription closes its own."""

    def _with_channel(self, work: Callable[["_Desk"], _T]) -> _T:
        desk = self._hosts.first(_Desk)
        try:
            return work(desk)
        finally:
            desk.link.close()


class _Session:
    """One link and its window, for as long as the connection lasts. A late end of an old one touches nothing newer."""

    def __init__(self, parameters: URLParameters, seconds: float) -> None:
        self._window: Window | None = None
        self._batch: Batch | None = None
        self.link = Link(parameters, self._prepare, self._wake, seconds)

    def publish(self, batch: Batch, seconds: float) -> None:
        self._batch = batch
        self.link.do(lambda: self._send(batch))
        if not self.link.is_gone:  # if it has gone since, nobody wakes us
            batch.done.wait(max(0.0, seconds))
        if not batch.is_settled:
            self.link.raise_if_gone()
            raise BrokerAwayError("the broker did not confirm in time")
        batch.raise_for_outcome()

    def _prepare(self, channel: Channel, ready: Ready) -> None:
        self._window = Window(channel, ready)

    def _send(self, batch: Batch) -> None:
        assert self._window is not None
        self._window.send(batch)

    def _wake(self) -> None:
        if self._batch is not None:
            self._batch.done.set()


class RabbitPublisher:
    """`Publisher` with one connection, opened by the first batch and again by the first after a loss."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts
        self._session: _Session | None = None
        self._closed = False

    def publish_confirmed(self, batch: Sequence[OutMessage], deadline: timedelta = timedelta(seconds=30)) -> None:
        if not batch:
            return
        until = time.monotonic() + deadline.total_seconds()
        session = self._open(deadline.total_seconds())
        try:
            session.publish(Batch(batch), until - time.monotonic())
        except UnroutableError:
            raise
        except OnshiError:
            # What is still unconfirmed on this channel must not be counted for the next batch.
            self._session = None
            session.link.close(wait_seconds=0)
            raise

    def close(self) -> None:
        self._closed = True
        if self._session is not None:
            self._session.link.close()
            self._session = None

    def _open(self, seconds: float) -> _Session:
        if self._closed:
            raise BrokerAwayError("the publisher is closed")
        if self._session is None or self._session.link.is_gone:
            self._session = self._hosts.first(_Session, seconds)
        return self._session


class _Desk:
    """Asks the broker one question after another: the synchronous side, for declarations and counts."""

    def __init__(self, parameters: URLParameters, seconds: float = OPEN_SECONDS) -> None:
        self._answer: Any = None
        self._answered = threading.Event()
        self.link = Link(parameters, lambda _channel, ready: ready(), self._answered.set, seconds)

    def declare(self, topology: Topology) -> None:
        # Queues first: from the moment an exchange is there somebody may publish, and what no queue takes is lost.
        for queue in topology.queues:
            self._declare_queue(queue)
        for exchange in topology.exchanges:
            self._declare_exchange(exchange)
        # The net for what nobody takes comes last: until then a message that is too early is returned and sent again.
        for binding in sorted(topology.bindings, key=lambda binding: binding.exchange == Exchange.UNROUTED):
            self._bind(binding)

    def check(self, topology: Topology) -> None:
        for exchange in topology.exchanges:
            self._find_exchange(exchange.name)
        for name in (*(queue.name for queue in topology.queues), *(stream.name for stream in topology.streams)):
            self._find_queue(name)

    def depth(self, queue: str) -> int:
        return int(self._find_queue(queue).method.message_count)

    def _find_exchange(self, name: str) -> None:
        self._look(name, lambda c, done: c.exchange_declare(name, passive=True, callback=done))

    def _find_queue(self, name: str) -> Any:
        return self._look(name, lambda c, done: c.queue_declare(name, passive=True, callback=done))

    def _declare_exchange(self, spec: ExchangeSpec) -> None:
        arguments = exchange_arguments(spec)
        self._ask(
            spec.name,
            lambda c, done: c.exchange_declare(
                spec.name, spec.kind.value, durable=True, arguments=arguments, callback=done
            ),
        )

    def _declare_queue(self, spec: QueueSpec) -> None:
        arguments = queue_arguments(spec)
        self._ask(
            spec.name, lambda c, done: c.queue_declare(spec.name, durable=True, arguments=arguments, callback=done)
        )

    def declare_stream(self, spec: StreamSpec) -> None:
        arguments = stream_arguments(spec)
        self._ask(
            spec.name, lambda c, done: c.queue_declare(spec.name, durable=True, arguments=arguments, callback=done)
        )

    def _bind(self, binding: Binding) -> None:
        self._ask(
            binding.queue, lambda c, done: c.queue_bind(binding.queue, binding.exchange, binding.key, callback=done)
        )

    def _look(self, name: str, question: Callable[[Channel, Callable[[Any], None]], object]) -> Any:
        """Ask by a passive declaration, which makes nothing.

        4.2.6 and 4.3.0 want the right to configure for it, later ones any right to the object, older ones none.
        """
        try:
            return self._ask(name, question)
        except TopologyError as fault:
            if isinstance(fault.__cause__, ChannelClosedByBroker) and fault.__cause__.reply_code == FORBIDDEN:
                raise NotAllowedError(name) from fault
            raise

    def _ask(self, name: str, question: Callable[[Channel, Callable[[Any], None]], object]) -> Any:
        self._answered.clear()
        self.link.do(lambda: question(self.link.channel, self._take))
        if not self._answered.wait(ANSWER_SECONDS):
            raise BrokerAwayError("the broker did not answer in time")
        self._raise_for(name)
        return self._answer

    def _take(self, answer: Any) -> None:
        self._answer = answer
        self._answered.set()

    def _raise_for(self, name: str) -> None:
        try:
            self.link.raise_if_gone()
        except PermanentError as fault:
            if isinstance(fault.__cause__, ChannelClosedByBroker):
                raise TopologyError(f"{name}: the broker answered {fault.__cause__.reply_code}") from fault.__cause__
            raise
