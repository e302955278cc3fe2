"""Where does a copy stand, and how did a file end? Design section 7."""

from enum import StrEnum


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


class Handling(StrEnum):
    """What becomes of a file of a kind: which receipts must be in before its copies may go (precondition C5)."""

    DELIVERED = "delivered"
    """parsing, reconciliation, consent, forwarding"""
    NOT_DUE = "not_due"
    """parsing, consent"""
    REJECTED = "rejected"
    """parsing"""
