"""What is an event, before it says anything? Its routing key, its identity, and the id that follows from it."""

import re
from typing import ClassVar, Final
from uuid import UUID, uuid5

from pydantic import BaseModel, ConfigDict

from pipeline.edge_words import OTHER
from pipeline.topology import Exchange

NAMESPACE = UUID("b0c0a7f2-5d0e-4c7e-9a65-6f3a2f0b7c11")
"""All derived ids of Onshi live in this namespace."""

NOWHERE = "-"
"""The edge of an event that belongs to a whole clinic."""


_WORD: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


def word_of(reason: str) -> str:
    """Take a reason of the centre's own if it has the form of a word, for vendors read it. Of an edge: `edge_words`."""
    return reason if _WORD.fullmatch(reason) else OTHER


def derive_id(*parts: str) -> str:
    """Make the id that follows from these parts; the same parts always give the same id."""
    return str(uuid5(NAMESPACE, "\x1f".join(parts)))


class Event(BaseModel):
    """One fact or order. `identity` names what makes it this one: two events with equal identities are the same."""

    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_bytes="base64", val_json_bytes="base64")

    subject: ClassVar[str]
    verb: ClassVar[str]
    major: ClassVar[int] = 1
    exchange: ClassVar[Exchange]
    is_evidence: ClassVar[bool] = False
    """Whether an edge says it again until the centre answers with `evidence.stored`."""
    batched: ClassVar[bool] = False
    """Whether up to 100 of one routing key travel in one message, each with an id of its own."""
    for_vendors: ClassVar[bool] = False
    """Whether only publication hears it: then it is said only where vendors are configured."""

    clinic: str
    edge: str = NOWHERE

    @classmethod
    def type_name(cls) -> str:
        return f"{cls.subject}.{cls.verb}"

    @property
    def routing_key(self) -> str:
        return f"{self.subject}.{self.clinic}.{self.edge}.{self.verb}.v{self.major}"

    @property
    def identity(self) -> tuple[str, ...]:
        raise NotImplementedError

    @property
    def id(self) -> str:
        return derive_id(self.type_name(), self.clinic, self.edge, *self.identity)

    def __repr__(self) -> str:
        return f"<{self.type_name()} {self.clinic}/{self.edge} {self.id}>"

    __str__ = __repr__


class FileEvent(Event):
    """About one file; `file_id` is also its correlation id."""

    file_id: str


class CopyEvent(FileEvent):
    """About one copy: one place where the file lay."""

    copy_id: str

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.copy_id,)


class RevisionEvent(FileEvent):
    """About one revision of what is known of a file."""

    revision: int

    @property
    def identity(self) -> tuple[str, ...]:
        return (self.file_id, str(self.revision))
