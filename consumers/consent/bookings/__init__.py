"""Bookings (予約): who comes tomorrow, and are they insured? Asked the evening before, once for each day."""

from consumers.consent.bookings.evening import Evenings
from consumers.consent.bookings.intake import PreparedBookings, TakeBookings, prepare, take

__all__ = ["Evenings", "PreparedBookings", "TakeBookings", "prepare", "take"]
