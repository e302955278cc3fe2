"""Deletion: orders erasure when every receipt is in, keeps the evidence, certifies it."""

from consumers.deletion.consumer import Deletion

__all__ = ["Deletion"]
