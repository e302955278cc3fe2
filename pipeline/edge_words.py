"""Which words of an edge do others read, in metrics, lists and vendors' streams? Those of the house, and no other.

An edge may be of another release, or in wrong hands: any other word could spell the name of a patient.
"""

from enum import StrEnum
from typing import Final

OTHER: Final = "other"
"""Said in place of a word that this release does not know."""


class EdgeFault(StrEnum):
    """What is wrong at an edge now, as `edge.reported` says it; docs/operations.md says what to do."""

    BOOKINGS_INVALID = "bookings_invalid"
    BOOKINGS_MISSING = "bookings_missing"
    BROKER_AWAY = "broker_away"
    CHART_AWAY = "chart_away"
    CLOCK = "clock"
    DISK_FULL = "disk_full"
    KEYS = "keys"
    LEDGER = "ledger"
    ORPHAN = "orphan"
    PATIENTS_INVALID = "patients_invalid"
    PATIENTS_MISSING = "patients_missing"
    SHARE_AWAY = "share_away"
    SPOOL = "spool"
    SPOOL_DAMAGED = "spool_damaged"
    UNREADABLE_MESSAGE = "unreadable_message"
    UNROUTABLE = "unroutable"


class Refusal(StrEnum):
    """Why a chart will never take a delivery as it is, as `delivery.refused` says it."""

    CONTENTS = "contents"
    KEY_MISSING = "key_missing"
    """Its key is not here, or was destroyed."""
    NAME_TAKEN = "name_taken"
    NOT_SEALED = "not_sealed"
    SEAL_BROKEN = "seal_broken"
    UNSAFE_NAME = "unsafe_name"


def fault_of(word: str) -> str:
    """Take a word for a fault of the house, or for none that we know."""
    return word if word in _FAULTS else OTHER


def refusal_of(word: str) -> str:
    """Take a word for a refusal of the house, or for none that we know."""
    return word if word in _REFUSALS else OTHER


_FAULTS: Final = frozenset(EdgeFault)
_REFUSALS: Final = frozenset(Refusal)
