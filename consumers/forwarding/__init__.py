"""What goes to which chart? See `consumers.forwarding.consumer`."""

from consumers.forwarding.consumer import Forwarding

__all__ = ["Forwarding"]
