"""How messages move: one small port, two adapters that pass one contract suite."""

from pipeline.broker.port import (
    Broker,
    BrokerAwayError,
    Delivery,
    Headers,
    NotAllowedError,
    OutMessage,
    Publisher,
    Subscription,
    TopologyError,
    UnroutableError,
)

__all__ = [
    "Broker",
    "BrokerAwayError",
    "Delivery",
    "Headers",
    "NotAllowedError",
    "OutMessage",
    "Publisher",
    "Subscription",
    "TopologyError",
    "UnroutableError",
]
