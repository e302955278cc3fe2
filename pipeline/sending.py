"""How does a centre role publish? Confirmed, or the broker is as good as away.

A message that no queue took is nobody's fault but the topology's: parking it, or ending the role, would punish a
message for a broker that came back empty. It waits like for a broker that is away, while the topology is declared.
Only a vendor whose stream is not there (not provisioned yet, or taken away) waits alone: its events stay unsent in the
outbox, from where they are tried again, and the other vendors' go on.
"""

from collections.abc import Sequence

from pipeline.broker.port import OutMessage, Publisher, TopologyError, UnroutableError
from pipeline.topology import Exchange


def publish(publisher: Publisher, messages: Sequence[OutMessage]) -> frozenset[str]:
    """Publish all and wait for the confirmations; returns the ids of vendors' events that no stream took.

    Raises:
        BrokerAwayError: nothing is known of what was sent; publish all again.
        TopologyError: some of them had no queue.
    """
    try:
        publisher.publish_confirmed(messages)
    except UnroutableError as error:
        for_vendors = {message.message_id for message in messages if message.exchange == Exchange.PUBLIC}
        if not for_vendors.issuperset(error.message_ids):
            raise TopologyError(str(error)) from None
        return frozenset(error.message_ids)
    return frozenset()
