"""Which instant does a person mean who writes a time?"""

from datetime import UTC, datetime

from pipeline.cli.main import WrongUseError
from pipeline.oqs.times import JST


def instant(text: str) -> datetime:
    """Read ISO 8601; without a zone it is Japanese time, in which every table shows its times.

    Raises:
        WrongUseError: it is none.
    """
    try:
        at = datetime.fromisoformat(text)
        return (at if at.tzinfo else at.replace(tzinfo=JST)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise WrongUseError(f"{text}: is not a time like 2026-05-12T09:00 or 2026-05-12T00:00Z") from None
