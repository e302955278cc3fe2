"""What is an edge told of keys? Public halves only."""

from pydantic import BaseModel, ConfigDict

from pipeline.event import Event
from pipeline.sealing import KeyClass
from pipeline.topology import Exchange


class PublicEpoch(BaseModel):
    """The public half of one epoch's key pair."""

    model_config = ConfigDict(frozen=True)

    key_class: KeyClass
    epoch: str
    public: str
    """32 bytes, hex."""
    generation: int = 0


class KeysPublished(Event):
    """To an edge: the public keys its clinic's content is sealed to, twelve months ahead. Said anew when one is new."""

    subject, verb, exchange = "keys", "published", Exchange.EVENTS
    keys: tuple[PublicEpoch, ...]

    @property
    def identity(self) -> tuple[str, ...]:
        return tuple(key.public for key in self.keys)
