"""Inquiries (照会): from what somebody wants to know to the requests that ask it, one module per kind.

Each is given the clinic, its keys, whom it is about, who asks and when, and returns what `asking.add` writes.
"""

from consumers.consent.inquiries.booking import booking
from consumers.consent.inquiries.history import Period, Permission, checkup, medication
from consumers.consent.inquiries.listing import medical_aid, online, visit
from consumers.consent.inquiries.person import Person
from consumers.consent.inquiries.registration import registration
from consumers.consent.inquiries.single import Care, single
from consumers.consent.inquiries.withdrawal import withdrawal

__all__ = [
    "Care",
    "Period",
    "Permission",
    "Person",
    "booking",
    "checkup",
    "medical_aid",
    "medication",
    "online",
    "registration",
    "single",
    "visit",
    "withdrawal",
]
