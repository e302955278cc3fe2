"""How does a centre role publish? Confirmed, or the broker is as good as away.

A message that no queue took is nobody's fault but the topology's: parking it, or ending the role, would punish a
message for a broker that came back empty. It waits like for a broker that is away, while the topology is declared.
"""

from collections.abc import Sequence

from pipeline.broker.port import OutMessage, Publisher, TopologyError, UnroutableError


def publish(publisher: Publisher, messages: Sequence[OutMessage]) -> None:
    """Publish all and wait for the confirmations.

    Raises:
        BrokerAwayError: nothing is known of what was sent; publish all again.
        TopologyError: some of them had no queue.
    """
    try:
        publisher.publish_confirmed(messages)
    except UnroutableError as error:
        raise TopologyError(str(error)) from None
