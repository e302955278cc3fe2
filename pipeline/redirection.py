"""How does a message go elsewhere: the same bytes, to a retry tier or to be parked?"""

from pipeline.broker.port import Delivery, OutMessage
from pipeline.envelope import ATTEMPT_HEADER, Envelope, pack, write
from pipeline.parking import REASON_HEADER, ROUTING_KEY_HEADER
from pipeline.topology import Exchange


def copy_of(
    delivery: Delivery | OutMessage, exchange: Exchange, key: str, reason: str | None, attempt: int | None = None
) -> OutMessage:
    """Send the same bytes elsewhere, with our own headers beside the original ones."""
    headers: dict[str, str | int] = {
        name: value for name, value in delivery.headers.items() if isinstance(value, str | int)
    }
    headers.setdefault(ROUTING_KEY_HEADER, delivery.routing_key)
    if reason is not None:
        headers[REASON_HEADER] = reason
    if attempt is not None:
        headers[ATTEMPT_HEADER] = attempt
    return OutMessage(exchange, key, delivery.message_id, delivery.body, headers, delivery.content_type)


def alone(delivery: Delivery, envelope: Envelope) -> OutMessage:
    """Take one event out of a batch message, keeping the attempt count."""
    message = pack([write(envelope)])[0]
    own = {name: value for name, value in delivery.headers.items() if name == ATTEMPT_HEADER}
    return OutMessage(
        message.exchange,
        delivery.routing_key,
        message.message_id,
        message.body,
        {**message.headers, **own},
        message.content_type,
    )
