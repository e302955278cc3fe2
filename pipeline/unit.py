"""What does the runner keep of one delivery while it works on it?"""

from dataclasses import dataclass, field

from pipeline.broker.port import Delivery, OutMessage
from pipeline.envelope import Envelope, attempt_of
from pipeline.redirection import alone


@dataclass(slots=True)
class Unit:
    """One delivery, what it carries, and what became of each of its events."""

    delivery: Delivery
    envelopes: list[Envelope] = field(default_factory=list)
    instead: list[OutMessage] = field(default_factory=list)
    """What is published in its place (retry tier, parked) before it is acknowledged."""
    put_off: list[Envelope] = field(default_factory=list)
    """Those of `instead` that wait because of whom they come from."""
    is_left: bool = False
    """Whether the fuse blew before it was handled: it goes back to the queue."""

    @property
    def attempt(self) -> int:
        return attempt_of(self.delivery)

    def only(self, envelope: Envelope) -> Delivery | OutMessage:
        """Return the message that carries this event and no other."""
        return self.delivery if len(self.envelopes) == 1 else alone(self.delivery, envelope)
