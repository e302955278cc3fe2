"""Which broker does the configured URL mean?"""

from pathlib import Path

from pipeline.broker.addresses import with_small_scheme
from pipeline.broker.port import Broker
from pipeline.broker.tls import Certificates
from pipeline.errors import PermanentError

EMBEDDED_FILE = "broker.db"


def open_broker(url: str, state_dir: Path, certificates: Certificates | None = None) -> Broker:
    """Open `embedded:` (a file in `state_dir`), `amqp://…` or `amqps://…`, with one host or several.

    RabbitMQ is first reached when used.

    Raises:
        PermanentError: no such kind of broker. The text never shows the URL, which may hold a password.
        EmbeddedBusyError: another process has the embedded broker open.
    """
    url = with_small_scheme(url)
    scheme = url.partition(":")[0]
    if scheme == "embedded":
        # Its file lock is POSIX; an edge on another system speaks to RabbitMQ and never comes here.
        from pipeline.broker.embedded import EmbeddedBroker  # noqa: PLC0415

        return EmbeddedBroker(state_dir / EMBEDDED_FILE)
    if scheme in ("amqp", "amqps"):
        # pika is slow to import, and a single clinic never needs it.
        from pipeline.broker.rabbitmq import RabbitBroker  # noqa: PLC0415

        return RabbitBroker(url, certificates)
    raise PermanentError("configuration", "broker.url must begin with embedded:, amqp:// or amqps://")
