"""What may which vendor know? See `consumers.publication.consumer`."""

from consumers.publication.consumer import Publication

__all__ = ["Publication"]
