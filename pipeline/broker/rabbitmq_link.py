"""How is one AMQP connection kept alive while its owner works for minutes?

A `Link` is one connection with one channel, whose I/O runs on a daemon thread of its own. Owners hand work to that
thread with `do` and learn of the end through `on_gone`. Only pika's public calls are used.
"""

import threading
from collections.abc import Callable
from functools import partial

from pika import SelectConnection, URLParameters
from pika.adapters.select_connection import IOLoop
from pika.channel import Channel
from pika.connection import Connection
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

from pipeline.broker.port import BrokerAwayError, TopologyError
from pipeline.broker.rabbitmq_headers import forgive
from pipeline.broker.rabbitmq_reasons import reason_of
from pipeline.errors import OnshiError, PermanentError

forgive()

OPEN_SECONDS = 8.0
"""Longest wait for an open channel: pika's own 5 s for the connection, and the channel's handshake."""

CLOSE_SECONDS = 5.0

NOT_FOUND = 404
REFUSED = (403, 406)

Ready = Callable[[], None]
Prepare = Callable[[Channel, Ready], None]


def fault_of(reason: BaseException, where: str = "") -> OnshiError:
    """Say what the end of a channel or connection means to whoever was using it; `where` names host and port."""
    if isinstance(reason, OnshiError):
        return reason
    if isinstance(reason, ChannelClosedByBroker):
        if reason.reply_code == NOT_FOUND:
            return TopologyError(reason.reply_text)
        if reason.reply_code in REFUSED:
            return PermanentError("refused", f"the broker answered {reason.reply_code}")
    if isinstance(reason, ConnectionClosedByBroker):
        return BrokerAwayError(f"the broker is away (it closed the connection with {reason.reply_code})")
    return BrokerAwayError(f"the broker is away ({where}{': ' if where else ''}{reason_of(reason)})")


class Link:
    """One connection and channel, open when the constructor returns. Every method may be called from any thread.

    `prepare` runs on the I/O thread with the new channel and calls its second argument when the channel is ready.
    `on_gone` runs on the I/O thread, once, when the connection has ended for whatever reason.

    Raises:
        BrokerAwayError: no broker, no rights, or no answer in time.
        TopologyError: `prepare` named something that is not there.
    """

    def __init__(
        self, parameters: URLParameters, prepare: Prepare, on_gone: Callable[[], None], seconds: float = OPEN_SECONDS
    ) -> None:
        self._where = f"{parameters.host}:{parameters.port}"
        self._prepare = prepare
        self._on_gone = on_gone
        self._lock = threading.Lock()
        self._fault: BaseException | None = None
        self._settled = threading.Event()
        self._loop: IOLoop | None = IOLoop()
        self._connection: SelectConnection | None = None
        self._channel: Channel | None = None
        self._thread = threading.Thread(target=self._run, args=(parameters, self._loop), daemon=True, name="onshi-amqp")
        self._thread.start()
        if not self._settled.wait(min(max(0.0, seconds), OPEN_SECONDS)):
            self.close(wait_seconds=0)
            raise BrokerAwayError(f"the broker did not answer in time ({self._where})")
        self.raise_if_gone()

    @property
    def channel(self) -> Channel:
        """The channel; only the I/O thread may use it."""
        assert self._channel is not None
        return self._channel

    @property
    def server_version(self) -> str:
        assert self._connection is not None
        return str((self._connection.server_properties or {}).get("version", ""))

    @property
    def is_gone(self) -> bool:
        return self._fault is not None

    def raise_if_gone(self) -> None:
        if self._fault is not None:
            raise fault_of(self._fault, self._where) from self._fault

    def do(self, work: Callable[[], object]) -> None:
        """Run `work` on the I/O thread, soon; what it raises ends the link."""
        with self._lock:
            self.raise_if_gone()
            if self._loop is None:
                raise BrokerAwayError("the connection has ended")
            self._loop.add_callback_threadsafe(partial(self._guarded, work))

    def fail(self, reason: BaseException) -> None:
        """End the link for this reason. Called on the I/O thread."""
        if self._fault is None:
            self._fault = reason
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def close(self, wait_seconds: float = CLOSE_SECONDS) -> None:
        """Say goodbye and wait shortly. If no answer comes, the heartbeat ends the thread later."""
        with self._lock:
            if self._loop is not None:
                self._loop.add_callback_threadsafe(self._say_goodbye)
        self._thread.join(wait_seconds)

    def _say_goodbye(self) -> None:
        if self._fault is None:
            self._fault = BrokerAwayError("the connection was closed")
        connection = self._connection
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _guarded(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Exception as reason:  # noqa: BLE001 - whatever it is, a waiter must learn of it
            self.fail(reason)

    def _run(self, parameters: URLParameters, loop: IOLoop) -> None:
        try:
            self._connection = SelectConnection(
                parameters,
                on_open_callback=self._on_open,
                on_open_error_callback=self._on_ended,
                on_close_callback=self._on_ended,
                custom_ioloop=loop,
            )
            loop.start()
        except Exception as reason:  # noqa: BLE001 - the thread's owner raises it
            self._fault = self._fault or reason
        finally:
            with self._lock:
                self._loop = None
            self._fault = self._fault or BrokerAwayError("the connection has ended")
            loop.close()
            self._settled.set()
            self._on_gone()

    def _on_open(self, connection: Connection) -> None:
        connection.channel(on_open_callback=self._on_channel)

    def _on_channel(self, channel: Channel) -> None:
        self._channel = channel
        channel.add_on_close_callback(self._on_channel_closed)
        self._guarded(partial(self._prepare, channel, self._settled.set))

    def _on_channel_closed(self, _channel: Channel, reason: Exception) -> None:
        self.fail(reason)

    def _on_ended(self, connection: Connection, reason: BaseException | str) -> None:
        del connection
        if self._fault is None:
            self._fault = reason if isinstance(reason, BaseException) else BrokerAwayError("the connection has ended")
        if self._loop is not None:
            self._loop.stop()
