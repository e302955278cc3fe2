"""How does a message go elsewhere: the same bytes, to a retry tier or to be parked?"""

from pipeline.broker.port import Delivery, OutMessage
from pipeline.envelope import ATTEMPT_HEADER, ROUTING_KEY_HEADER, Envelope, is_first_hand, pack, write
from pipeline.parking import REASON_HEADER
from pipeline.topology import Exchange

_OWN = (ATTEMPT_HEADER, ROUTING_KEY_HEADER, REASON_HEADER)


def copy_of(
    delivery: Delivery | OutMessage, exchange: Exchange, key: str, reason: str | None, attempt: int | None = None
) -> OutMessage:
    """Send the same bytes elsewhere, with our own headers beside the original ones."""
    headers: dict[str, str | int] = {
        name: value for name, value in delivery.headers.items() if isinstance(value, str | int)
    }
    if is_first_hand(delivery):
        # What our own headers say on it is its sender's word.
        for name in _OWN:
            headers.pop(name, None)
    headers.setdefault(ROUTING_KEY_HEADER, delivery.routing_key)
    if reason is not None:
        headers[REASON_HEADER] = reason
    if attempt is not None:
        headers[ATTEMPT_HEADER] = attempt
    return OutMessage(exchange, key, delivery.message_id, delivery.body, headers, delivery.content_type)


def alone(delivery: Delivery, envelope: Envelope) -> OutMessage:
    """Take one event out of a batch message, keeping what we know of the message."""
    message = pack([write(envelope)])[0]
    own = {name: value for name, value in delivery.headers.items() if name in _OWN}
    return OutMessage(
        message.exchange,
        delivery.routing_key,
        message.message_id,
        message.body,
        {**message.headers, **own},
        message.content_type,
    )
