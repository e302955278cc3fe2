"""Where does a copy stand, and how did a file end? Design section 7."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from pipeline.topology import Role


class Custody(StrEnum):
    """Of one copy. `seen`, `spooled` and `captured` are the edge's; the centre knows from `stored` on."""

    SEEN = "seen"
    SPOOLED = "spooled"
    CAPTURED = "captured"
    STORED = "stored"
    HELD = "held"
    ERASED = "erased"
    VANISHED = "vanished"

    @property
    def is_gone(self) -> bool:
        return self in (Custody.ERASED, Custody.VANISHED)


class FileOutcome(StrEnum):
    """Of one file, however many copies it has."""

    PENDING = "pending"
    DELIVERED = "delivered"
    REJECTED = "rejected"
    NOT_DUE = "not_due"


class Receipt(StrEnum):
    """How a consumer finished with a file."""

    DONE = "done"
    DISCARDED = "discarded"


REQUIRED: Final[Mapping[FileOutcome, tuple[Role, ...]]] = {
    FileOutcome.DELIVERED: (Role.PARSING, Role.RECONCILIATION, Role.CONSENT, Role.FORWARDING),
    FileOutcome.NOT_DUE: (Role.PARSING, Role.CONSENT),
    FileOutcome.REJECTED: (Role.PARSING,),
}
"""Whose receipts must be in before a copy may go, by the outcome of its file (precondition C5, design section 7)."""
