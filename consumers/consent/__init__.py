"""Consent: the ledger of what patients allowed, its limits, and the requests that may go out now."""

from consumers.consent.consumer import Consent

__all__ = ["Consent"]
