"""How does a vendor recognise its own, and nobody else's?

A pseudonym is a keyed hash with a secret of the vendor's own: the same patient has the same name in every event of
one vendor, and another in another's. Two vendors that put their events side by side find nothing in common.
"""

from typing import Final

from pipeline.sealing import IdentityKey

LENGTH: Final = 32
"""Hex digits: 128 bits."""


class Pseudonyms:
    """The names one vendor knows things by."""

    def __init__(self, secret: IdentityKey) -> None:
        self._secret = secret

    def handle(self, clinic: str, file_id: str) -> str:
        return self._name("handle", clinic, file_id)

    def event(self, event_id: str) -> str:
        """Name what a notice tells of, so that its own id is another in every vendor's stream."""
        return self._name("event", event_id)

    def patient(self, clinic: str, patient_hash: str | None) -> str | None:
        return None if patient_hash is None else self._name("patient", clinic, patient_hash)

    def person(self, clinic: str, person_hash: str | None) -> str | None:
        return None if person_hash is None else self._name("person", clinic, person_hash)

    def _name(self, purpose: str, *parts: str) -> str:
        return self._secret.mac(purpose, *(part.encode() for part in parts))[:LENGTH]
